import CKernel
import Kernel

/// An RDMA device (struct ib_device) and its PCI function.
final class Adapter {
    let nic: Topology.NIC
    let function: PCIFunction?
    /// nil where it sends no hints.
    let steering: SteeringTable?
    /// nil where keys are not used again.
    let keys: MemoryKeyPool?
    private let number: UInt8

    init(_ nic: Topology.NIC, _ index: Int, _ function: PCIFunction?, _ routes: P2PRoutes) {
        self.nic = nic
        self.function = function
        number = UInt8(truncatingIfNeeded: index + 1)
        let rootPort = nic.address.flatMap { routes.rootPortCompleter(above: $0) }
        steering = SteeringTable(nic, function, rootPort: rootPort)
        keys = nic.driver == .mlx5 ? MemoryKeyPool() : nil
    }

    /// The port's addresses: fe80::N, and ::ffff:10.0.0.N.
    func gid(isIPv4: Bool) -> [UInt8] {
        isIPv4
            ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, number]
            : [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]
    }

    /// The port's table, as far as it is filled.
    var gids: [(gid: [UInt8], type: ibv_gid_type)] {
        if let gid = nic.subnet?.gid { return [(gid, IBV_GID_TYPE_IB)] }
        let types = nic.driver == .rxe ? [IBV_GID_TYPE_ROCE_V2] : [IBV_GID_TYPE_ROCE_V1, IBV_GID_TYPE_ROCE_V2]
        return (0..<(2 * types.count)).map { (gid(isIPv4: $0 >= types.count), types[$0 % types.count]) }
    }

    /// Whether an address leads to this port: by its GID or, within a subnet, by its LID.
    func isReached(by address: ibv_ah_attr) -> Bool {
        if let subnet = nic.subnet, address.is_global == 0 { return address.dlid == subnet.lid }
        var gid = address.grh.dgid
        let named = withUnsafeBytes(of: &gid) { Array($0) }
        return gids.contains { $0.gid == named }
    }
}

extension Topology.NIC.Subnet {
    /// Link-local, as a port's first GID is.
    fileprivate var gid: [UInt8] {
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: guid >> (56 - 8 * UInt64($0))) }
    }
}

/// Memory keys of an mlx5 device that wait for another region of the same kind. drivers/infiniband/core/frmr_pools.c;
/// no key ages here.
final class MemoryKeyPool {
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
