import CKernel
public import Devices
import Glibc
import Kernel
public import LuaKit

extension VFIODevice: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "vfio device" }
}

extension VFIODevice.Path: LuaChoice {
    /// Paths by the names that `vfio.open` takes.
    public static var choices: [(name: String, value: VFIODevice.Path)] {
        [("auto", .present), ("cdev", .cdev), ("group", .group)]
    }
}

private enum OpenKeys {
    static let via = Key<VFIODevice.Path>(
        "via", default: .present,
        "cdev and iommufd, or group and container; default: cdev where it and /dev/iommu are there")
    static let iommufd = Key<Object<IOMMUFD>?>("iommufd", "context to bind to (cdev)")
    static let container = Key<Object<Type1Container>?>("container", "container to join (group)")
}

let regionParameter = Parameter(
    "region", .uint32, .required, "region index: BAR 0 to 5, ROM 6, configuration space 7, VGA 8")
private let configWrite = SelectedEffects(
    where: regionParameter.name, is: Int64(VFIO_PCI_CONFIG_REGION_INDEX), [.configWrite])
private let offsetParameter = Parameter("offset", .size(0...Int64.max), .required, "byte offset in the region")
let vfioModule = Module(
    "vfio", "VFIO PCI devices.",
    functions: [
        Function(
            "open",
            [
                Parameter("address", .string(1...64), .required, "PCI address, \"0000:3b:00.0\" or \"3b:00.0\""),
                Parameter(
                    "options", .record([OpenKeys.via, OpenKeys.iommufd, OpenKeys.container]), .absent, "how to open it"),
            ],
            returns: [.object(VFIODevice.self)], effects: [.open],
            errors: [
                ("ENOENT", "no such PCI function"), ("ENODEV", "not bound to a VFIO driver"),
                ("EPERM", "a sibling in its IOMMU group is in use by a host driver"), ("EACCES", "no permission"),
            ],
            "Opens a device that is bound to a VFIO driver.",
            entry: { Call($0, $1).run(openDevice) }),
        Function(
            "devices", returns: [.list(.record(functionRecord))],
            "The PCI functions that a VFIO driver has, by address.",
            entry: {
                Call($0, $1).run { call in
                    let kernel = try call.kernel()
                    let found = try PCIFunction.all(kernel: kernel).filter { $0.isVFIO }
                    return call.push(list: found, as: functionRecord)
                }
            }),
    ],
    constants: [
        ("CONFIG", Int64(VFIO_PCI_CONFIG_REGION_INDEX), "region index of the configuration space"),
        ("ROM", Int64(VFIO_PCI_ROM_REGION_INDEX), "region index of the expansion ROM"),
    ],
    classes: [vfioDeviceClass, dmabufClass])

/// Parses an address argument. A malformed one is an argument error of the script.
func address(_ argument: Argument, _ operation: String) throws(ErrorValue) -> PCIAddress {
    guard let address = PCIAddress(argument.string) else {
        throw ErrorValue(
            kind: .argument,
            "\(operation): '\(argument.string)' is no PCI address; write segment:bus:device.function, 0000:3b:00.0")
    }
    return address
}

private func openDevice(_ call: Call) throws -> CInt {
    let address = try address(call[0], "vfio.open")
    try call.host.permissions.permit(device: "\(address)", "vfio.open")
    let options = call[1].table
    var path = options[OpenKeys.via]
    let iommufd = options[OpenKeys.iommufd].map { $0.pointee.descriptor }
    let container = options[OpenKeys.container].map { $0.pointee.domain }
    if iommufd != nil && (path == .group || container != nil) {
        throw ErrorValue(
            kind: .argument, "vfio.open: an iommufd belongs to via = \"cdev\", a container to via = \"group\"")
    }
    if iommufd != nil { path = .cdev }
    if container != nil && path == .cdev {
        throw ErrorValue(kind: .argument, "vfio.open: a container belongs to via = \"group\"")
    }
    let device = try VFIODevice.open(
        address, via: path, iommufd: iommufd, container: container, kernel: try call.kernel())
    return call.push(object: device, parent: 0, label: "\(address)")
}

extension Call {
    /// The device: receiver of its methods.
    fileprivate var device: UnsafeMutablePointer<VFIODevice> { self[0].object(VFIODevice.self) }
}

private let deviceInformation: [Function] = [
    Function(
        "address", returns: [.string], "Its PCI address.",
        entry: { Call($0, $1).run { call in call.push("\(call.device.pointee.address)") } }),
    Function(
        "fd", returns: [.integer], "Its descriptor, for sys.ioctl.",
        entry: { Call($0, $1).run { call in call.push(Int64(call.device.pointee.descriptor)) } }),
    Function(
        "info", returns: [.record(deviceRecord)], "VFIO_DEVICE_GET_INFO.",
        entry: { Call($0, $1).run { call in call.push(try call.device.pointee.info(), as: deviceRecord) } }),
    Function(
        "region_info", [regionParameter], returns: [.record(regionRecord)], errors: [("EINVAL", "no such index")],
        "VFIO_DEVICE_GET_REGION_INFO.",
        entry: {
            Call($0, $1).run { call in call.push(try call.device.pointee.region(call[1].uint32), as: regionRecord) }
        }),
    Function(
        "irq_info", [Parameter("index", .uint32, .required, "INTx 0, MSI 1, MSI-X 2, error 3, request 4")],
        returns: [.record(irqRecord)], "VFIO_DEVICE_GET_IRQ_INFO.",
        entry: {
            Call($0, $1).run { call in call.push(try call.device.pointee.irqInfo(call[1].uint32), as: irqRecord) }
        }),
]

private enum MapKeys {
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start, page aligned")
    static let length = Key<UInt64?>("length", .size(1...Int64.max), "bytes; default: to the end of the region")
}

private let deviceAccess: [Function] = [
    Function(
        "read",
        [regionParameter, offsetParameter, Parameter("length", .size(0...(64 << 20)), .required, "bytes")],
        returns: [.string], errors: [("EIO", "memory decode is off"), ("EINVAL", "offset beyond the region")],
        "Reads bytes from a region; fewer where the region ends.",
        entry: {
            Call($0, $1).run { call in
                var bytes = [UInt8](repeating: 0, count: call[3].int)
                let region = call[1].uint32
                let offset = call[2].uint64
                try call.touch(bytes.count, "dev:read")
                let count = try reading(&bytes) { buffer throws(Failure) in
                    try call.device.pointee.read(region, at: offset, into: buffer)
                }
                return bytes.withUnsafeBytes { call.push(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
        }),
    Function(
        "write",
        [regionParameter, offsetParameter, Parameter("bytes", .string, .required, "what to write")],
        returns: [.integer(.bytes)], effects: [.regionWrite], selectedEffects: configWrite,
        errors: [("EIO", "memory decode is off"), ("EINVAL", "offset beyond the region")],
        "Writes bytes to a region; returns how many.",
        entry: {
            Call($0, $1).run { call in
                try call.touch(call[3].count, "dev:write")
                return call.push(
                    Int64(try call.device.pointee.write(call[1].uint32, at: call[2].uint64, from: call[3].bytes)))
            }
        }),
    Function(
        "load", [regionParameter, offsetParameter, widthParameter], returns: [.integer],
        errors: [("EIO", "memory decode is off")], "Reads one little-endian number with one access.",
        entry: {
            Call($0, $1).run { call in
                let size = try width(call[3], "device:load")
                try call.touch(size, "dev:load")
                return call.push(try call.device.pointee.load(call[1].uint32, at: call[2].uint64, size: size))
            }
        }),
    Function(
        "store",
        [regionParameter, offsetParameter, widthParameter, Parameter("value", .uint64, .required, "the number")],
        effects: [.regionWrite], selectedEffects: configWrite,
        errors: [("EIO", "memory decode is off")],
        "Writes one little-endian number with one access.",
        entry: {
            Call($0, $1).run { call in
                let size = try width(call[3], "device:store")
                try checkFit(call[4].int64, size, "device:store")
                try call.touch(size, "dev:store")
                try call.device.pointee.store(call[1].uint32, at: call[2].uint64, size: size, call[4].uint64)
                return call.nothing
            }
        }),
    Function(
        "mmap",
        [
            regionParameter,
            Parameter(
                "range", .record([MapKeys.offset, MapKeys.length]), .absent, "the part to map; default: all"),
        ],
        returns: [.object(MappedMemory.self)], effects: [.regionWrite],
        errors: [("EINVAL", "not mappable, or not page aligned")],
        "Maps a region into this process.",
        entry: {
            Call($0, $1).run { call in
                let region = call[1].uint32
                let range = call[2].table
                let offset = range[MapKeys.offset]
                let whole = try call.device.pointee.region(region).size
                let length = range[MapKeys.length] ?? whole &- min(offset, whole)
                let mapping = try call.device.pointee.map(region, offset: offset, length: Int(clamping: length))
                return call.push(object: mapping, parent: 1, label: "\(call.device.pointee.address) region \(region)")
            }
        }),
]

private let widthParameter = Parameter(
    "width", .integer(1...8), .required, "bytes that are accessed: 1, 2, 4 or 8")

private func width(_ argument: Argument, _ operation: String) throws(ErrorValue) -> Int {
    guard [1, 2, 4, 8].contains(argument.int) else {
        throw ErrorValue(kind: .argument, "\(operation): 'width' must be 1, 2, 4 or 8, not \(argument.int)")
    }
    return argument.int
}

/// Refuses a number that does not fit `size` bytes, signed or unsigned; -1 is all ones at every width.
private func checkFit(_ value: Int64, _ size: Int, _ operation: String) throws(ErrorValue) {
    guard size < 8 else { return }
    let bits = Int64(size * 8)
    let range: ClosedRange<Int64> = -(1 << (bits - 1))...((1 << bits) - 1)
    guard !range.contains(value) else { return }
    let mask = String(range.upperBound, radix: 16)
    throw ErrorValue(
        kind: .argument,
        "\(operation): 'value' must fit \(size) byte\(size == 1 ? "" : "s") (\(range.lowerBound) to \(range.upperBound)), not "
            + "\(value) (0x\(String(UInt64(bitPattern: value), radix: 16))); for its low bits alone write value & 0x\(mask)"
    )
}

private enum FeatureKeys {
    static let number = Key<UInt32>("number", .integer(0...0xffff), "VFIO_DEVICE_FEATURE_*")
    static let operation = Key<UInt32>(
        "operation",
        .flags([
            ("get", Int64(VFIO_DEVICE_FEATURE_GET)), ("set", Int64(VFIO_DEVICE_FEATURE_SET)),
            ("probe", Int64(VFIO_DEVICE_FEATURE_PROBE)),
        ]), "which bits to set")
    static let data = Key<UnsafeRawBufferPointer?>("data", .string(0...65536), "what follows the 8-byte header")
}

private enum ExportKeys {
    static let region = Key<UInt32>("region_index", regionParameter.type, regionParameter.doc).was("region")
    static let ranges = Key<[Table]>(
        "ranges", .list(.record([offset, length]), 0...200_000), "the parts to export, in order")
    static let offset = Key<UInt64>("offset", .size(Int64.min...Int64.max), "start in the region")
    static let length = Key<UInt64>("length", .size(Int64.min...Int64.max), "bytes")
    static let openFlags = Key<UInt32>(
        "open_flags", default: UInt32(O_RDWR | O_CLOEXEC), "open flags of the new descriptor; default O_RDWR|O_CLOEXEC")
}

private let deviceControl: [Function] = [
    Function(
        "reset", effects: [.reset], errors: [("EINVAL", "no function reset"), ("EAGAIN", "lock contention")],
        "Resets the function; its dma-bufs are revoked meanwhile.",
        entry: {
            Call($0, $1).run { call in
                try call.device.pointee.reset()
                return call.nothing
            }
        }),
    Function(
        "attach", [Parameter("ioas", .object(IOAS.self), .required, "an address space of the device's iommufd")],
        returns: [.integer], effects: [.dma],
        errors: [("ENOENT", "not of the device's iommufd"), ("ENOTTY", "opened through its group")],
        "Attaches to an address space; returns the id of the hardware page table.",
        entry: {
            Call($0, $1).run { call in
                call.push(Int64(try call.device.pointee.attach(ioas: call[1].object(IOAS.self).pointee.id)))
            }
        }),
    Function(
        "detach", [], "Detaches from its address space.",
        entry: {
            Call($0, $1).run { call in
                try call.device.pointee.detach()
                return call.nothing
            }
        }),
    Function(
        "feature",
        [
            Parameter(
                "request", .record([FeatureKeys.number, FeatureKeys.operation, FeatureKeys.data]), .required,
                "the request")
        ],
        returns: [.integer, .string], effects: [.raw],
        errors: [("ENOTTY", "unknown feature"), ("EINVAL", "operation or size not the feature's")],
        "One VFIO_DEVICE_FEATURE call with data of your own; returns the result and the data after it.",
        entry: {
            Call($0, $1).run { call in
                let request = call[1].table
                var data = request[FeatureKeys.data].map(Array.init) ?? []
                let result = try call.device.pointee.feature(
                    request[FeatureKeys.number], operation: request[FeatureKeys.operation], data: &data)
                return call.push(Int64(result)) + call.push(value: Bytes(data))
            }
        }),
    Function(
        "export_dmabuf",
        [
            Parameter(
                "request", .record([ExportKeys.region, ExportKeys.ranges, ExportKeys.openFlags]), .required,
                "what to export")
        ],
        returns: [.object(DMABuf.self)],
        errors: [
            ("EINVAL", "no range, an empty or unaligned one, or one past the region's end"),
            ("ENODEV", "not a memory BAR"), ("EOVERFLOW", "a range wraps"), ("ENOTTY", "the kernel has no export"),
        ],
        "Exports ranges of a BAR as a dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF).",
        entry: { Call($0, $1).run(exportDMABuf) }),
]

private func exportDMABuf(_ call: Call) throws -> CInt {
    let request = call[1].table
    let ranges = request[ExportKeys.ranges].map {
        vfio_region_dma_range(offset: $0[ExportKeys.offset], length: $0[ExportKeys.length])
    }
    let region = request[ExportKeys.region]
    let buffer = try call.device.pointee.exportDMABuf(
        region: region, ranges: ranges, openFlags: request[ExportKeys.openFlags])
    return call.push(object: buffer, parent: 1, label: "of \(call.device.pointee.address) region \(region)")
}

let vfioDeviceClass = ObjectClass(
    VFIODevice.luaName, type: "vfio.device", short: "device", "An open VFIO PCI device.",
    methods: deviceInformation + deviceAccess + deviceControl,
    close: { closeObject($0, $1, $2, VFIODevice.self) }, destroy: { destroyObject($0, VFIODevice.self) })

/// Fills an array through a typed-throws body; the standard library's own form throws untyped.
func reading<Value>(
    _ bytes: inout [UInt8], _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Value
) throws(Failure) -> Value {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    defer { buffer.deallocate() }
    let value = try body(buffer)
    bytes = Array(buffer)
    return value
}
