/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEERLAB_VFIO_TPH_INTERNAL_H
#define PEERLAB_VFIO_TPH_INTERNAL_H

#include <linux/list.h>
#include <linux/vfio_pci_core.h>

struct dma_buf;

/* A revision of the series, in their order; no other number is one. */
enum tph_abi {
	TPH_ABI_V2 = 2,
	TPH_ABI_V6 = 6,
	TPH_ABI_V7 = 7,
	TPH_ABI_V9 = 9,
	TPH_ABI_V10 = 10,
	TPH_ABI_V11 = 11,
};

/* Flags from v6 on. What v2 sets counts as TPH_FLAG_ST: it has one tag and no flags. */
#define TPH_FLAG_ST	BIT(0)
#define TPH_FLAG_ST_EXT	BIT(1)

/* One bound function. */
struct tph_device {
	struct vfio_pci_core_device core;
	/* In the list of bound functions. */
	struct list_head entry;
};

/* What a SET carries. */
struct tph_hint {
	u32 flags;
	u16 st;
	u16 st_ext;
	u8 ph;
};

/* driver.c */
extern enum tph_abi tph_abi;

/*
 * feature.c: the function behind the feature. It has the name that the series gives it, as
 * programs look for it.
 */
int vfio_pci_core_feature_dma_buf_tph(struct vfio_pci_core_device *core, u32 flags,
				      void __user *arg, size_t argsz);
int tph_feature_init(void);
void tph_feature_exit(void);

/* hints.c */
int tph_hint_set(struct vfio_pci_core_device *core, struct dma_buf *dmabuf,
		 const struct tph_hint *hint);
void tph_hints_prune(struct vfio_pci_core_device *core);
void tph_hints_add_device(struct tph_device *device);
void tph_hints_remove_device(struct tph_device *device);
void tph_hints_init(void);
void tph_hints_exit(void);

#endif
