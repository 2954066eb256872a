// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_DEVICE_FEATURE_DMA_BUF_TPH of posted revisions: the checks, their order and their errno.
 * All look the descriptor up only after size and values, which programs rely on to find out which
 * structure a kernel takes. Of v10 and v11 no check is known that v9 has not.
 */
#include <linux/dma-buf.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#include "internal.h"

/* v2, 30 April 2026. */
struct tph_data_v2 {
	__s32 dmabuf_fd;
	__u16 steering_tag;
	__u8 ph;
	__u8 reserved;
};
static_assert(sizeof(struct tph_data_v2) == 8);

/* v6, 8 June 2026, and all after it. */
struct tph_data_v6 {
	__s32 dmabuf_fd;
	__u32 flags;
	__u16 steering_tag_ext;
	__u8 steering_tag;
	__u8 ph;
};
static_assert(sizeof(struct tph_data_v6) == 12);

static bool requester = true;
module_param(requester, bool, 0644);
MODULE_PARM_DESC(requester, "v6: 1 counts every device as a TPH requester, 0 looks for the capability (default 1)");

/*
 * Of pcie_tph and pcie_tph_completer, of which at most the revision's own may be loaded, so they
 * are no dependencies of this module.
 */
bool pcie_tph_supported(struct pci_dev *pdev);
u8 pcie_tph_completer_type(struct pci_dev *pdev);
static bool (*supported)(struct pci_dev *pdev);
static u8 (*completer)(struct pci_dev *pdev);

static int set(struct vfio_pci_core_device *core, int fd, const struct tph_hint *hint)
{
	struct dma_buf *dmabuf = dma_buf_get(fd);
	int ret;

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	ret = tph_hint_set(core, dmabuf, hint);
	dma_buf_put(dmabuf);
	return ret;
}

static int set_v2(struct vfio_pci_core_device *core, u32 flags, void __user *arg, size_t argsz)
{
	struct tph_data_v2 data;
	struct tph_hint hint = { .flags = TPH_FLAG_ST };
	int ret = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_SET, sizeof(data));

	if (ret != 1)
		return ret;
	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	if (data.reserved)
		return -EINVAL;
	/* v2 stores any PH, also one that no TLP can carry. */
	hint.st = data.steering_tag;
	hint.ph = data.ph;
	return set(core, data.dmabuf_fd, &hint);
}

/* What looks at the device before the operation: PROBE, GET and a short size give this too. */
static int gate(struct vfio_pci_core_device *core)
{
	if (tph_abi == TPH_ABI_V6 && !requester && !supported(core->pdev))
		return -EOPNOTSUPP;
	if (tph_abi >= TPH_ABI_V9 && completer(core->pdev) == PCI_EXP_DEVCAP2_TPH_COMP_NONE)
		return -EOPNOTSUPP;
	return 0;
}

/* From v7 on: whether the device takes what the flags say is given. */
static int check_completer(struct vfio_pci_core_device *core, u32 flags)
{
	u8 type;

	if (tph_abi < TPH_ABI_V7)
		return 0;
	type = completer(core->pdev);
	if (type == PCI_EXP_DEVCAP2_TPH_COMP_NONE)
		return -EOPNOTSUPP;
	if ((flags & TPH_FLAG_ST_EXT) && type != PCI_EXP_DEVCAP2_TPH_COMP_EXT_TPH)
		return -EOPNOTSUPP;
	return 0;
}

static int set_v6(struct vfio_pci_core_device *core, u32 flags, void __user *arg, size_t argsz)
{
	struct tph_data_v6 data;
	struct tph_hint hint = {};
	int ret;

	ret = gate(core);
	if (ret)
		return ret;
	ret = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_SET, sizeof(data));
	if (ret != 1)
		return ret;
	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	if (data.flags & ~(TPH_FLAG_ST | TPH_FLAG_ST_EXT))
		return -EINVAL;
	if (data.ph > 3)
		return -EINVAL;
	ret = check_completer(core, data.flags);
	if (ret)
		return ret;
	hint.flags = data.flags;
	hint.st = data.steering_tag;
	hint.st_ext = data.steering_tag_ext;
	hint.ph = data.ph;
	return set(core, data.dmabuf_fd, &hint);
}

/* Not inlined, for /proc/kallsyms. */
noinline int vfio_pci_core_feature_dma_buf_tph(struct vfio_pci_core_device *core, u32 flags,
					       void __user *arg, size_t argsz)
{
	if (tph_abi == TPH_ABI_V2)
		return set_v2(core, flags, arg, argsz);
	return set_v6(core, flags, arg, argsz);
}

int tph_feature_init(void)
{
	if (tph_abi == TPH_ABI_V6)
		supported = symbol_get(pcie_tph_supported);
	else if (tph_abi >= TPH_ABI_V7)
		completer = symbol_get(pcie_tph_completer_type);
	if (tph_abi == TPH_ABI_V2 || supported || completer)
		return 0;
	pr_err("vfio_tph: abi=%s needs the module %s to be loaded before\n",
	       tph_abi == TPH_ABI_V6 ? "v6" : "v7 and later",
	       tph_abi == TPH_ABI_V6 ? "pcie_tph" : "pcie_tph_completer");
	return -ENOENT;
}

void tph_feature_exit(void)
{
	if (supported)
		symbol_put(pcie_tph_supported);
	if (completer)
		symbol_put(pcie_tph_completer_type);
}
