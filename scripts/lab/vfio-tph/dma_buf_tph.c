// SPDX-License-Identifier: GPL-2.0
/*
 * What v7 of the series adds to the dma-buf core: the function by which importers ask. It is a
 * module of its own as programs take the name in /proc/kallsyms for a mark of the revision.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>

#include "vfio_tph.h"

int dma_buf_get_tph(struct dma_buf *dmabuf, bool extended, u16 *st, u8 *ph)
{
	dma_resv_assert_held(dmabuf->resv);
	return vfio_tph_get(dmabuf, extended, st, ph);
}
EXPORT_SYMBOL_GPL(dma_buf_get_tph);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Stands in for the dma-buf core's part of DMA_BUF_TPH v7");
