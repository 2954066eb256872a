/* RDMA netlink (include/uapi/rdma/rdma_netlink.h): what the kernel tells of a memory region beyond libibverbs. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The driver's raw dump of this process's region with that local key, at most `size` bytes: how many there were, or a
 * negated errno. ENOENT: no such region, or its key is not shown (that takes CAP_NET_ADMIN); EOPNOTSUPP: the driver has
 * no dump. */
long rdma_raw_mr(const char *_Nonnull device, uint32_t lkey, void *_Nonnull buffer, size_t size);

/* The device's pools of memory keys: the entries of the tables of RDMA_NLDEV_ATTR_FRMR_POOLS, one behind the other, at
 * most `size` bytes: how many there were, or a negated errno. EOPNOTSUPP: this kernel has no such dump; ENODATA: the
 * device has no pools. */
long rdma_frmr_pools(const char *_Nonnull device, void *_Nonnull buffer, size_t size);
