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

/// IBV_ACCESS_* flags by the names that scripts use.
func accessFlags(among allowed: Access) -> LuaType {
    .flags(Access.names.filter { allowed.contains($0.bit) }.map { ($0.name.lowercased(), Int64($0.bit.rawValue)) })
}

let accessKey = Key<Int32>(
    "access", accessFlags(among: Access(rawValue: .max)), default: 0, "IBV_ACCESS_*; default: local read only")
/// What a call answers, by its own table, as a described function's errors.
private func answers(of call: String) -> [(name: String, reason: String)] {
    Refusal.all(of: call).sorted { $0.name < $1.name }.map { ($0.name, $0.hint) }
}

let rdmaModule = Module(
    "rdma", "RDMA devices, through libibverbs.",
    functions: [
        Function(
            "devices", returns: [.list(.string)], errors: [("ENOSYS", "no RDMA on this machine")],
            "Names of the RDMA devices.",
            entry: {
                Call($0, $1).run { call in
                    let devices = try RDMADevice.all(kernel: try call.kernel())
                    return call.push(value: devices.map(\.name))
                }
            }),
        Function(
            "open", [Parameter("name", .string(1...64), .required, "\"mlx5_0\"")], returns: [.object(RDMAContext.self)],
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
    classes: [contextClass, pdClass, dmahClass, mrClass, cqClass, srqClass, qpClass, ahClass, dmClass, mwClass])

private let contextClass = ObjectClass(
    RDMAContext.luaName, type: "rdma.context", short: "context", "An open RDMA device.",
    methods: [
        Function(
            "query_device", returns: [.record(deviceAttributesRecord)],
            "ibv_query_device.",
            entry: {
                Call($0, $1).run { call in
                    call.push(try call[0].object(RDMAContext.self).pointee.query(), as: deviceAttributesRecord)
                }
            }
        ).was("query"),
        Function(
            "query_port", [portParameter], returns: [.record(portRecord)], "ibv_query_port.",
            entry: {
                Call($0, $1).run { call in
                    let port = UInt8(truncatingIfNeeded: call[1].int64)
                    return call.push(try call[0].object(RDMAContext.self).pointee.query(port: port), as: portRecord)
                }
            }),
        Function(
            "alloc_pd", returns: [.object(ProtectionDomain.self)], "ibv_alloc_pd.",
            entry: {
                Call($0, $1).run { call in
                    let context = call[0].object(RDMAContext.self)
                    let label = "of \(context.pointee.label)"
                    return call.push(object: try context.pointee.allocPD(), parent: 1, label: label)
                }
            }),
        Function(
            "alloc_dmah",
            [Parameter("attributes", .record(HandleKeys.all), .required, "what the handle carries")],
            returns: [.object(DMAHandle.self)],
            errors: [("EOPNOTSUPP", "the NIC's driver is not mlx5"), ("EINVAL", "no hint")],
            "ibv_alloc_dmah.", entry: { Call($0, $1).run(allocDMAH) }),
    ] + queueContextMethods + deviceContextMethods,
    close: { closeObject($0, $1, $2, RDMAContext.self) }, destroy: { destroyObject($0, RDMAContext.self) })

private let deviceAttributesRecord = ResultRecord<ibv_device_attr>(
    "rdma.device", "Some of what an RDMA device is: struct ibv_device_attr.",
    [
        ResultField("fw_ver", "its firmware's version") { attributes in
            withUnsafeBytes(of: attributes.fw_ver) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }.was("firmware"),
        ResultField("vendor_id", "its vendor's id") { $0.vendor_id }.was("vendor"),
        ResultField("vendor_part_id", "its vendor's id of the part") { $0.vendor_part_id }.was("part"),
        ResultField("max_mr_size", .bytes, "the largest memory region") { $0.max_mr_size },
        ResultField("max_mr", "how many memory regions it can have") { $0.max_mr },
        ResultField("max_pd", "how many protection domains") { $0.max_pd },
        ResultField("phys_port_cnt", "how many ports it has") { Int($0.phys_port_cnt) }.was("ports"),
        ResultField("atomic_cap", "\"none\", or among what the \"nic\" or the \"machine\" does") { attributes in
            switch attributes.atomic_cap {
            case IBV_ATOMIC_NONE: "none"
            case IBV_ATOMIC_HCA: "nic"
            default: "machine"
            }
        }.was("atomics"),
    ])

private let portRecord = ResultRecord<ibv_port_attr>(
    "rdma.port", "Some of what a port is: struct ibv_port_attr.",
    [
        ResultField("state", "\"active\", or \"state\" and a number") { port in
            port.state == IBV_PORT_ACTIVE ? "active" : "state \(port.state.rawValue)"
        },
        ResultField("active_mtu", .bytes, "the largest packet's payload") { 128 << Int64($0.active_mtu.rawValue) },
        ResultField("lid", "its LID; 0 on Ethernet") { $0.lid },
        ResultField("link_layer", "\"ethernet\" or \"infiniband\"") { port in
            port.link_layer == UInt8(IBV_LINK_LAYER_ETHERNET) ? "ethernet" : "infiniband"
        },
    ])

private enum HandleKeys {
    static let ph = Key<ProcessingHint?>("ph", "processing hint")
    static let cpuID = Key<UInt32?>("cpu_id", "CPU whose tag the platform is asked for")
    static let memoryType = Key<UInt8?>(
        "tph_mem_type", .choice([("volatile", 0), ("persistent", 1)]), "memory type"
    ).was("mem_type")
    static let all: [any TableKey] = [ph, cpuID, memoryType]
}

private func allocDMAH(_ call: Call) throws -> CInt {
    let fields = call[1].table
    let (ph, cpuID, memoryType) = (fields[HandleKeys.ph], fields[HandleKeys.cpuID], fields[HandleKeys.memoryType])
    var attributes = DMAHInitAttributes()
    var mask: DMAHInitMask = []
    if ph != nil { mask.insert(.ph) }
    if cpuID != nil { mask.insert(.cpuID) }
    if memoryType != nil { mask.insert(.memoryType) }
    attributes.comp_mask = mask.rawValue
    attributes.ph = ph?.rawValue ?? 0
    attributes.cpu_id = cpuID ?? 0
    attributes.tph_mem_type = memoryType ?? 0
    let context = call[0].object(RDMAContext.self)
    let label = "of \(context.pointee.label)"
    return call.push(object: try context.pointee.allocDMAH(attributes), parent: 1, label: label)
}

private let dmahClass = ObjectClass(
    DMAHandle.luaName, type: "rdma.dmah", short: "dmah", "A DMA handle: a processing hint of the requester's own.",
    methods: [],
    close: { closeObject($0, $1, $2, DMAHandle.self) }, destroy: { destroyObject($0, DMAHandle.self) })

private enum MemoryKeys {
    static let memory = Key<Object<MappedMemory>>("memory", "host memory")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64?>("length", .size(0...Int64.max), "bytes; default: to its end")
    static let all: [any TableKey] = [memory, offset, length, accessKey]
}

private enum BufferKeys {
    static let dmabuf = Key<Object<DMABuf>>("dmabuf", "the dma-buf")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64>("length", .size(0...Int64.max), "bytes")
    static let iova = Key<UInt64>("iova", default: 0, "address that work requests use")
    static let all: [any TableKey] = [dmabuf, offset, length, iova, accessKey]
    static let dmah = Key<Object<DMAHandle>?>("dmah", "the requester's own hint")
    static let dataDirect = Key<Bool>("data_direct", default: false, "through data direct")
}

private let pdClass = ObjectClass(
    ProtectionDomain.luaName, type: "rdma.pd", short: "pd", "A protection domain.",
    methods: [
        Function(
            "reg_mr",
            [Parameter("request", .record(MemoryKeys.all), .required, "what to register")],
            returns: [.object(MemoryRegion.self)], effects: [.dma], errors: answers(of: "ibv_reg_mr"),
            "ibv_reg_mr.",
            entry: { Call($0, $1).run(regMR) }),
        Function(
            "reg_dmabuf_mr", [Parameter("request", .record(BufferKeys.all), .required, "what to register")],
            returns: [.object(MemoryRegion.self)], effects: [.dma],
            errors: answers(of: "ibv_reg_dmabuf_mr"), "ibv_reg_dmabuf_mr.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    let buffer = request[BufferKeys.dmabuf]
                    let mr = try call[0].object(ProtectionDomain.self).pointee.regDmabufMR(
                        dmabuf: buffer.pointee.descriptor, offset: request[BufferKeys.offset],
                        length: request[BufferKeys.length], iova: request[BufferKeys.iova], access: request[accessKey])
                    return push(mr, call, asked: buffer.pointee.hint)
                }
            }),
        Function(
            "reg_mr_ex",
            [Parameter("request", .record(BufferKeys.all + [BufferKeys.dmah]), .required, "what to register")],
            returns: [.object(MemoryRegion.self)], effects: [.dma],
            errors: answers(of: "ibv_reg_mr_ex"),
            "ibv_reg_mr_ex of a dma-buf, with a DMA handle.", entry: { Call($0, $1).run(regMREx) }),
        Function(
            "mlx5dv_reg_dmabuf_mr",
            [Parameter("request", .record(BufferKeys.all + [BufferKeys.dataDirect]), .required, "what to register")],
            returns: [.object(MemoryRegion.self)], effects: [.dma],
            errors: answers(of: "mlx5dv_reg_dmabuf_mr"),
            "mlx5dv_reg_dmabuf_mr.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    let buffer = request[BufferKeys.dmabuf]
                    let mr = try call[0].object(ProtectionDomain.self).pointee.mlx5dvRegDmabufMR(
                        dmabuf: buffer.pointee.descriptor, offset: request[BufferKeys.offset],
                        length: request[BufferKeys.length], iova: request[BufferKeys.iova], access: request[accessKey],
                        dataDirect: request[BufferKeys.dataDirect])
                    return push(mr, call, asked: buffer.pointee.hint)
                }
            }),
        regDMFunction, allocMWFunction, createQPFunction,
    ] + addressFunctions,
    close: { closeObject($0, $1, $2, ProtectionDomain.self) }, destroy: { destroyObject($0, ProtectionDomain.self) })

/// Pushes a memory region. `hint` is the one requested from the dma-buf's exporter.
func push(_ mr: consuming MemoryRegion, _ call: Call, asked hint: TPHHint? = nil) -> CInt {
    let number = mr.lkey
    mr.asked = hint
    return call.push(object: mr, parent: 1, number: number)
}

private func regMR(_ call: Call) throws -> CInt {
    let request = call[1].table
    let memory = request[MemoryKeys.memory]
    let offset = request[MemoryKeys.offset]
    let (address, length) = memory.pointee.part(offset, request[MemoryKeys.length])
    let whole = UInt64(memory.pointee.length)
    guard offset <= whole, length <= whole - offset else {
        throw ErrorValue(
            kind: .argument,
            "pd:reg_mr: offset \(offset) and length \(length) reach outside \(whole) bytes of memory")
    }
    let mr = try call[0].object(ProtectionDomain.self).pointee.regMR(
        address: address, length: length, access: request[accessKey], region: memory.pointee.region)
    // The NIC may use the memory for as long as the region lives.
    defer { call.keep(MemoryKeys.memory, of: request) }
    return push(mr, call)
}

private func regMREx(_ call: Call) throws -> CInt {
    let request = call[1].table
    var attributes = MRInitAttributes()
    var mask: MRInitMask = [.iova, .fd, .fdOffset]
    let buffer = request[BufferKeys.dmabuf]
    attributes.fd = buffer.pointee.descriptor
    attributes.fd_offset = request[BufferKeys.offset]
    attributes.length = request[BufferKeys.length]
    attributes.iova = request[BufferKeys.iova]
    attributes.access = request[accessKey]
    let handle = request[BufferKeys.dmah]
    if let handle {
        mask.insert(.dmah)
        attributes.dmah = handle.pointee.pointer
    }
    attributes.comp_mask = mask.rawValue
    // mlx5 takes the hint of a DMA handle where there is one, and then does not ask the exporter.
    let asked = handle == nil ? buffer.pointee.hint : nil
    return push(try call[0].object(ProtectionDomain.self).pointee.regMREx(attributes), call, asked: asked)
}

private let mrClass = ObjectClass(
    MemoryRegion.luaName, type: "rdma.mr", short: "mr", "A registered memory region.",
    methods: [
        Function(
            "lkey", returns: [.integer], "The local key.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.lkey)) } }),
        Function(
            "rkey", returns: [.integer], "The remote key.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.rkey)) } }),
        Function(
            "addr", returns: [.integer],
            "What work requests call its first byte: its memory's address, or the iova given.",
            entry: { Call($0, $1).run { call in call.push(call[0].object(MemoryRegion.self).pointee.start) } }),
        Function(
            "length", returns: [.integer(.bytes)], "Bytes.",
            entry: { Call($0, $1).run { call in call.push(Int64(call[0].object(MemoryRegion.self).pointee.length)) } }),
        Function(
            "tph", returns: [.record(regionHintRecord)], "The hint in the NIC's memory key, which it puts on the wire.",
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
    return call.push((found: found, asked: asked), as: regionHintRecord)
}

private let hintRecord = ResultRecord<TPHHint>(
    "rdma.hint", "A hint, as `set_tph` takes it.",
    [
        ResultField("st", "8-bit steering tag") { $0.st.map { UInt32($0.rawValue) } },
        ResultField("st_ext", "16-bit steering tag") { $0.stExt.map { UInt32($0.rawValue) } },
        ResultField("ph", "processing hint") { $0.ph.name },
    ])

private let regionHintRecord = ResultRecord<(found: Evidence, asked: TPHHint?)>(
    "rdma.tph", "The hint of a memory region, and where that is known from.",
    [
        ResultField(
            "verified", "whether the key holds what was asked for; false where nothing tells"
        ) { $0.found.verified },
        ResultField("reason", "why it is not") { $0.found.reason },
        ResultField("asked", optional: hintRecord, "what set_tph asked for before it was registered") { $0.asked },
        ResultField("enabled", "whether the key has a hint; nil where nothing tells") { $0.found.enabled },
        ResultField("st", "the index of the key's steering tag") { $0.found.st },
        ResultField("ph", "the key's processing hint") { $0.found.ph },
        ResultField("source", "what told it") { $0.found.source },
    ])

private func sourceName(_ source: MemoryRegion.HintSource, isSimulated: Bool) -> String {
    switch source {
    case .memoryKey: isSimulated ? "simulated memory key" : "memory key (raw resource dump)"
    case .keyPools: isSimulated ? "simulated pools of memory keys" : "pools of memory keys (FRMR dump)"
    }
}
