public import Devices
import Kernel
public import LuaKit

extension DMABuf: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "dma-buf" }
}

extension Call {
    fileprivate var dmabuf: UnsafeMutablePointer<DMABuf> { self[0].object(DMABuf.self) }
}

extension TPHError: LuaError {
    /// A kernel's refusal, or one of our own before the call.
    public var luaError: ErrorValue {
        switch self {
        case .kernel(let failure): failure.luaError
        case .abi(.cannotClear(let abi)):
            ErrorValue(kind: .argument, "dmabuf:clear_tph: " + TPHABIError.cannotClear(abi).message)
        case .abi(let error): ErrorValue(kind: .argument, "dmabuf:set_tph: " + error.message)
        }
    }
}

let processingHints = ProcessingHint.allCases.map { (name: $0.name, value: Int64($0.rawValue)) }

let dmabufClass = ObjectClass(
    DMABuf.luaName, type: "vfio.dmabuf", short: "dmabuf", "A dma-buf that a VFIO device exported.",
    methods: [
        Function(
            "size", returns: "integer", "Its size in bytes.",
            entry: { Call($0, $1).run { call in call.push(Int64(try call.dmabuf.pointee.size())) } }),
        Function(
            "fd", returns: "integer", "Its descriptor, for sys.ioctl.",
            entry: { Call($0, $1).run { call in call.push(Int64(call.dmabuf.pointee.descriptor)) } }),
        Function(
            "set_name", [Parameter("name", .string(0...4096), .required, "at most 31 bytes")],
            errors: [("EINVAL", "longer than 31 bytes")], "Names it (DMA_BUF_SET_NAME).",
            entry: {
                Call($0, $1).run { call in
                    try call.dmabuf.pointee.setName(call[1].string)
                    return call.nothing
                }
            }),
        Function(
            "info", returns: "vfio.dmabuf_info", "What its fdinfo says: size, count, exporter, name, inode.",
            entry: {
                Call($0, $1).run { call in
                    let info = try call.dmabuf.pointee.info()
                    return call.push(
                        .table([
                            "size": .integer(info.size), "count": .integer(info.count),
                            "exporter": .string(info.exporter), "name": .string(info.name),
                            "inode": .integer(info.inode),
                        ]))
                }
            }),
        Function(
            "sync",
            [
                Parameter(
                    "flags", .flags([("read", 1), ("write", 2), ("start", 0), ("end", 4)]), .required,
                    "what the CPU is about to do, or has done")
            ],
            errors: [("EINVAL", "neither read nor write")], "DMA_BUF_IOCTL_SYNC.",
            entry: {
                Call($0, $1).run { call in
                    try call.dmabuf.pointee.sync(flags: call[1].uint64)
                    return call.nothing
                }
            }),
        Function(
            "set_tph",
            [
                Parameter(
                    "hint",
                    .record([
                        Parameter("st", .integer(0...0xff), .absent, "8-bit steering tag"),
                        Parameter("st_ext", .integer(0...0xffff), .absent, "16-bit (extended) steering tag"),
                        Parameter("ph", .choice(processingHints), .required, "processing hint"),
                    ]), .required, "the hint")
            ],
            errors: [
                ("ENOTTY", "this kernel has no such feature"), ("EOPNOTSUPP", "the exporter is no TPH completer"),
                ("EBUSY", "already set (v4)"),
            ],
            "Sets the hint that importers ask for when they register it (VFIO_DEVICE_FEATURE_DMA_BUF_TPH).",
            entry: { Call($0, $1).run(setHint) }),
        Function(
            "clear_tph", errors: [("ENOTTY", "this kernel has no such feature")],
            "Takes the hint back (v6 and later).",
            entry: {
                Call($0, $1).run { call in
                    try send(nil, call)
                    return call.nothing
                }
            }),
    ],
    close: { closeObject($0, $1, $2, DMABuf.self) }, destroy: { destroyObject($0, DMABuf.self) })

private func setHint(_ call: Call) throws -> CInt {
    let fields = call[1]
    let hint = TPHHint(
        st: fields[0].isPresent ? SteeringTag(rawValue: UInt8(truncatingIfNeeded: fields[0].int64)) : nil,
        stExt: fields[1].isPresent ? ExtendedSteeringTag(rawValue: UInt16(truncatingIfNeeded: fields[1].int64)) : nil,
        ph: ProcessingHint(rawValue: UInt8(truncatingIfNeeded: fields[2].int64)) ?? .bidirectional)
    try send(hint, call)
    return call.nothing
}

private func send(_ hint: TPHHint?, _ call: Call) throws {
    let kernel = try call.kernel()
    let device = call.dmabuf.pointee.exporter
    let object = "dma-buf of \(call.dmabuf.pointee.label)"
    // A closed device cannot be asked which number is TPH; the kernel's answer to a closed descriptor is EBADF.
    guard device.isOpen || call.host.tph.known != nil else {
        throw Failure(
            "VFIO_DEVICE_FEATURE DMA_BUF_TPH SET", .badDescriptor, object: object,
            hint: "the exporting device is closed, and only it can set a hint or take it back")
    }
    let function = hint == nil ? "dmabuf:clear_tph" : "dmabuf:set_tph"
    let feature = try call.host.tph.feature(device: device.raw, object: object, kernel: kernel, for: function)
    try Devices.setTPH(
        hint, dmabuf: call.dmabuf.pointee.descriptor, device: device.raw, feature: feature, object: object,
        kernel: kernel)
    call.dmabuf.pointee.hint = hint
}
