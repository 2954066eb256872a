import CLuaShims
public import Devices
import Kernel
public import LuaKit

extension DeviceMemory: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "device memory" }
}

/// Methods of an RDMA context that concern its own memory, its events and its memory keys.
let deviceContextMethods = [
    Function(
        "alloc_dm", [Parameter("length", .size(0...Int64.max), .required, "bytes")],
        returns: [.object(DeviceMemory.self)],
        errors: [("EOPNOTSUPP", "the driver has no device memory"), ("ENOMEM", "more than the NIC has left")],
        "ibv_alloc_dm: memory of the NIC's own.",
        entry: {
            Call($0, $1).run { call in
                let context = call[0].object(RDMAContext.self)
                let label = "of \(context.pointee.label)"
                return call.push(object: try context.pointee.allocDM(length: call[1].uint64), parent: 1, label: label)
            }
        }),
    Function(
        "wait_event", [Parameter("timeout_ms", .time(0...3_600_000), .integer(5000), "how long")],
        returns: [.record(asyncEventRecord)], errors: [("ETIMEDOUT", "nothing happened in time")],
        "ibv_get_async_event, acknowledged: what happened to the device or to what is open of it.",
        entry: { Call($0, $1).run(waitEvent) }),
    Function(
        "frmr_pools", returns: [.list(.record(frmrPoolRecord))],
        errors: [("EOPNOTSUPP", "the kernel is older than 7.3"), ("ENODATA", "the device has no pools")],
        "The device's pools of memory keys (RDMA netlink).",
        entry: {
            Call($0, $1).run { call in
                call.push(list: try call[0].object(RDMAContext.self).pointee.frmrPools(), as: frmrPoolRecord)
            }
        }),
]

private func waitEvent(_ call: Call) throws -> CInt {
    let event = try call[0].object(RDMAContext.self).pointee.waitEvent(
        timeout: call[1].uint64 * 1_000_000, stop: UnsafePointer(lk_interruption(call.state)))
    return call.push(event, as: asyncEventRecord)
}

private let asyncEventRecord = ResultRecord<AsyncEvent>(
    "rdma.async_event", "What happened to an RDMA device: struct ibv_async_event.",
    [
        ResultField(
            "event_type", "IBV_EVENT_*: \"CQ_ERR\", \"QP_ACCESS_ERR\", \"SRQ_LIMIT_REACHED\", \"PORT_ERR\" and so on"
        ) { $0.name }.was("type"),
        ResultField("qp_num", "the queue pair's number, where it is about one") {
            $0.isOfQueuePair ? $0.element : nil
        }.was("qpn"),
        ResultField("port_num", "the port's number, where it is about one") {
            $0.isOfPort ? $0.element : nil
        }.was("port"),
    ])

private let frmrPoolRecord = ResultRecord<FRMRPool>(
    "rdma.frmr_pool", "A pool of memory keys.",
    [
        ResultField("num_dma_blocks", "how many pages a key of it can map") {
            Int64(clamping: $0.blocks)
        }.was("blocks"),
        ResultField("access_flags", "IBV_ACCESS_* of its keys") { $0.access }.was("access"),
        ResultField("ats", "whether its keys use translated addresses") { $0.ats },
        ResultField("in_use", "how many of its keys are in use") { Int64(clamping: $0.inUse) },
        ResultField("max_in_use", "the most that ever were") { Int64(clamping: $0.maxInUse) },
        ResultField("queue_handles", "how many keys wait in it") { $0.handles }.was("waiting"),
        ResultField("pinned_handles", "how many are kept when it is aged") { $0.pinned }.was("pinned"),
        ResultField("vendor_key", "the driver's own part of what tells pools apart") { $0.vendorKey },
        ResultField("kernel_vendor_key", "the same, of keys that the kernel uses") { $0.kernelVendorKey },
        ResultField("st", "of mlx5: the index of its keys' steering tag") { $0.hint.map { UInt32($0.index) } },
        ResultField("ph", "of mlx5: the processing hint of its keys") { pool in
            pool.hint.flatMap { ProcessingHint(rawValue: $0.ph)?.name }
        },
    ])

private let offset = Parameter("offset", .size(0...Int64.max), .required, "start in it")
private let outside = [(name: "EFAULT", reason: "it reaches outside the device memory")]

let dmClass = ObjectClass(
    DeviceMemory.luaName, type: "rdma.dm", short: "dm", "Memory of a NIC's own.",
    methods: [
        Function(
            "length", returns: [.integer(.bytes)], "Bytes.",
            entry: {
                Call($0, $1).run { call in
                    call.push(Int64(clamping: call[0].object(DeviceMemory.self).pointee.length))
                }
            }),
        Function(
            "write", [offset, Parameter("bytes", .string, .required, "what to write")], effects: [.regionWrite],
            errors: outside, "ibv_memcpy_to_dm.",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(DeviceMemory.self).pointee.write(at: call[1].uint64, from: call[2].bytes)
                    return call.nothing
                }
            }),
        Function(
            "read", [offset, Parameter("length", .size(0...(1 << 30)), .required, "bytes")], returns: [.string],
            errors: outside, "ibv_memcpy_from_dm.",
            entry: {
                Call($0, $1).run { call in
                    let memory = call[0].object(DeviceMemory.self)
                    // Checked before that many bytes are allocated.
                    try memory.pointee.check("ibv_memcpy_from_dm", call[1].uint64, call[2].uint64)
                    let at = call[1].uint64
                    var bytes = [UInt8](repeating: 0, count: call[2].int)
                    try reading(&bytes) { buffer throws(Failure) in try memory.pointee.read(at: at, into: buffer) }
                    return call.push(value: Bytes(bytes))
                }
            }),
    ],
    close: { closeObject($0, $1, $2, DeviceMemory.self) }, destroy: { destroyObject($0, DeviceMemory.self) })

private enum RegisterKeys {
    static let dm = Key<Object<DeviceMemory>>("dm", "the device memory")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64?>("length", .size(0...Int64.max), "bytes; default: to its end")
    static let all: [any TableKey] = [dm, offset, length, accessKey]
}

/// pd:reg_dm_mr
let regDMFunction = Function(
    "reg_dm_mr",
    [Parameter("request", .record(RegisterKeys.all), .required, "what to register")],
    returns: [.object(MemoryRegion.self)], effects: [.dma],
    errors: [("EINVAL", "range or access"), ("EOPNOTSUPP", "the driver has no device memory")],
    "ibv_reg_dm_mr. Work requests call its first byte 0; zero_based is added to the access.",
    entry: {
        Call($0, $1).run { call in
            let request = call[1].table
            let memory = request[RegisterKeys.dm]
            let offset = request[RegisterKeys.offset]
            let length = request[RegisterKeys.length] ?? memory.pointee.length - min(memory.pointee.length, offset)
            let mr = try call[0].object(ProtectionDomain.self).pointee.regDeviceMemory(
                memory.pointee, offset: offset, length: length, access: request[accessKey])
            defer { call.keep(RegisterKeys.dm, of: request) }
            return push(mr, call)
        }
    })
