import CKernel
import Kernel

/// VFIO_DEVICE_FEATURE with an operation on a feature and its data, header and all.
struct TPHRequest {
    var bytes: [UInt8]

    /// argsz is exactly the header and `data`: a kernel that wants more says EINVAL, while a generous one would hide
    /// that the structure is another than we think.
    init(_ number: UInt32, _ operation: Int, _ data: [UInt8] = []) {
        let size = MemoryLayout<vfio_device_feature>.size + data.count
        let header = vfio_device_feature(argsz: UInt32(size), flags: UInt32(operation) | number)
        bytes = withUnsafeBytes(of: header) { Array($0) } + data
    }

    /// One ioctl; 0 or more, or a negated errno.
    mutating func send(to device: Int32, _ kernel: any Kernel) -> Int {
        bytes.withUnsafeMutableBytes { kernel.ioctl(device, UInt(VFIO_DEVICE_FEATURE), .memory($0)) }
    }

    /// The arguments as traces show them.
    mutating func text(_ feature: Feature) -> String {
        guard let request = Request.find(named: "VFIO_DEVICE_FEATURE") else { return "" }
        var decoder = Decoder()
        decoder.add(feature)
        return bytes.withUnsafeMutableBytes { decoder.input(request, .memory($0)) }
    }
}
