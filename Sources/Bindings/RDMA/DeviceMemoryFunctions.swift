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
        "alloc_dm", [Parameter("length", .size(0...Int64.max), .required, "bytes")], returns: "rdma.dm",
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
        "wait_event", [Parameter("timeout", .integer(0...3_600_000), .integer(5000), "milliseconds")],
        returns: "rdma.async_event", errors: [("ETIMEDOUT", "nothing happened in time")],
        "ibv_get_async_event, acknowledged: what happened to the device or to what is open of it. type (\"CQ_ERR\", "
            + "\"QP_ACCESS_ERR\", \"SRQ_LIMIT_REACHED\", \"PORT_ERR\" and so on), and qpn or port of whom.",
        entry: { Call($0, $1).run(waitEvent) }),
    Function(
        "frmr_pools", returns: "rdma.frmr_pool[]",
        errors: [("EOPNOTSUPP", "the kernel is older than 7.3"), ("ENODATA", "the device has no pools")],
        "The device's pools of memory keys (RDMA netlink): blocks, access, ats, in_use, max_in_use, waiting, pinned, "
            + "vendor_key, kernel_vendor_key, and of mlx5 the hint of their keys: st (the tag's index) and ph.",
        entry: { Call($0, $1).run(pools) }),
]

private func waitEvent(_ call: Call) throws -> CInt {
    let event = try call[0].object(RDMAContext.self).pointee.waitEvent(
        timeout: call[1].uint64 * 1_000_000, stop: UnsafePointer(lk_interruption(call.state)))
    let element = LuaValue.integer(Int64(bitPattern: event.element))
    return call.push(
        .table([
            "type": .string(event.name), "qpn": event.isOfQueuePair ? element : .none,
            "port": event.isOfPort ? element : .none,
        ]))
}

private func pools(_ call: Call) throws -> CInt {
    let pools = try call[0].object(RDMAContext.self).pointee.frmrPools()
    return call.push(
        .list(
            pools.map { pool in
                let hint = pool.hint
                let name = hint.flatMap { ProcessingHint(rawValue: $0.ph)?.name }
                return .table([
                    "ats": .boolean(pool.ats), "access": .integer(Int64(pool.access)),
                    "blocks": .integer(Int64(clamping: pool.blocks)), "in_use": .integer(Int64(clamping: pool.inUse)),
                    "max_in_use": .integer(Int64(clamping: pool.maxInUse)),
                    "waiting": .integer(Int64(pool.handles)), "pinned": .integer(Int64(pool.pinned)),
                    "vendor_key": .integer(Int64(bitPattern: pool.vendorKey)),
                    "kernel_vendor_key": .integer(Int64(bitPattern: pool.kernelVendorKey)),
                    "st": hint.map { .integer(Int64($0.index)) } ?? .none, "ph": name.map { .string($0) } ?? .none,
                ])
            }))
}

private let offset = Parameter("offset", .size(0...Int64.max), .required, "start in it")
private let outside = [(name: "EFAULT", reason: "it reaches outside the device memory")]

let dmClass = ObjectClass(
    DeviceMemory.luaName, type: "rdma.dm", short: "dm", "Memory of a NIC's own.",
    methods: [
        Function(
            "length", returns: "integer", "Bytes.",
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
            "read", [offset, Parameter("length", .size(0...(1 << 30)), .required, "bytes")], returns: "string",
            errors: outside, "ibv_memcpy_from_dm.",
            entry: {
                Call($0, $1).run { call in
                    let memory = call[0].object(DeviceMemory.self)
                    // Before so many bytes are allocated.
                    try memory.pointee.check("ibv_memcpy_from_dm", call[1].uint64, call[2].uint64)
                    let at = call[1].uint64
                    var bytes = [UInt8](repeating: 0, count: call[2].int)
                    try reading(&bytes) { buffer throws(Failure) in try memory.pointee.read(at: at, into: buffer) }
                    return call.push(.bytes(bytes))
                }
            }),
    ],
    close: { closeObject($0, $1, $2, DeviceMemory.self) }, destroy: { destroyObject($0, DeviceMemory.self) })

/// pd:reg_dm_mr
let regDMFunction = Function(
    "reg_dm_mr",
    [
        Parameter(
            "request",
            .record([
                Parameter("dm", .object(DeviceMemory.self), .required, "the device memory"),
                Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
                Parameter("length", .size(0...Int64.max), .absent, "bytes; default: to its end"), accessParameter,
            ]), .required, "what to register")
    ],
    returns: "rdma.mr", effects: [.dma],
    errors: [("EINVAL", "range or access"), ("EOPNOTSUPP", "the driver has no device memory")],
    "ibv_reg_dm_mr. Work requests call its first byte 0; zero_based is added to the access.",
    entry: {
        Call($0, $1).run { call in
            let request = call[1]
            let memory = request[0].object(DeviceMemory.self)
            let length =
                request[2].isPresent
                ? request[2].uint64 : memory.pointee.length - min(memory.pointee.length, request[1].uint64)
            let mr = try call[0].object(ProtectionDomain.self).pointee.regDeviceMemory(
                memory.pointee, offset: request[1].uint64, length: length, access: request[3].int32)
            defer { call.keep(request[0]) }
            return push(mr, call)
        }
    })
