public import Devices
public import Kernel
public import LuaKit

extension DMABuf: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "dma-buf" }
}

extension Call {
    fileprivate var dmabuf: UnsafeMutablePointer<DMABuf> { self[0].object(DMABuf.self) }
}

extension TPHError: LuaError {
    /// An error of the kernel, or one that was found before the call.
    public var luaError: ErrorValue {
        switch self {
        case .kernel(let failure): failure.luaError
        case .abi(.cannotClear(let abi)):
            ErrorValue(kind: .argument, "dmabuf:clear_tph: " + TPHABIError.cannotClear(abi).message)
        case .abi(let error): ErrorValue(kind: .argument, "dmabuf:set_tph: " + error.message)
        }
    }
}

extension ProcessingHint: LuaChoice {
    /// As the PCIe specification names them.
    public static var choices: [(name: String, value: ProcessingHint)] { allCases.map { ($0.name, $0) } }
}

private enum HintKeys {
    static let st = Key<UInt8?>("st", "8-bit steering tag")
    static let stExt = Key<UInt16?>("st_ext", "16-bit (extended) steering tag")
    static let ph = Key<ProcessingHint>("ph", "processing hint")
}

let dmabufModule = Module(
    "dmabuf", "Dma-bufs of exporters other than VFIO.",
    functions: [
        Function(
            "adopt",
            [Parameter("fd", .integer(3...Int64(Int32.max)), .required, "what a request of its exporter returned")],
            returns: [.object(DMABuf.self)], effects: [.raw],
            errors: [("EBADF", "not open")],
            "The dma-buf that a request of another driver made (udmabuf, a dma-heap, a GPU's PRIME_HANDLE_TO_FD), to be "
                + "registered and mapped. It has a copy of the descriptor: sys.adopt closes the one that the request returned. "
                + "Hints are for vfio's exports.",
            entry: { Call($0, $1).run(adopt) })
    ])

private func adopt(_ call: Call) throws -> CInt {
    let descriptor = try call.descriptor(call[0], "dmabuf.adopt")
    guard let buffer = try DMABuf.adopt(descriptor, of: try call.kernel()) else {
        throw ErrorValue(
            kind: .argument, "dmabuf.adopt: descriptor \(descriptor) is no dma-buf: its fdinfo names no exporter")
    }
    let label = "of \(buffer.label)"
    return call.push(object: buffer, parent: 0, label: label)
}

let dmabufClass = ObjectClass(
    DMABuf.luaName, type: "vfio.dmabuf", short: "dmabuf",
    "A dma-buf: what a VFIO device exported, or what dmabuf.adopt was given.",
    methods: [
        Function(
            "length", returns: [.integer(.bytes)], "Bytes.",
            entry: { Call($0, $1).run { call in call.push(Int64(try call.dmabuf.pointee.size())) } }
        ).was("size"),
        Function(
            "fd", returns: [.integer], "Its descriptor, for sys.ioctl.",
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
            "info", returns: [.record(dmabufRecord)], "What its fdinfo says.",
            entry: { Call($0, $1).run { call in call.push(try call.dmabuf.pointee.info(), as: dmabufRecord) } }),
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
            [Parameter("hint", .record([HintKeys.st, HintKeys.stExt, HintKeys.ph]), .required, "the hint")],
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
    let hint = call[1].table
    try send(
        TPHHint(
            st: hint[HintKeys.st].map(SteeringTag.init(rawValue:)),
            stExt: hint[HintKeys.stExt].map(ExtendedSteeringTag.init(rawValue:)), ph: hint[HintKeys.ph]), call)
    return call.nothing
}

private func send(_ hint: TPHHint?, _ call: Call) throws {
    let kernel = try call.kernel()
    let object = "dma-buf of \(call.dmabuf.pointee.label)"
    let function = hint == nil ? "dmabuf:clear_tph" : "dmabuf:set_tph"
    guard let device = call.dmabuf.pointee.exporter else {
        throw ErrorValue(
            kind: .argument,
            "\(function): \(object) was adopted: only the VFIO device that exported it could set a hint, and it is not known"
        )
    }
    // The TPH feature's number cannot be found through a closed device. The kernel answers a closed descriptor with
    // EBADF, so this does too.
    guard device.isOpen || call.host.tph.known != nil else {
        throw Failure(
            "VFIO_DEVICE_FEATURE DMA_BUF_TPH SET", .badDescriptor, object: object,
            hint: "the exporting device is closed, and only it can set a hint or take it back")
    }
    let feature = try call.host.tph.feature(device: device.raw, object: object, kernel: kernel, for: function)
    try Devices.setTPH(
        hint, dmabuf: call.dmabuf.pointee.descriptor, device: device.raw, feature: feature, object: object,
        kernel: kernel)
    call.dmabuf.pointee.hint = hint
}
