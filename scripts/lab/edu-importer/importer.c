// SPDX-License-Identifier: GPL-2.0
/*
 * A dynamic importer of dma-bufs for QEMU's edu device (docs/specs/edu of QEMU), driven through
 * /dev/edu-importer: what a NIC's driver does with a dma-buf, without a NIC. The requests are
 * told in edu_importer.h.
 *
 * Locks, outermost first: edu_lock (everything but what the exporter calls), then the dma-buf's
 * reservation (the mapping). A transfer holds both, so the exporter, which takes the reservation
 * to revoke, waits for it.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../vfio-tph/vfio_tph.h"
#include "edu_importer.h"
#include "engine.h"

/* An open file. */
struct importer {
	struct list_head entry;
	struct dma_buf_attachment *attachment;
	/* NULL while not mapped; protected by the dma-buf's reservation. */
	struct sg_table *table;
	atomic_t invalidations;
};

static DEFINE_MUTEX(edu_lock);
/* The one device; NULL while none is bound. */
static struct edu *edu;
static LIST_HEAD(importers);

/* With the reservation locked. */
static void unmap_locked(struct importer *importer)
{
	if (!importer->table)
		return;
	dma_buf_unmap_attachment(importer->attachment, importer->table, DMA_BIDIRECTIONAL);
	importer->table = NULL;
}

/*
 * The exporter calls this with the reservation locked, and waits afterwards until nobody has it
 * mapped.
 */
static void invalidated(struct dma_buf_attachment *attachment)
{
	struct importer *importer = attachment->importer_priv;

	atomic_inc(&importer->invalidations);
	unmap_locked(importer);
}

/* By the flags of EDU_ATTACH. */
static const struct dma_buf_attach_ops importer_ops[] = {
	[0] = {},
	[EDU_PEER2PEER] = { .allow_peer2peer = true },
	[EDU_INVALIDATE] = { .invalidate_mappings = invalidated },
	[EDU_PEER2PEER | EDU_INVALIDATE] = {
		.allow_peer2peer = true,
		.invalidate_mappings = invalidated,
	},
};

static void detach(struct importer *importer)
{
	struct dma_buf *dmabuf;

	if (!importer->attachment)
		return;
	dmabuf = importer->attachment->dmabuf;
	dma_resv_lock(dmabuf->resv, NULL);
	unmap_locked(importer);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, importer->attachment);
	dma_buf_put(dmabuf);
	importer->attachment = NULL;
}

static long attach(struct importer *importer, void __user *argument)
{
	struct dma_buf_attachment *attachment;
	struct edu_attach request;
	struct dma_buf *dmabuf;

	if (importer->attachment)
		return -EBADFD;
	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	if (request.flags >= ARRAY_SIZE(importer_ops))
		return -EINVAL;
	dmabuf = dma_buf_get(request.fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	atomic_set(&importer->invalidations, 0);
	attachment = dma_buf_dynamic_attach(dmabuf, &edu->pdev->dev, &importer_ops[request.flags],
					    importer);
	if (IS_ERR(attachment)) {
		dma_buf_put(dmabuf);
		return PTR_ERR(attachment);
	}
	importer->attachment = attachment;
	return 0;
}

/* With the reservation locked. */
static int map_locked(struct importer *importer, struct edu_map *answer)
{
	struct sg_table *table;
	struct scatterlist *sg;
	int i;

	if (importer->table)
		return -EBUSY;
	table = dma_buf_map_attachment(importer->attachment, DMA_BIDIRECTIONAL);
	if (IS_ERR(table))
		return PTR_ERR(table);
	importer->table = table;
	answer->count = table->nents;
	for_each_sgtable_dma_sg(table, sg, i) {
		if (i >= EDU_ENTRIES)
			break;
		answer->entry[i].address = sg_dma_address(sg);
		answer->entry[i].length = sg_dma_len(sg);
	}
	return 0;
}

static long map(struct importer *importer, void __user *argument)
{
	struct dma_resv *resv = importer->attachment->dmabuf->resv;
	struct edu_map *answer = kzalloc(sizeof(*answer), GFP_KERNEL);
	long ret;

	if (!answer)
		return -ENOMEM;
	ret = dma_resv_lock_interruptible(resv, NULL);
	if (!ret) {
		ret = map_locked(importer, answer);
		dma_resv_unlock(resv);
	}
	if (!ret && copy_to_user(argument, answer, sizeof(*answer)))
		ret = -EFAULT;
	kfree(answer);
	return ret;
}

static long unmap(struct importer *importer)
{
	struct dma_resv *resv = importer->attachment->dmabuf->resv;
	long ret = dma_resv_lock_interruptible(resv, NULL);

	if (ret)
		return ret;
	unmap_locked(importer);
	dma_resv_unlock(resv);
	return 0;
}

/*
 * Where the device finds the dma-buf's byte at @offset; lowers @length to what follows in one
 * piece.
 */
static dma_addr_t find(struct sg_table *table, u64 offset, size_t *length)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(table, sg, i) {
		if (offset < sg_dma_len(sg)) {
			*length = min_t(u64, *length, sg_dma_len(sg) - offset);
			return sg_dma_address(sg) + offset;
		}
		offset -= sg_dma_len(sg);
	}
	*length = 0;
	return 0;
}

/* Copies a part, with the reservation locked; bytes or an errno. */
static ssize_t copy_part(struct importer *importer, const struct edu_copy *request)
{
	size_t length = min_t(u64, request->length, EDU_BUFFER_SIZE);
	dma_addr_t source, destination;
	int ret;

	if (!importer->table)
		return -ENXIO;
	source = find(importer->table, request->from, &length);
	destination = find(importer->table, request->to, &length);
	if (!length)
		return -ERANGE;
	ret = edu_engine_copy(edu, source, destination, length);
	return ret ? ret : length;
}

static long copy(struct importer *importer, void __user *argument)
{
	struct dma_buf *dmabuf = importer->attachment->dmabuf;
	struct edu_copy request;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	if (request.length > dmabuf->size || request.from > dmabuf->size - request.length ||
	    request.to > dmabuf->size - request.length)
		return -ERANGE;
	while (request.length) {
		ssize_t part = dma_resv_lock_interruptible(dmabuf->resv, NULL);

		if (part)
			return part;
		part = copy_part(importer, &request);
		dma_resv_unlock(dmabuf->resv);
		if (part < 0)
			return part;
		request.from += part;
		request.to += part;
		request.length -= part;
	}
	return 0;
}

static long state(struct importer *importer, void __user *argument)
{
	struct dma_resv *resv = importer->attachment->dmabuf->resv;
	struct edu_state answer;
	long ret = dma_resv_lock_interruptible(resv, NULL);

	if (ret)
		return ret;
	answer.invalidations = atomic_read(&importer->invalidations);
	answer.mapped = importer->table != NULL;
	dma_resv_unlock(resv);
	return copy_to_user(argument, &answer, sizeof(answer)) ? -EFAULT : 0;
}

/* Asks as the revision's importers do; with the reservation locked, which is wanted from v7 on. */
static int ask(struct dma_buf *dmabuf, struct edu_hint *request)
{
	typeof(&vfio_tph_get) get;
	int ret = -ENOENT;

	if ((get = symbol_get(dma_buf_get_pci_tph))) {
		ret = get(dmabuf, request->extended, &request->st, &request->ph);
		symbol_put(dma_buf_get_pci_tph);
	} else if ((get = symbol_get(dma_buf_get_tph))) {
		ret = get(dmabuf, request->extended, &request->st, &request->ph);
		symbol_put(dma_buf_get_tph);
	} else if ((get = symbol_get(vfio_tph_get))) {
		ret = get(dmabuf, request->extended, &request->st, &request->ph);
		symbol_put(vfio_tph_get);
	}
	return ret;
}

static long hint(struct importer *importer, void __user *argument)
{
	struct dma_buf *dmabuf = importer->attachment->dmabuf;
	struct edu_hint request;
	int ret;

	if (copy_from_user(&request, argument, sizeof(request)))
		return -EFAULT;
	ret = dma_resv_lock_interruptible(dmabuf->resv, NULL);
	if (ret)
		return ret;
	ret = ask(dmabuf, &request);
	dma_resv_unlock(dmabuf->resv);
	if (ret)
		return ret;
	request.reserved = 0;
	return copy_to_user(argument, &request, sizeof(request)) ? -EFAULT : 0;
}

static long dispatch(struct importer *importer, unsigned int number, void __user *argument)
{
	if (!edu)
		return -ENODEV;
	if (number == EDU_ATTACH)
		return attach(importer, argument);
	if (!importer->attachment)
		return -EBADFD;
	switch (number) {
	case EDU_MAP:
		return map(importer, argument);
	case EDU_COPY:
		return copy(importer, argument);
	case EDU_UNMAP:
		return unmap(importer);
	case EDU_DETACH:
		detach(importer);
		return 0;
	case EDU_STATE:
		return state(importer, argument);
	case EDU_HINT:
		return hint(importer, argument);
	default:
		return -ENOTTY;
	}
}

static long edu_ioctl(struct file *file, unsigned int number, unsigned long argument)
{
	long ret = mutex_lock_interruptible(&edu_lock);

	if (ret)
		return ret;
	ret = dispatch(file->private_data, number, (void __user *)argument);
	mutex_unlock(&edu_lock);
	return ret;
}

static int edu_open(struct inode *inode, struct file *file)
{
	struct importer *importer = kzalloc(sizeof(*importer), GFP_KERNEL);

	if (!importer)
		return -ENOMEM;
	file->private_data = importer;
	mutex_lock(&edu_lock);
	list_add(&importer->entry, &importers);
	mutex_unlock(&edu_lock);
	return 0;
}

static int edu_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;

	mutex_lock(&edu_lock);
	detach(importer);
	list_del(&importer->entry);
	mutex_unlock(&edu_lock);
	kfree(importer);
	return 0;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.release = edu_release,
	.unlocked_ioctl = edu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice edu_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "edu-importer",
	.fops = &edu_fops,
	.mode = 0600,
};

/* misc_register() takes a lock that edu_open() is called with, so not under edu_lock. */
static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *new = devm_kzalloc(&pdev->dev, sizeof(*new), GFP_KERNEL);
	int ret;

	if (!new)
		return -ENOMEM;
	new->pdev = pdev;
	ret = edu_engine_start(new);
	if (ret)
		return ret;
	mutex_lock(&edu_lock);
	if (edu)
		ret = -EBUSY;
	else
		edu = new;
	mutex_unlock(&edu_lock);
	if (ret)
		return ret;
	ret = misc_register(&edu_misc);
	if (ret) {
		mutex_lock(&edu_lock);
		edu = NULL;
		mutex_unlock(&edu_lock);
	}
	return ret;
}

/* Files may stay open: they lose their attachments, which hold the device. */
static void edu_remove(struct pci_dev *pdev)
{
	struct importer *importer;

	misc_deregister(&edu_misc);
	mutex_lock(&edu_lock);
	list_for_each_entry(importer, &importers, entry)
		detach(importer);
	edu = NULL;
	mutex_unlock(&edu_lock);
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu_importer",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};
module_pci_driver(edu_driver);

MODULE_IMPORT_NS("DMA_BUF");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A dynamic importer of dma-bufs for QEMU's edu device, for tests");
