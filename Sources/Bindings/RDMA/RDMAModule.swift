import CKernel
public import Devices
import Kernel
public import LuaKit

extension RDMAContext: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "rdma context" }
}
extension ProtectionDomain: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "protection domain" }
}
extension DMAHandle: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "dma handle" }
}
extension MemoryRegion: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "memory region" }
}

/// Bits of IBV_ACCESS_* as scripts name them.
func accessFlags(among allowed: Access) -> LuaType {
    .flags(Access.names.filter { allowed.contains($0.bit) }.map { ($0.name.lowercased(), Int64($0.bit.rawValue)) })
}

let accessParameter = Parameter(
    "access",
    accessFlags(among: Access(rawValue: .max)), .integer(0), "IBV_ACCESS_*; default: local read only")
private let registerErrors: [(name: String, reason: String)] = [
    ("EOPNOTSUPP", "the driver does not register this"), ("EINVAL", "range, access or route"),
    ("ENODEV", "the dma-buf is revoked"),
]

let rdmaModule = Module(
    "rdma", "RDMA devices, through libibverbs.",
    functions: [
        Function(
            "devices", returns: "string[]", errors: [("ENOSYS", "no RDMA on this machine")],
            "Names of the RDMA devices.",
            entry: {
                Call($0, $1).run { call in
                    let devices = try RDMADevice.all(kernel: try call.kernel())
                    return call.push(.list(devices.map { .string($0.name) }))
                }
            }),
        Function(
            "open", [Parameter("name", .string(1...64), .required, "\"mlx5_0\"")], returns: "rdma.context",
            effects: [.open],
            errors: [("ENODEV", "no such device"), ("ENOSYS", "no RDMA on this machine")], "ibv_open_device.",
            entry: {
                Call($0, $1).run { call in
                    try call.host.permissions.permit(device: call[0].string, "rdma.open")
                    let context = try RDMAContext(call[0].string, kernel: try call.kernel())
                    return call.push(object: context, parent: 0, label: call[0].string)
                }
            }),
    ],
    classes: [contextClass, pdClass, dmahClass, mrClass, cqClass, srqClass, qpClass, ahClass, dmClass])

private let contextClass = ObjectClass(
    RDMAContext.luaName, type: "rdma.context", short: "context", "An open RDMA device.",
    methods: [
        Function(
            "query", returns: "rdma.device",
            "Some of ibv_query_device: firmware, limits, atomics (\"none\", or among what the \"nic\" or the \"machine\" does).",
            entry: { Call($0, $1).run(query) }),
        Function(
            "query_port", [Parameter("port", .integer(1...255), .integer(1), "from 1")], returns: "rdma.port",
            "Some of ibv_query_port: state, MTU, LID, link layer.", entry: { Call($0, $1).run(queryPort) }),
        Function(
            "alloc_pd", returns: "rdma.pd", "ibv_alloc_pd.",
            entry: {
                Call($0, $1).run { call in
                    let context = call[0].object(RDMAContext.self)
                    let label = "of \(context.pointee.label)"
                    return call.push(object: try context.pointee.allocPD(), parent: 1, label: label)
                }
            }),
        Function(
            "alloc_dmah",
            [
                Parameter(
                    "attributes",
                    .record([
                        Parameter("ph", .choice(processingHints), .absent, "processing hint"),
                        Parameter("cpu_id", .uint32, .absent, "CPU whose tag the platform is asked for"),
                        Parameter("mem_type", .choice([("volatile", 0), ("persistent", 1)]), .absent, "memory type"),
                    ]), .required, "what the handle carries")
            ],
            returns: "rdma.dmah",
            errors: [("ENOSYS", "libibverbs before rdma-core 59, not mlx5"), ("EINVAL", "no hint")],
            "ibv_alloc_dmah.", entry: { Call($0, $1).run(allocDMAH) }),
    ] + queueContextMethods + deviceContextMethods,
    close: { closeObject($0, $1, $2, RDMAContext.self) }, destroy: { destroyObject($0, RDMAContext.self) })

private func query(_ call: Call) throws -> CInt {
    let attributes = try call[0].object(RDMAContext.self).pointee.query()
    let atomics =
        switch attributes.atomic_cap {
        case IBV_ATOMIC_NONE: "none"
        case IBV_ATOMIC_HCA: "nic"
        default: "machine"
        }
    let firmware = withUnsafeBytes(of: attributes.fw_ver) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return call.push(
        .table([
            "firmware": .string(firmware), "vendor": .integer(Int64(attributes.vendor_id)),
            "part": .integer(Int64(attributes.vendor_part_id)),
            "max_mr_size": .integer(Int64(bitPattern: attributes.max_mr_size)),
            "max_mr": .integer(Int64(attributes.max_mr)), "max_pd": .integer(Int64(attributes.max_pd)),
            "ports": .integer(Int64(attributes.phys_port_cnt)),
            "atomics": .string(atomics),
        ]))
}

private func queryPort(_ call: Call) throws -> CInt {
    let port = try call[0].object(RDMAContext.self).pointee.query(port: UInt8(truncatingIfNeeded: call[1].int64))
    return call.push(
        .table([
            "state": .string(port.state == IBV_PORT_ACTIVE ? "active" : "state \(port.state.rawValue)"),
            "active_mtu": .integer(128 << Int64(port.active_mtu.rawValue)), "lid": .integer(Int64(port.lid)),
            "link_layer": .string(port.link_layer == UInt8(IBV_LINK_LAYER_ETHERNET) ? "ethernet" : "infiniband"),
        ]))
}

private func allocDMAH(_ call: Call) throws -> CInt {
    let fields = call[1]
    var attributes = DMAHInitAttributes()
    var mask: DMAHInitMask = []
    if fields[0].isPresent { mask.insert(.ph) }
    if fields[1].isPresent { mask.insert(.cpuID) }
    if fields[2].isPresent { mask.insert(.memoryType) }
    attributes.comp_mask = mask.rawValue
    attributes.ph = UInt8(truncatingIfNeeded: fields[0].int64)
    attributes.cpu_id = fields[1].uint32
    attributes.tph_mem_type = UInt8(truncatingIfNeeded: fields[2].int64)
    let context = call[0].object(RDMAContext.self)
    let label = "of \(context.pointee.label)"
    return call.push(object: try context.pointee.allocDMAH(attributes), parent: 1, label: label)
}

private let dmahClass = ObjectClass(
    DMAHandle.luaName, type: "rdma.dmah", short: "dmah", "A DMA handle: a processing hint of the requester's own.",
    methods: [],
    close: { closeObject($0, $1, $2, DMAHandle.self) }, destroy: { destroyObject($0, DMAHandle.self) })

private let dmabufKeys = [
    Parameter("dmabuf", .object(DMABuf.self), .required, "the dma-buf"),
    Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
    Parameter("length", .size(0...Int64.max), .required, "bytes"),
    Parameter("iova", .uint64, .integer(0), "address that work requests use"), accessParameter,
]

private let pdClass = ObjectClass(
    ProtectionDomain.luaName, type: "rdma.pd", short: "pd", "A protection domain.",
    methods: [
        Function(
            "reg_mr",
            [
                Parameter(
                    "request",
                    .record([
                        Parameter("memory", .object(MappedMemory.self), .required, "host memory"),
                        Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
                        Parameter("length", .size(0...Int64.max), .absent, "bytes; default: to its end"),
                        accessParameter,
                    ]), .required, "what to register")
            ],
            returns: "rdma.mr", effects: [.dma], errors: registerErrors, "ibv_reg_mr.",
            entry: { Call($0, $1).run(regMR) }),
        Function(
            "reg_dmabuf_mr", [Parameter("request", .record(dmabufKeys), .required, "what to register")],
            returns: "rdma.mr", effects: [.dma], errors: registerErrors, "ibv_reg_dmabuf_mr.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    let buffer = request[0].object(DMABuf.self)
                    let mr = try call[0].object(ProtectionDomain.self).pointee.regDmabufMR(
                        dmabuf: buffer.pointee.descriptor, offset: request[1].uint64,
                        length: request[2].uint64, iova: request[3].uint64, access: request[4].int32)
                    return push(mr, call, asked: buffer.pointee.hint)
                }
            }),
        Function(
            "reg_mr_ex",
            [
                Parameter(
                    "request",
                    .record(
                        dmabufKeys + [Parameter("dmah", .object(DMAHandle.self), .absent, "the requester's own hint")]
                    ), .required, "what to register")
            ],
            returns: "rdma.mr", effects: [.dma],
            errors: registerErrors + [("ENOSYS", "libibverbs before rdma-core 59, not mlx5")],
            "ibv_reg_mr_ex of a dma-buf, with a DMA handle.", entry: { Call($0, $1).run(regMREx) }),
        Function(
            "mlx5dv_reg_dmabuf_mr",
            [
                Parameter(
                    "request",
                    .record(dmabufKeys + [Parameter("data_direct", .boolean, .integer(0), "through data direct")]),
                    .required, "what to register")
            ],
            returns: "rdma.mr", effects: [.dma],
            errors: registerErrors + [("ENOSYS", "libmlx5 older than rdma-core 54")],
            "mlx5dv_reg_dmabuf_mr.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    let buffer = request[0].object(DMABuf.self)
                    let mr = try call[0].object(ProtectionDomain.self).pointee.mlx5dvRegDmabufMR(
                        dmabuf: buffer.pointee.descriptor, offset: request[1].uint64,
                        length: request[2].uint64, iova: request[3].uint64, access: request[4].int32,
                        dataDirect: request[5].bool)
                    return push(mr, call, asked: buffer.pointee.hint)
                }
            }),
        regDMFunction, createQPFunction,
    ] + addressFunctions,
    close: { closeObject($0, $1, $2, ProtectionDomain.self) }, destroy: { destroyObject($0, ProtectionDomain.self) })

/// `hint` is what the dma-buf's exporter was asked for.
func push(_ mr: consuming MemoryRegion, _ call: Call, asked hint: TPHHint? = nil) -> CInt {
    let number = mr.lkey
    mr.asked = hint
    return call.push(object: mr, parent: 1, number: number)
}

private func regMR(_ call: Call) throws -> CInt {
    let request = call[1]
    let memory = request[0].object(MappedMemory.self)
    let (address, length) = memory.pointee.part(request[1], request[2])
    let whole = UInt64(memory.pointee.length)
    guard request[1].uint64 <= whole, length <= whole - request[1].uint64 else {
        throw ErrorValue(
            kind: .argument,
            "pd:reg_mr: offset \(request[1].uint64) and length \(length) reach outside \(whole) bytes of memory")
    }
    let mr = try call[0].object(ProtectionDomain.self).pointee.regMR(
        address: address, length: length, access: request[3].int32, region: memory.pointee.region)
    // The NIC may use the memory for as long as the region lives.
    defer { call.keep(request[0]) }
    return push(mr, call)
}

private func regMREx(_ call: Call) throws -> CInt {
    let request = call[1]
    var attributes = MRInitAttributes()
    var mask: MRInitMask = [.iova, .fd, .fdOffset]
    let buffer = request[0].object(DMABuf.self)
    attributes.fd = buffer.pointee.descriptor
    attributes.fd_offset = request[1].uint64
    attributes.length = request[2].uint64
    attributes.iova = request[3].uint64
    attributes.access = request[4].int32
    if request[5].isPresent {
        mask.insert(.dmah)
        attributes.dmah = request[5].object(DMAHandle.self).pointee.pointer
    }
    attributes.comp_mask = mask.rawValue
    // A handle wins over the exporter, which is not even asked then.
    let asked = request[5].isPresent ? nil : buffer.pointee.hint
    return push(try call[0].object(ProtectionDomain.self).pointee.regMREx(attributes), call, asked: asked)
}

private let mrClass = ObjectClass(
    MemoryRegion.luaName, type: "rdma.mr", short: "mr", "A registered memory region.",
    methods: [
        Function(
            "lkey", returns: "integer", "The local key.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.lkey)) } }),
        Function(
            "rkey", returns: "integer", "The remote key.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.rkey)) } }),
        Function(
            "addr", returns: "integer",
            "What work requests call its first byte: its memory's address, or the iova given.",
            entry: { Call($0, $1).run { call in call.push(call[0].object(MemoryRegion.self).pointee.start) } }),
        Function(
            "length", returns: "integer", "Bytes.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.length)) } }),
        Function(
            "tph", returns: "rdma.tph",
            "The hint in the NIC's memory key, which it puts on the wire: enabled, st, ph, source; enabled is nil where "
                + "nothing tells. asked is what set_tph asked for before it was registered; verified is false, with a reason, "
                + "where nothing tells or the key holds something else.",
            entry: { Call($0, $1).run(tph) }),
    ],
    close: { closeObject($0, $1, $2, MemoryRegion.self) }, destroy: { destroyObject($0, MemoryRegion.self) })

private func tph(_ call: Call) throws -> CInt {
    let region = call[0].object(MemoryRegion.self)
    let (hint, source, why) = region.pointee.tph()
    let asked = region.pointee.asked
    let isEnabled = hint?.enabled ?? false
    let reason = hint.map { region.pointee.objection(to: $0) } ?? why
    let found = Evidence(
        verified: reason == nil, asked: asked?.text, enabled: hint?.enabled,
        st: hint.flatMap { isEnabled ? Int64($0.index) : nil },
        ph: hint.flatMap { isEnabled ? ProcessingHint(rawValue: $0.ph)?.name ?? "?" : nil },
        source: hint == nil ? nil : sourceName(source, isSimulated: call.host.isSimulated), reason: reason)
    try call.keep(found)
    return call.push(
        .table([
            "verified": .boolean(found.verified), "asked": asked?.value ?? .none,
            "enabled": found.enabled.map { .boolean($0) } ?? .none, "st": found.st.map { .integer($0) } ?? .none,
            "ph": found.ph.map { .string($0) } ?? .none, "source": found.source.map { .string($0) } ?? .none,
            "reason": reason.map { .string($0) } ?? .none,
        ]))
}

extension TPHHint {
    /// As `set_tph` takes it.
    fileprivate var value: LuaValue {
        .table([
            "st": st.map { .integer(Int64($0.rawValue)) } ?? .none,
            "st_ext": stExt.map { .integer(Int64($0.rawValue)) } ?? .none, "ph": .string(ph.name),
        ])
    }
}

private func sourceName(_ source: MemoryRegion.HintSource, isSimulated: Bool) -> String {
    switch source {
    case .memoryKey: isSimulated ? "simulated memory key" : "memory key (raw resource dump)"
    case .keyPools: isSimulated ? "simulated pools of memory keys" : "pools of memory keys (FRMR dump)"
    }
}
