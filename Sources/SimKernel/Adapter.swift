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

    init(_ nic: Topology.NIC, _ index: Int, _ function: PCIFunction?, _ routes: PeerRoutes) {
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

    func has(gid: [UInt8]) -> Bool { gid == self.gid(isIPv4: true) || gid == self.gid(isIPv4: false) }
}

/// Memory keys of an mlx5 device that wait for another region of the same kind. drivers/infiniband/core/frmr_pools.c;
/// no key ages here.
final class MemoryKeyPool {
    /// What keys of one pool have in common: tph-uapi-history.md section 5, hw/mlx5/mr.c.
    struct Kind: Hashable {
        let ph: UInt8?
        let index: UInt16
        let access: Int32
        let pages: UInt64
        let isBuffer: Bool
    }
    private var free: [Kind: [UInt32]] = [:]

    func take(_ kind: Kind) -> UInt32? { free[kind]?.popLast() }

    func giveBack(_ key: UInt32, _ kind: Kind) { free[kind, default: []].append(key) }
}
