// SPDX-License-Identifier: GPL-2.0
/*
 * The hints, which the series keeps in vfio_pci_core's private structure of a dma-buf. That
 * structure is out of reach here, and so is its release: vfio_pci_core compares a dma-buf's ops
 * with its own when iommufd maps it, so ops with a release of ours would break MAP_FILE. What is
 * public is the device's list of its dma-bufs and its lock. The node in that list lies within the
 * private structure, so
 *
 * - a dma-buf is the device's if a node of the device's list lies within what dma_buf->priv
 *   points to;
 * - a hint whose node is no longer in the list is of a released dma-buf, and is dropped (pruned);
 * - a new dma-buf may get the memory of a released one and with it the same node. Its memory is
 *   allocated before get_dmabuf_phys, where we prune, and its node comes into the list after it;
 *   so no hint of the old one is left then.
 *
 * Hints hold no reference to anything. They are found by inode number, which the kernel never
 * uses twice. Unlike the series', they go when the device is closed, as that empties the list;
 * nobody can attach to the dma-buf after that.
 *
 * Locks, outermost first: devices_lock, the device's memory_lock, the dma-buf's reservation,
 * hints_lock.
 */
#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "internal.h"
#include "vfio_tph.h"

struct stored_hint {
	struct list_head entry;
	struct vfio_pci_core_device *core;
	/* The dma-buf's place in core->dmabufs; only compared, never followed. */
	const struct list_head *node;
	u64 inode;
	size_t size;
	struct tph_hint hint;
};

static LIST_HEAD(devices);
static DEFINE_MUTEX(devices_lock);
static LIST_HEAD(hints);
static DEFINE_MUTEX(hints_lock);
static struct dentry *folder;

/*
 * The least that vfio_pci_core's private structure of a dma-buf can be; its list node is near its
 * start.
 */
#define PRIVATE_SIZE 64

/* The dma-buf's node in the device's list; NULL where it is not the device's. */
static const struct list_head *find_node(struct vfio_pci_core_device *core, struct dma_buf *dmabuf)
{
	const struct list_head *node;

	lockdep_assert_held(&core->memory_lock);
	list_for_each(node, &core->dmabufs) {
		if ((unsigned long)node - (unsigned long)dmabuf->priv < PRIVATE_SIZE)
			return node;
	}
	return NULL;
}

static bool is_listed(struct vfio_pci_core_device *core, const struct list_head *wanted)
{
	const struct list_head *node;

	list_for_each(node, &core->dmabufs) {
		if (node == wanted)
			return true;
	}
	return false;
}

static struct stored_hint *find_hint(u64 inode)
{
	struct stored_hint *stored;

	list_for_each_entry(stored, &hints, entry) {
		if (stored->inode == inode)
			return stored;
	}
	return NULL;
}

static void drop(struct stored_hint *stored)
{
	list_del(&stored->entry);
	kfree(stored);
}

/* With memory_lock and hints_lock. */
static void prune(struct vfio_pci_core_device *core)
{
	struct stored_hint *stored, *next;

	list_for_each_entry_safe(stored, next, &hints, entry) {
		if (stored->core == core && !is_listed(core, stored->node))
			drop(stored);
	}
}

void tph_hints_prune(struct vfio_pci_core_device *core)
{
	down_read(&core->memory_lock);
	mutex_lock(&hints_lock);
	prune(core);
	mutex_unlock(&hints_lock);
	up_read(&core->memory_lock);
}

static int store(struct vfio_pci_core_device *core, struct dma_buf *dmabuf,
		 const struct list_head *node, const struct tph_hint *hint)
{
	u64 inode = file_inode(dmabuf->file)->i_ino;
	struct stored_hint *stored = find_hint(inode);

	if (!hint->flags) {
		if (stored)
			drop(stored);
		return 0;
	}
	if (!stored) {
		stored = kzalloc(sizeof(*stored), GFP_KERNEL_ACCOUNT);
		if (!stored)
			return -ENOMEM;
		stored->core = core;
		stored->node = node;
		stored->inode = inode;
		stored->size = dmabuf->size;
		list_add_tail(&stored->entry, &hints);
	}
	stored->hint = *hint;
	return 0;
}

/* From v7 on the reservation excludes importers that ask; a signal ends the wait for it. */
static int store_locked(struct vfio_pci_core_device *core, struct dma_buf *dmabuf,
			const struct list_head *node, const struct tph_hint *hint)
{
	int ret = 0;

	if (tph_abi >= TPH_ABI_V7)
		ret = dma_resv_lock_interruptible(dmabuf->resv, NULL);
	if (ret)
		return ret;
	mutex_lock(&hints_lock);
	ret = store(core, dmabuf, node, hint);
	mutex_unlock(&hints_lock);
	if (tph_abi >= TPH_ABI_V7)
		dma_resv_unlock(dmabuf->resv);
	return ret;
}

/*
 * Sets or, without flags, drops the hint. -EINVAL where the dma-buf is not of this device, or the
 * device is closed; -EINTR from v7 on.
 */
int tph_hint_set(struct vfio_pci_core_device *core, struct dma_buf *dmabuf,
		 const struct tph_hint *hint)
{
	const struct list_head *node;
	int ret = -EINVAL;

	/* The series compares ops, which are static there. */
	if (strcmp(dmabuf->exp_name, "vfio_pci_core"))
		return -EINVAL;
	/*
	 * v2 takes it for writing, to exclude the device's end; nothing of the device is written
	 * here.
	 */
	down_read(&core->memory_lock);
	node = find_node(core, dmabuf);
	if (node)
		ret = store_locked(core, dmabuf, node, hint);
	up_read(&core->memory_lock);
	return ret;
}

static int get(struct dma_buf *dmabuf, struct tph_hint *hint)
{
	struct stored_hint *stored;
	int ret = -EOPNOTSUPP;

	mutex_lock(&hints_lock);
	stored = find_hint(file_inode(dmabuf->file)->i_ino);
	if (stored) {
		*hint = stored->hint;
		ret = 0;
	}
	mutex_unlock(&hints_lock);
	return ret;
}

int vfio_tph_get(struct dma_buf *dmabuf, bool extended, u16 *st, u8 *ph)
{
	struct tph_hint hint;
	int ret;

	if (tph_abi == TPH_ABI_V2)
		return vfio_tph_get_width(dmabuf, extended ? 16 : 8, st, ph);
	ret = get(dmabuf, &hint);
	if (ret)
		return ret;
	if (!(hint.flags & (extended ? TPH_FLAG_ST_EXT : TPH_FLAG_ST)))
		return -EOPNOTSUPP;
	*st = extended ? hint.st_ext : hint.st;
	*ph = hint.ph;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_tph_get);

int vfio_tph_get_width(struct dma_buf *dmabuf, u8 width, u16 *st, u8 *ph)
{
	struct tph_hint hint;
	int ret;

	if (tph_abi != TPH_ABI_V2) {
		if (width != 8 && width != 16)
			return -EINVAL;
		return vfio_tph_get(dmabuf, width == 16, st, ph);
	}
	ret = get(dmabuf, &hint);
	if (ret)
		return ret;
	if (width < 16 && hint.st >> width)
		return -EINVAL;
	*st = hint.st;
	*ph = hint.ph;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_tph_get_width);

void tph_hints_add_device(struct tph_device *device)
{
	mutex_lock(&devices_lock);
	list_add_tail(&device->entry, &devices);
	mutex_unlock(&devices_lock);
}

void tph_hints_remove_device(struct tph_device *device)
{
	mutex_lock(&devices_lock);
	list_del(&device->entry);
	mutex_unlock(&devices_lock);
	tph_hints_prune(&device->core);
}

/*
 * Released dma-bufs are not shown: pruning needs each device's lock, which comes before the
 * hints'.
 */
static int dmabufs_show(struct seq_file *out, void *unused)
{
	struct tph_device *device;
	struct stored_hint *stored;

	mutex_lock(&devices_lock);
	list_for_each_entry(device, &devices, entry)
		tph_hints_prune(&device->core);
	mutex_lock(&hints_lock);
	list_for_each_entry(stored, &hints, entry) {
		seq_printf(out, "%llu %zu %u %u %u %u\n", stored->inode, stored->size,
			   stored->hint.flags, stored->hint.st, stored->hint.st_ext,
			   stored->hint.ph);
	}
	mutex_unlock(&hints_lock);
	mutex_unlock(&devices_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(dmabufs);

void tph_hints_init(void)
{
	folder = debugfs_create_dir("vfio_tph", NULL);
	debugfs_create_file("dmabufs", 0444, folder, NULL, &dmabufs_fops);
}

void tph_hints_exit(void)
{
	debugfs_remove_recursive(folder);
}
