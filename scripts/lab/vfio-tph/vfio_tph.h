/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What vfio_tph offers to other modules. Importers take these functions with symbol_get(), so
 * that they load without this module, and call them while they hold a reference to the dma-buf.
 */
#ifndef PEERLAB_VFIO_TPH_H
#define PEERLAB_VFIO_TPH_H

#include <linux/types.h>

struct dma_buf;

/*
 * The hint that was set on @dmabuf, in v6's terms: @extended asks for the 16-bit namespace, else
 * for the 8-bit one. -EOPNOTSUPP where nothing was set, or nothing in that namespace. With abi=v2
 * this is vfio_tph_get_width() of 16 or 8.
 */
int vfio_tph_get(struct dma_buf *dmabuf, bool extended, u16 *st, u8 *ph);

/*
 * The same in v2's terms: -EOPNOTSUPP where nothing was set, -EINVAL where the tag has more than
 * @width bits. From v6 on a width of 8 or 16 chooses the namespace, and any other is -EINVAL.
 */
int vfio_tph_get_width(struct dma_buf *dmabuf, u8 width, u16 *st, u8 *ph);

/*
 * The same as vfio_tph_get() with the dma-buf's reservation locked, under the name that v7 gives it
 * (module dma_buf_tph), and under the one from v8 on (module dma_buf_pci_tph).
 */
int dma_buf_get_tph(struct dma_buf *dmabuf, bool extended, u16 *st, u8 *ph);
int dma_buf_get_pci_tph(struct dma_buf *dmabuf, bool extended, u16 *st, u8 *ph);

#endif
