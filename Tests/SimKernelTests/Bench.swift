import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// A bench and shorthand for raw calls on it. Structures are built from the C declarations.
final class Bench {
    let kernel: SimKernel
    static let exporter = "0000:01:00.0"
    static let engine = "0000:02:00.0"

    init(_ topology: Topology = .standard) { kernel = SimKernel(topology) }

    func open(_ path: String, _ flags: Int32 = O_RDWR) -> Int32 {
        Int32(truncatingIfNeeded: kernel.open(path, flags: flags))
    }

    func ioctl(_ descriptor: Int32, _ request: Int) -> Int { kernel.ioctl(descriptor, UInt(request), .none) }

    func ioctl<Structure: BitwiseCopyable>(_ descriptor: Int32, _ request: Int, _ value: inout Structure) -> Int {
        withUnsafeMutableBytes(of: &value) { kernel.ioctl(descriptor, UInt(request), .memory($0)) }
    }

    func ioctl(_ descriptor: Int32, _ request: Int, bytes: [UInt8]) -> Int {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { kernel.ioctl(descriptor, UInt(request), .memory($0)) }
    }

    func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return "" }
        defer { _ = kernel.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { kernel.read(descriptor, $0) }
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    /// The character device of a function.
    func cdev(_ address: String) throws -> Int32 {
        let name = try #require(try kernel.list("/sys/bus/pci/devices/\(address)/vfio-dev").first)
        return open("/dev/vfio/devices/\(name)")
    }

    func bind(_ device: Int32, _ iommufd: Int32) -> Int {
        var bind = vfio_device_bind_iommufd(argsz: 24, flags: 0, iommufd: iommufd, out_devid: 0, token_uuid_ptr: 0)
        return ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind)
    }

    /// A function opened by its character device and bound.
    func bound(_ address: String, to iommufd: Int32) throws -> Int32 {
        let device = try cdev(address)
        try #require(bind(device, iommufd) == 0)
        return device
    }

    func ioas(_ iommufd: Int32) throws -> UInt32 {
        var command = iommu_ioas_alloc(size: 12, flags: 0, out_ioas_id: 0)
        try #require(ioctl(iommufd, IOMMU_IOAS_ALLOC, &command) == 0)
        return command.out_ioas_id
    }

    func attach(_ device: Int32, _ id: UInt32) -> Int {
        var attach = vfio_device_attach_iommufd_pt(argsz: 16, flags: 0, pt_id: id, pasid: 0)
        return ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach)
    }

    /// Bytes of a VFIO_DEVICE_FEATURE argument.
    static func feature(_ flags: Int, argsz: UInt32? = nil, _ data: [UInt8]) -> [UInt8] {
        bytes(argsz ?? UInt32(8 + data.count)) + bytes(UInt32(flags)) + data
    }

    static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    func export(
        _ device: Int32, region: UInt32 = 2, flags: UInt32 = 0, open: UInt32 = UInt32(O_CLOEXEC | O_RDWR),
        _ ranges: [(UInt64, UInt64)], count: UInt32? = nil
    ) -> Int {
        var data = [region, open, flags, count ?? UInt32(ranges.count)].flatMap { Bench.bytes($0) }
        data += ranges.flatMap { Bench.bytes($0.0) + Bench.bytes($0.1) }
        return ioctl(
            device, VFIO_DEVICE_FEATURE,
            bytes: Bench.feature(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF, data))
    }

    func mapFile(
        _ iommufd: Int32, _ ioas: UInt32, _ file: Int32, start: UInt64 = 0, length: UInt64, iova: UInt64? = nil,
        flags: Int = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE
    ) -> Int {
        var command = iommu_ioas_map_file(
            size: 40, flags: UInt32(flags | (iova == nil ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA)), ioas_id: ioas, fd: file,
            start: start, length: length, iova: iova ?? 0)
        let result = ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &command)
        return result < 0 ? result : Int(command.iova)
    }

    func map(
        _ iommufd: Int32, _ ioas: UInt32, _ address: UInt64, length: UInt64, iova: UInt64? = nil,
        flags: Int = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE
    ) -> Int {
        var command = iommu_ioas_map(
            size: 40, flags: UInt32(flags | (iova == nil ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA)), ioas_id: ioas,
            reserved: 0, user_va: address, length: length, iova: iova ?? 0)
        let result = ioctl(iommufd, IOMMU_IOAS_MAP, &command)
        return result < 0 ? result : Int(command.iova)
    }

    func unmap(_ iommufd: Int32, _ ioas: UInt32, _ iova: UInt64, _ length: UInt64) -> Int {
        var command = iommu_ioas_unmap(size: 24, ioas_id: ioas, iova: iova, length: length)
        let result = ioctl(iommufd, IOMMU_IOAS_UNMAP, &command)
        return result < 0 ? result : Int(command.length)
    }

    /// A register or BAR place by pread.
    func get<Value: FixedWidthInteger & BitwiseCopyable>(
        _ device: Int32, _ region: UInt64, _ offset: UInt64, _ type: Value.Type
    ) -> Value {
        var value: Value = 0
        _ = withUnsafeMutableBytes(of: &value) { kernel.pread(device, $0, at: region << 40 + offset) }
        return value
    }

    @discardableResult
    func put<Value: FixedWidthInteger & BitwiseCopyable>(
        _ device: Int32, _ region: UInt64, _ offset: UInt64, _ value: Value
    ) -> Int {
        withUnsafeBytes(of: value) { kernel.pwrite(device, $0, at: region << 40 + offset) }
    }

    func setBusMaster(_ device: Int32) { put(device, 7, 4, UInt16(6)) }

    /// Runs one transfer of the edu engine to its end.
    func transfer(_ device: Int32, from source: UInt64, to destination: UInt64, _ count: UInt64, toMemory: Bool) {
        put(device, 0, 0x80, source)
        put(device, 0, 0x88, destination)
        put(device, 0, 0x90, count)
        put(device, 0, 0x98, UInt32(toMemory ? 3 : 1))
        #expect(get(device, 0, 0x98, UInt32.self) & 1 == 1)
        _ = kernel.sleep(nanoseconds: 100_000_000)
        #expect(get(device, 0, 0x98, UInt32.self) & 1 == 0)
    }

    /// Anonymous memory from the kernel.
    func memory(_ length: Int) throws -> UnsafeMutableRawPointer {
        try kernel.mmap(
            length: length, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS, -1, at: 0)
    }
}

func address(_ pointer: UnsafeMutableRawPointer) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }

/// What a call of the verbs or mapping kind was refused with; 0 where it was not.
func errno(_ body: () throws(Errno) -> Void) -> Int32 {
    do throws(Errno) {
        try body()
        return 0
    } catch {
        return error.code
    }
}
