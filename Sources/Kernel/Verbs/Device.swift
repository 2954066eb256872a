public import CKernel
import Glibc

extension ObjectKind {
    static let device = ObjectKind("device", "rdma device", "struct ibv_device *")
    static let context = ObjectKind("context", "rdma context", "struct ibv_context *")
}

extension VerbParameter where Value == UnsafeMutablePointer<ibv_context> {
    static var context: Self { .object(.context) }
}

/// Devices, and contexts: devices that are open.
extension Verbs {
    /// ibv_get_device_list(3). ENOSYS where the kernel has no RDMA.
    public static let ibv_get_device_list = Verb(
        "ibv_get_device_list",
        answer: .noted(members: [.init("device", .handle(ObjectKind.device.name))]) { (list: DeviceList, operation) in
            operation.outputs = [.init("devices", .devices(list))]
        }, isAskedOnce: true, inC: .deviceList,
        refusals: [
            Refusal("ENOSYS", "this machine has no RDMA: no device, or the kernel module ib_uverbs is not loaded"),
            Refusal("EPERM", "no permission to look at /sys/class/infiniband_verbs"), Refusal("ENOMEM"),
        ]
    ) { () throws(Errno) in
        var list: UnsafeMutablePointer<UnsafeMutablePointer<ibv_device>?>?
        var count: Int32 = 0
        try check(shim_ibv_get_device_list(&list, &count))
        guard let list else { throw Errno(EIO) }
        return DeviceList((0..<Int(count)).compactMap { list[$0] }) { shim_ibv_free_device_list(list) }
    }

    /// ibv_open_device(3).
    public static let ibv_open_device = Verb(
        "ibv_open_device", .object(.device), makes: .context,
        refusals: [
            Refusal("ENODEV", "the device went away, or its node /dev/infiniband/uverbsN is missing"),
            Refusal("EACCES", "no permission; run as root or give yourself /dev/infiniband/uverbsN"), Refusal("EMFILE"),
            Refusal("EINVAL", "the installed libibverbs has no provider that knows the driver's interface"),
        ] + Refusal.ofMemory, live: shim_ibv_open_device)

    /// ibv_close_device(3).
    public static let ibv_close_device = Verb(
        "ibv_close_device", .context, ends: true, refusals: [.deviceGone], live: shim_ibv_close_device)

    /// ibv_query_device(3).
    public static let ibv_query_device = Verb(
        "ibv_query_device", .context, filling: { ibv_device_attr() },
        inC: .call("ibv_query_device($0, &attr)", [.lines(["struct ibv_device_attr attr;"])]),
        refusals: [.deviceGone, .unknownObject], live: shim_ibv_query_device)

    /// ibv_query_port(3). Ports count from 1.
    public static let ibv_query_port = Verb(
        "ibv_query_port", .context, .number("port"), filling: { ibv_port_attr() },
        inC: .call("ibv_query_port($0, $1, &attr)", [.lines(["struct ibv_port_attr attr;"])]),
        refusals: [.deviceGone, Refusal("EINVAL", "the device has no port of that number; they count from 1")],
        live: shim_ibv_query_port)

    /// ibv_query_gid_table(3): the entries with a GID, of all ports.
    public static let ibv_query_gid_table = Verb(
        "ibv_query_gid_table", .context,
        answer: .noted(members: [
            .init("gid_index", .decimal), .init("port_num", .decimal), .init("gid_type", .decimal),
        ]) {
            (entries: [ibv_gid_entry], operation) in
            operation.outputs = [.init("entries", .gids(entries))]
        }, inC: .gidTable,
        refusals: [
            .deviceGone, .unknownObject, Refusal("EOPNOTSUPP", "this kernel lists no GIDs so (5.11 and later do)"),
        ]
    ) { (context) throws(Errno) in
        var room = 0
        for port in 1...max(1, try ibv_query_device.live(context).phys_port_cnt) {
            room += Int(max(0, try ibv_query_port.live(context, port).gid_tbl_len))
        }
        var result = 0
        let entries = [ibv_gid_entry](unsafeUninitializedCapacity: room) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            result = shim_ibv_query_gid_table(context, base, buffer.count)
            count = max(0, result)
        }
        try check(result)
        return entries
    }

    /// ibv_get_async_event(3) and ibv_ack_async_event(3): an event that came within the given milliseconds.
    public static let ibv_get_async_event = Verb(
        "ibv_get_async_event", .context, .number("milliseconds"),
        answer: .noted(members: [.init("event_type", AsyncEvent.types), .init("element", .queueNumber)]) {
            (event: AsyncEvent?, operation) in
            guard let event else { return }
            operation.result = .number(1, .decimal)
            operation.outputs = event.members
        }, inC: .none,
        refusals: [
            .deviceGone, Refusal("EINVAL", "the context is closed"),
            Refusal("ETIMEDOUT", "nothing happened to it or to what is open of it"),
        ]
    ) { (context, milliseconds: Int32) throws(Errno) in
        var event = shim_async_event()
        let result = shim_ibv_get_async_event(context, milliseconds, &event)
        try check(result)
        return result > 0 ? AsyncEvent(type: event.type, element: event.element) : nil
    }

    /// The device's pools of memory keys, by RDMA netlink (RDMA_NLDEV_CMD_FRMR_POOLS_GET with driver details, Linux 7.3
    /// and later), for `FRMRPool.decode`. EOPNOTSUPP where the kernel has no such dump, ENODATA where the device has no
    /// pools.
    public static let frmrPools = Verb(
        "frmr_pools", .context,
        answer: .noted { (dump: [UInt8], operation) in operation.outputs = [.init("dump", .bytes(dump))] },
        inC: .none,
        refusals: Refusal.ofNetlink + [
            Refusal("EOPNOTSUPP", "this kernel shows no pools of memory keys; Linux 7.3 and later do"),
            Refusal("ENODATA", "the device keeps no pools of memory keys; mlx5 does"),
            Refusal("EPROTO", "the dump is cut, or not of the layout known"),
        ]
    ) { (context) throws(Errno) in
        guard let device = context.pointee.device else { throw Errno(EINVAL) }
        return try netlink(device) { rdma_frmr_pools($0, $1, $2) }
    }

    static let devices: [any AnyVerb] = [
        ibv_get_device_list, ibv_open_device, ibv_close_device, ibv_query_device, ibv_query_port, ibv_query_gid_table,
        ibv_get_async_event, frmrPools,
    ]

    /// A device's data by RDMA netlink, at most 64 KiB.
    static func netlink(
        _ device: UnsafeMutablePointer<ibv_device>, _ body: (UnsafePointer<CChar>, UnsafeMutableRawPointer, Int) -> Int
    ) throws(Errno) -> [UInt8] {
        var result = 0
        let answer = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            result = withUnsafeBytes(of: device.pointee.name) { name in
                name.baseAddress.map { body($0.assumingMemoryBound(to: CChar.self), base, buffer.count) }
                    ?? -Int(EINVAL)
            }
            count = max(0, result)
        }
        try check(result)
        return answer
    }
}

/// The machine's RDMA devices. Their structures live as long as this list.
public final class DeviceList: RandomAccessCollection {
    private let devices: [UnsafeMutablePointer<ibv_device>]
    private let free: () -> Void

    /// A list; `free` is called when it is released.
    public init(_ devices: [UnsafeMutablePointer<ibv_device>], free: @escaping () -> Void = {}) {
        self.devices = devices
        self.free = free
    }

    deinit { free() }

    /// 0
    public var startIndex: Int { 0 }
    /// Number of devices.
    public var endIndex: Int { devices.count }
    /// One of them.
    public subscript(_ index: Int) -> UnsafeMutablePointer<ibv_device> { devices[index] }
}

/// An event of a device or of one of its objects: struct ibv_async_event.
public struct AsyncEvent: Sendable, Equatable {
    /// enum ibv_event_type
    public let type: UInt32
    /// The object that the event is about: a queue pair's number, a port's number, or the address of the library's
    /// object.
    public let element: UInt64

    /// An event.
    public init(type: UInt32, element: UInt64) {
        self.type = type
        self.element = element
    }

    private static let names = [
        "CQ_ERR", "QP_FATAL", "QP_REQ_ERR", "QP_ACCESS_ERR", "COMM_EST", "SQ_DRAINED", "PATH_MIG", "PATH_MIG_ERR",
        "DEVICE_FATAL", "PORT_ACTIVE", "PORT_ERR", "LID_CHANGE", "PKEY_CHANGE", "SM_CHANGE", "SRQ_ERR",
        "SRQ_LIMIT_REACHED", "QP_LAST_WQE_REACHED", "CLIENT_REREGISTER", "GID_CHANGE", "WQ_FATAL",
    ]
    /// The C name without IBV_EVENT_: "SRQ_LIMIT_REACHED".
    public var name: String {
        AsyncEvent.names.indices.contains(Int(type)) ? AsyncEvent.names[Int(type)] : "event \(type)"
    }
    /// The names of ``type``.
    public static let types = Format.names(names.enumerated().map { .init($0.offset, $0.element) })
    /// Whether `element` is a queue pair's number.
    public var isOfQueuePair: Bool { (1...7).contains(type) || type == 16 }
    /// Whether `element` is a port's number.
    public var isOfPort: Bool { (9...13).contains(type) || type == 17 || type == 18 }

    fileprivate var members: [Operation.Member] {
        let format: Format = isOfQueuePair ? .queueNumber : isOfPort ? .decimal : .handle("object")
        return [
            .init("event_type", .number(UInt64(type), AsyncEvent.types)), .init("element", .number(element, format)),
        ]
    }
}
