import CKernel
public import Kernel

/// A NIC as the list of RDMA devices shows it.
public struct RDMADevice {
    /// "mlx5_0"
    public let name: String
    let pointer: UnsafeMutablePointer<ibv_device>

    /// The machine's RDMA devices; ENOSYS where the kernel has no RDMA at all.
    public static func all(kernel: any Kernel) throws(Failure) -> [RDMADevice] {
        try kernel.ask(Verbs.ibv_get_device_list, of: "this machine").map { pointer in
            RDMADevice(name: pointer.pointee.nameText, pointer: pointer)
        }
    }
}

extension ibv_device {
    fileprivate var nameText: String {
        withUnsafeBytes(of: name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

extension ibv_context {
    /// What the device is called that it is of.
    var deviceName: String? { device?.pointee.nameText }
}
