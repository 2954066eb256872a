/* Regions with DMA handles by the requests of the kernel itself (ioctl of /dev/infiniband/uverbs*), for a libibverbs that is
 * older than rdma-core 59: 0 or a negated errno, -EOPNOTSUPP on a device whose driver is not mlx5, as the newer library
 * answers of every other provider (libibverbs/dummy_ops.c). */
#pragma once
#include "verbs.h"

long uverbs_alloc_dmah(struct ibv_context *_Nonnull context, const struct shim_dmah_init_attr *_Nonnull attributes,
                       void *_Nullable *_Nonnull dmah);
long uverbs_dealloc_dmah(void *_Nonnull dmah);
/* The region is no provider's: nothing but uverbs_dereg_mr may end it. */
long uverbs_reg_mr(struct ibv_pd *_Nonnull pd, const struct shim_mr_init_attr *_Nonnull attributes,
                   struct ibv_mr *_Nullable *_Nonnull mr);
/* -ENOENT where it is not such a region. */
long uverbs_dereg_mr(struct ibv_mr *_Nonnull mr);
