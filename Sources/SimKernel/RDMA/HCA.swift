import CKernel
import Kernel

/// A host channel adapter: an RDMA device (struct ib_device) and its PCI function.
final class HCA {
    let nic: Topology.NIC
    let function: PCIFunction?
    /// nil where it sends no hints.
    let steering: SteeringTable?
    /// nil where the driver pools no memory keys.
    let keys: FRMRPools?
    private let number: UInt8

    init(_ index: Int, of topology: Topology, _ function: PCIFunction?, _ routes: P2PRoutes) {
        let nic = topology.nics[index]
        self.nic = nic
        self.function = function
        number = UInt8(truncatingIfNeeded: index + 1)
        steering =
            TPHSupport.isSwitchedOff(by: topology.commandLine)
            ? nil : SteeringTable(nic, function, routes.fabric)
        keys = nic.driver == .mlx5 ? FRMRPools() : nil
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
