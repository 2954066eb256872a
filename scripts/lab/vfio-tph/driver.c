// SPDX-License-Identifier: GPL-2.0
/*
 * A VFIO PCI driver that serves VFIO_DEVICE_FEATURE_DMA_BUF_TPH on kernels that lack it, for
 * tests. In all else it is vfio-pci. Parameters: abi=v2|v6|v7|v9|v10|v11, number=N (of the
 * feature), requester=0|1 (see feature.c).
 */
#include <linux/module.h>
#include <linux/pci.h>

#include "internal.h"

static char *abi = "v2";
module_param(abi, charp, 0444);
MODULE_PARM_DESC(abi, "revision of the series: v2 (default), v6, v7, v9, v10 or v11");

static unsigned int number = 13;
module_param(number, uint, 0444);
MODULE_PARM_DESC(number, "number of the feature (default 13, the series')");

enum tph_abi tph_abi;

static struct vfio_pci_core_device *core_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfio_pci_core_device, vdev);
}

static int tph_open_device(struct vfio_device *vdev)
{
	int ret = vfio_pci_core_enable(core_of(vdev));

	if (!ret)
		vfio_pci_core_finish_enable(core_of(vdev));
	return ret;
}

static void tph_close_device(struct vfio_device *vdev)
{
	vfio_pci_core_close_device(vdev);
	/* The device has no dma-bufs left, so this drops the hints of all. */
	tph_hints_prune(core_of(vdev));
}

static int tph_device_feature(struct vfio_device *vdev, u32 flags, void __user *arg, size_t argsz)
{
	if ((flags & VFIO_DEVICE_FEATURE_MASK) == number)
		return vfio_pci_core_feature_dma_buf_tph(core_of(vdev), flags, arg, argsz);
	return vfio_pci_core_ioctl_feature(vdev, flags, arg, argsz);
}

static const struct vfio_device_ops tph_ops = {
	.name = "vfio-tph",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = tph_open_device,
	.close_device = tph_close_device,
	.ioctl = vfio_pci_core_ioctl,
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,
	.device_feature = tph_device_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.match_token_uuid = vfio_pci_core_match_token_uuid,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas,
};

/*
 * Called for every export, without memory_lock, after the dma-buf's memory was allocated: why is
 * told in hints.c.
 */
static int tph_get_dmabuf_phys(struct vfio_pci_core_device *core,
			       struct p2pdma_provider **provider, unsigned int region,
			       struct phys_vec *phys, struct vfio_region_dma_range *ranges,
			       size_t count)
{
	tph_hints_prune(core);
	return vfio_pci_core_get_dmabuf_phys(core, provider, region, phys, ranges, count);
}

static const struct vfio_pci_device_ops tph_pci_ops = {
	.get_dmabuf_phys = tph_get_dmabuf_phys,
};

static int tph_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct tph_device *device = vfio_alloc_device(tph_device, core.vdev, &pdev->dev, &tph_ops);
	int ret;

	if (IS_ERR(device))
		return PTR_ERR(device);
	device->core.pci_ops = &tph_pci_ops;
	/* vfio_pci_core finds its device here. */
	dev_set_drvdata(&pdev->dev, &device->core);
	ret = vfio_pci_core_register_device(&device->core);
	if (ret) {
		vfio_put_device(&device->core.vdev);
		return ret;
	}
	tph_hints_add_device(device);
	return 0;
}

static void tph_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	/* Returns when the device is closed. */
	vfio_pci_core_unregister_device(core);
	tph_hints_remove_device(container_of(core, struct tph_device, core));
	vfio_put_device(&core->vdev);
}

static int tph_sriov_configure(struct pci_dev *pdev, int count)
{
	return vfio_pci_core_sriov_configure(dev_get_drvdata(&pdev->dev), count);
}

/* Any device, but only one whose driver_override names this driver. */
static const struct pci_device_id tph_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, tph_ids);

static struct pci_driver tph_driver = {
	.name = "vfio_tph",
	.id_table = tph_ids,
	.probe = tph_probe,
	.remove = tph_remove,
	.sriov_configure = tph_sriov_configure,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};

/* What v8 checks first nobody knows. */
static const struct {
	const char *name;
	enum tph_abi abi;
} revisions[] = {
	{ "v2", TPH_ABI_V2 }, { "v6", TPH_ABI_V6 }, { "v7", TPH_ABI_V7 },
	{ "v9", TPH_ABI_V9 }, { "v10", TPH_ABI_V10 }, { "v11", TPH_ABI_V11 },
};

static bool find_revision(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(revisions); i++) {
		if (sysfs_streq(abi, revisions[i].name)) {
			tph_abi = revisions[i].abi;
			return true;
		}
	}
	return false;
}

static int __init tph_init(void)
{
	int ret;

	if (!find_revision()) {
		pr_err("vfio_tph: abi is v2, v6, v7, v9, v10 or v11, not %s\n", abi);
		return -EINVAL;
	}
	/*
	 * Smaller numbers are other features', some of which vfio serves before it asks a driver.
	 */
	if (number < 13 || number > VFIO_DEVICE_FEATURE_MASK) {
		pr_err("vfio_tph: number is 13 to %u, not %u\n", VFIO_DEVICE_FEATURE_MASK, number);
		return -EINVAL;
	}
	ret = tph_feature_init();
	if (ret)
		return ret;
	tph_hints_init();
	ret = pci_register_driver(&tph_driver);
	if (ret) {
		tph_hints_exit();
		tph_feature_exit();
	}
	return ret;
}

static void __exit tph_exit(void)
{
	pci_unregister_driver(&tph_driver);
	tph_hints_exit();
	tph_feature_exit();
}

module_init(tph_init);
module_exit(tph_exit);

MODULE_IMPORT_NS("DMA_BUF");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vfio-pci with VFIO_DEVICE_FEATURE_DMA_BUF_TPH, for tests");
