import Kernel

/// Freed memory keys of an mlx5 device, kept for the next region of the same kind (fast registration pools).
/// drivers/infiniband/core/frmr_pools.c; the model frees none after a time.
final class FRMRPools {
    /// What keys of one pool have in common: drivers/infiniband/hw/mlx5/mr.c.
    struct Kind: Hashable {
        let ph: UInt8?
        let index: UInt16
        let access: Access
        let pages: UInt64
        let isBuffer: Bool
    }
    private var free: [Kind: [UInt32]] = [:]
    private var used: [Kind: (now: Int, most: Int)] = [:]

    func take(_ kind: Kind) -> UInt32? {
        let now = (used[kind]?.now ?? 0) + 1
        used[kind] = (now, max(now, used[kind]?.most ?? 0))
        return free[kind]?.popLast()
    }

    func giveBack(_ key: UInt32, _ kind: Kind) {
        free[kind, default: []].append(key)
        used[kind]?.now -= 1
    }

    /// What RDMA netlink shows of them, in the order of their keys (core/frmr_pools.c:compare_keys).
    var pools: [FRMRPool] {
        let kinds = used.sorted {
            ($0.key.pages, $0.key.access.rawValue, $0.key.isBuffer ? 1 : 0)
                < ($1.key.pages, $1.key.access.rawValue, $1.key.isBuffer ? 1 : 0)
        }
        return kinds.map { kind, count in
            var pool = FRMRPool()
            // hw/mlx5/mr.c:get_unchangeable_access_flags, of a NIC that can change all of them
            pool.blocks = kind.pages
            // hw/mlx5/mr.c:_mlx5_frmr_pool_alloc
            if let ph = kind.ph { pool.kernelVendorKey = UInt64(ph == 0 ? 0xff : ph) << 16 | UInt64(kind.index) }
            pool.handles = UInt32(truncatingIfNeeded: free[kind]?.count ?? 0)
            pool.inUse = UInt64(count.now)
            pool.maxInUse = UInt64(count.most)
            return pool
        }.sorted { ($0.blocks, $0.kernelVendorKey) < ($1.blocks, $1.kernelVendorKey) }
    }
}
