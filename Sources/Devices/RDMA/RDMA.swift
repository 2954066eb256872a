public import CKernel
public import Kernel

/// A NIC as the list of RDMA devices shows it.
public struct RDMADevice {
    /// "mlx5_0"
    public let name: String
    let pointer: UnsafeMutablePointer<ibv_device>

    /// The machine's RDMA devices; ENOSYS where the kernel has no RDMA at all.
    public static func all(kernel: any Kernel) throws(Failure) -> [RDMADevice] {
        do throws(Errno) {
            return try kernel.call(Verbs.ibv_get_device_list).map { pointer in
                RDMADevice(name: pointer.pointee.nameText, pointer: pointer)
            }
        } catch {
            throw Failure("ibv_get_device_list", error, object: "this machine")
        }
    }
}

extension ibv_device {
    fileprivate var nameText: String {
        withUnsafeBytes(of: name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

extension ibv_context {
    /// What the device is called that it is of.
    var deviceName: String? { device?.pointee.nameText }
}

/// Objects that live in another one: libibverbs would use freed memory if the parent went first.
final class OpenChildCount {
    var count = 0

    /// Ends one of them, once. What could not be ended stays open, unless the kernel knows it no more (ENOENT): that is so
    /// where it ended it before, and could only not say so.
    func end(
        _ isOpen: inout Bool, _ operation: String, _ object: @autoclosure () -> String, _ body: () throws(Errno) -> Void
    ) throws(Failure) {
        guard isOpen else { return }
        do throws(Errno) { try body() } catch {
            if error == .noEntry {
                isOpen = false
                count -= 1
            }
            throw Failure(operation, error, object: object())
        }
        isOpen = false
        count -= 1
    }
}

/// An open RDMA device: ibv_open_device(3).
public struct RDMAContext: ~Copyable {
    private let kernel: any Kernel
    private let context: UnsafeMutablePointer<ibv_context>
    private let children = OpenChildCount()
    /// The device's name.
    public let label: String
    /// False once it is closed.
    public private(set) var isOpen = true

    /// Opens a device by name.
    public init(_ name: String, kernel: any Kernel) throws(Failure) {
        let devices = try RDMADevice.all(kernel: kernel)
        guard let device = devices.first(where: { $0.name == name }) else {
            let names = devices.map(\.name).joined(separator: ", ")
            throw Failure(
                "ibv_open_device", .noDevice, object: name,
                hint: names.isEmpty ? "this machine has no RDMA device" : "its RDMA devices are \(names)")
        }
        let context: UnsafeMutablePointer<ibv_context>
        do throws(Errno) { context = try kernel.call(Verbs.ibv_open_device, device.pointer) } catch {
            throw Failure("ibv_open_device", error, object: name)
        }
        self.init(name, context, kernel)
    }

    private init(_ name: String, _ context: UnsafeMutablePointer<ibv_context>, _ kernel: any Kernel) {
        label = name
        self.context = context
        self.kernel = kernel
    }

    /// ibv_query_device(3).
    public func query() throws(Failure) -> ibv_device_attr {
        do throws(Errno) { return try kernel.call(Verbs.ibv_query_device, context) } catch {
            throw Failure("ibv_query_device", error, object: label)
        }
    }

    /// ibv_query_port(3); ports count from 1.
    public func query(port: UInt8) throws(Failure) -> ibv_port_attr {
        do throws(Errno) { return try kernel.call(Verbs.ibv_query_port, context, port) } catch {
            throw Failure("ibv_query_port", error, object: "\(label) port \(port)")
        }
    }

    /// ibv_alloc_pd(3).
    public func allocPD() throws(Failure) -> ProtectionDomain {
        do throws(Errno) {
            let pd = try kernel.call(Verbs.ibv_alloc_pd, context)
            return ProtectionDomain(kernel, pd, in: children, label: "pd of \(label)")
        } catch {
            throw Failure("ibv_alloc_pd", error, object: label)
        }
    }

    /// ibv_alloc_dmah(3): a processing hint of the requester's own, with a tag the platform knows for a CPU.
    public func allocDMAH(_ attributes: DMAHInitAttributes) throws(Failure) -> DMAHandle {
        do throws(Errno) {
            let dmah = try kernel.call(Verbs.ibv_alloc_dmah, context, attributes)
            return DMAHandle(kernel, dmah, in: children, label: "dmah of \(label)")
        } catch {
            throw Failure(
                "ibv_alloc_dmah", error, object: label,
                request: "comp_mask=\(attributes.comp_mask), cpu_id=\(attributes.cpu_id), ph=\(attributes.ph), "
                    + "tph_mem_type=\(attributes.tph_mem_type)",
                hint: DMAHandleCauses.hint(error, attributes, kernel))
        }
    }

    /// ibv_create_cq(3), of at least `entries`; with `events`, on a completion channel of its own.
    public func createCQ(entries: Int32, events: Bool = false) throws(Failure) -> CompletionQueue {
        var channel: UnsafeMutablePointer<ibv_comp_channel>?
        if events {
            do throws(Errno) { channel = try kernel.call(Verbs.ibv_create_comp_channel, context) } catch {
                throw Failure("ibv_create_comp_channel", error, object: label)
            }
        }
        do throws(Errno) {
            let cq = try kernel.call(Verbs.ibv_create_cq, context, entries, channel)
            return CompletionQueue(kernel, cq, channel, in: children, label: label)
        } catch {
            if let channel { try? kernel.call(Verbs.ibv_destroy_comp_channel, channel) }
            throw Failure(
                "ibv_create_cq", error, object: label, request: "cqe=\(entries)",
                hint: error == .invalid ? QueueLimits(context, kernel).hint(entries: entries) : nil)
        }
    }

    /// ibv_alloc_dm(3): memory of the NIC's own.
    public func allocDM(length: UInt64) throws(Failure) -> DeviceMemory {
        do throws(Errno) {
            let dm = try kernel.call(Verbs.ibv_alloc_dm, context, length)
            return DeviceMemory(kernel, dm, length: length, in: children, label: label)
        } catch {
            throw Failure("ibv_alloc_dm", error, object: label, request: "length=\(length)")
        }
    }

    /// ibv_get_async_event(3), acknowledged; ETIMEDOUT after `timeout` nanoseconds, EINTR where `stop` is no longer 0.
    public func waitEvent(timeout: UInt64, stop: UnsafePointer<Int32>?) throws(Failure) -> AsyncEvent {
        do throws(Errno) {
            return try EventWait.wait(kernel, timeout: timeout, stop: stop) { (slice) throws(Errno) in
                try kernel.call(Verbs.ibv_get_async_event, context, slice)
            }
        } catch {
            throw Failure(
                "ibv_get_async_event", error, object: label,
                hint: error == .timedOut ? "nothing happened to it or to what is open of it" : nil)
        }
    }

    /// The device's pools of memory keys (RDMA netlink, Linux 7.3 and later).
    public func frmrPools() throws(Failure) -> [FRMRPool] {
        do throws(Errno) {
            guard let pools = FRMRPool.decode(try kernel.call(Verbs.frmrPools, context)) else {
                throw Errno.protocolError
            }
            return pools
        } catch {
            let hint =
                switch error {
                case .notSupported: "this kernel shows no pools of memory keys; Linux 7.3 and later do"
                case .noData: "the device keeps no pools of memory keys; mlx5 does"
                case .protocolError: "the dump is cut"
                default: "RDMA netlink refuses"
                }
            throw Failure("RDMA netlink, FRMR_POOLS_GET", error, object: label, hint: hint)
        }
    }

    /// A port's GIDs. Ports count from 1.
    public func gids(port: UInt8) throws(Failure) -> [GIDEntry] {
        try GIDEntry.table(kernel, context, port, "\(label) port \(port)")
    }

    /// ibv_close_device(3). One that could not be closed stays open. EBUSY while something allocated from it is open: the
    /// library would let it go and leave the rest pointing at freed memory.
    public mutating func close() throws(Failure) {
        guard isOpen else { return }
        guard children.count == 0 else {
            throw Failure(
                "ibv_close_device", .busy, object: label,
                hint: "\(children.count) of its objects are still open; close them first")
        }
        do throws(Errno) { try kernel.call(Verbs.ibv_close_device, context) } catch {
            throw Failure("ibv_close_device", error, object: label)
        }
        isOpen = false
    }
}

/// A protection domain.
public struct ProtectionDomain: ~Copyable {
    private let kernel: any Kernel
    private let pd: UnsafeMutablePointer<ibv_pd>
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is deallocated.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ pd: UnsafeMutablePointer<ibv_pd>, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.pd = pd
        self.siblings = siblings
        self.label = label
        siblings.count += 1
    }

    private func registered(
        _ call: String, start: UInt64, _ request: @autoclosure () -> String, _ asked: @autoclosure () -> Registration,
        _ body: () throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    ) throws(Failure) -> MemoryRegion {
        do throws(Errno) {
            return MemoryRegion(kernel, try body(), start: start, in: siblings, label: label)
        } catch {
            throw Failure(
                call, error, object: label, request: request(), hint: asked().hint(error, label, kernel))
        }
    }

    /// ibv_reg_mr(3). `access` is IBV_ACCESS_*. `region` says what the memory is, where it is a device's.
    public func regMR(address: UInt64, length: UInt64, access: Int32, region: String? = nil) throws(Failure)
        -> MemoryRegion
    {
        try registered(
            "ibv_reg_mr", start: address, "addr=0x\(String(address, radix: 16)), length=\(length), access=\(access)",
            Registration(length: length, iova: address, access: Access(rawValue: access), region: region)
        ) { () throws(Errno) in try kernel.call(Verbs.ibv_reg_mr, pd, address, length, access) }
    }

    /// ibv_reg_dmabuf_mr(3).
    public func regDmabufMR(dmabuf: Int32, offset: UInt64, length: UInt64, iova: UInt64, access: Int32)
        throws(Failure) -> MemoryRegion
    {
        try registered(
            "ibv_reg_dmabuf_mr", start: iova,
            "fd=\(dmabuf), offset=\(offset), length=\(length), iova=\(iova), access=\(access)",
            Registration(
                descriptor: dmabuf, offset: offset, length: length, iova: iova, access: Access(rawValue: access))
        ) { () throws(Errno) in try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, offset, length, iova, dmabuf, access) }
    }

    /// ibv_reg_mr_ex(3), with an optional DMA handle.
    public func regMREx(_ attributes: MRInitAttributes) throws(Failure) -> MemoryRegion {
        try registered(
            "ibv_reg_mr_ex", start: attributes.iova,
            "length=\(attributes.length), access=\(attributes.access), mask=\(attributes.comp_mask)",
            Registration(
                descriptor: MRInitMask(rawValue: attributes.comp_mask).contains(.fd) ? attributes.fd : nil,
                offset: attributes.fd_offset,
                length: attributes.length, iova: attributes.iova,
                access: Access(rawValue: attributes.access))
        ) { () throws(Errno) in try kernel.call(Verbs.ibv_reg_mr_ex, pd, attributes) }
    }

    /// mlx5dv_reg_dmabuf_mr(3), with data direct where `dataDirect` is set.
    public func mlx5dvRegDmabufMR(
        dmabuf: Int32, offset: UInt64, length: UInt64, iova: UInt64, access: Int32, dataDirect: Bool
    ) throws(Failure) -> MemoryRegion {
        try registered(
            "mlx5dv_reg_dmabuf_mr", start: iova,
            "fd=\(dmabuf), offset=\(offset), length=\(length), iova=\(iova), access=\(access)",
            Registration(
                descriptor: dmabuf, offset: offset, length: length, iova: iova,
                access: Access(rawValue: access), dataDirect: dataDirect)
        ) { () throws(Errno) in
            try kernel.call(Verbs.mlx5dv_reg_dmabuf_mr, pd, offset, length, iova, dmabuf, access, dataDirect ? 1 : 0)
        }
    }

    /// ibv_alloc_mw(3), of type 1 or 2.
    public func allocMW(type: UInt32) throws(Failure) -> MemoryWindow {
        do throws(Errno) {
            return MemoryWindow(kernel, try kernel.call(Verbs.ibv_alloc_mw, pd, type), in: siblings, label: label)
        } catch {
            throw Failure("ibv_alloc_mw", error, object: label, request: "type=\(type)")
        }
    }

    /// ibv_create_ah(3): where datagrams to `peer` go, from `port` and the entry `gidIndex` of its GIDs.
    public func createAH(to peer: Endpoint, port: UInt8 = 1, gidIndex: UInt8? = nil) throws(Failure) -> AddressHandle {
        guard let context = pd.pointee.context else { throw Failure("ibv_create_ah", .invalid, object: label) }
        let attributes = try peer.address(kernel, context, port, gidIndex: gidIndex, label)
        do throws(Errno) {
            return AddressHandle(
                kernel, try kernel.call(Verbs.ibv_create_ah, pd, attributes), in: siblings, label: label)
        } catch {
            throw Failure("ibv_create_ah", error, object: label, request: "port=\(port)")
        }
    }

    /// ibv_create_srq(3), for `requests` receive requests of at most `pieces` pieces.
    public func createSRQ(requests: UInt32, pieces: UInt32) throws(Failure) -> SharedReceiveQueue {
        var attributes = ibv_srq_init_attr()
        attributes.attr.max_wr = requests
        attributes.attr.max_sge = pieces
        do throws(Errno) {
            return SharedReceiveQueue(
                kernel, try kernel.call(Verbs.ibv_create_srq, pd, attributes), in: siblings, label: label)
        } catch {
            throw Failure(
                "ibv_create_srq", error, object: label, request: "max_wr=\(requests), max_sge=\(pieces)",
                hint: error == .invalid
                    ? QueueLimits(pd.pointee.context, kernel).hint(requests: requests, pieces: pieces) : nil)
        }
    }

    /// ibv_create_qp(3) of `type` with these queues: its own receive queue, or `shared`.
    public func createQP(
        send: borrowing CompletionQueue, receive: borrowing CompletionQueue, capacity: ibv_qp_cap, signalsAll: Bool,
        type: ibv_qp_type = IBV_QPT_RC, shared: UnsafeMutablePointer<ibv_srq>? = nil
    ) throws(Failure) -> QueuePair {
        try send.check("ibv_create_qp")
        try receive.check("ibv_create_qp")
        // Handles are numbers of a context: those of another one could name something else in this.
        let contexts = [
            send.cq.pointee.context, receive.cq.pointee.context, shared?.pointee.context ?? pd.pointee.context,
        ]
        guard contexts.allSatisfy({ $0 == pd.pointee.context }) else {
            throw Failure(
                "ibv_create_qp", .invalid, object: label,
                hint: "its queues must be of the context that the protection domain is of")
        }
        var attributes = ibv_qp_init_attr()
        attributes.send_cq = send.cq
        attributes.recv_cq = receive.cq
        attributes.srq = shared
        attributes.cap = capacity
        attributes.qp_type = type
        attributes.sq_sig_all = signalsAll ? 1 : 0
        do throws(Errno) {
            let qp = try withUnsafeMutablePointer(to: &attributes) { (attributes) throws(Errno) in
                try kernel.call(Verbs.ibv_create_qp, pd, attributes)
            }
            return QueuePair(
                kernel, qp, capacity: attributes.cap, in: siblings, label: label)
        } catch {
            throw Failure(
                "ibv_create_qp", error, object: label,
                request: "max_send_wr=\(capacity.max_send_wr), max_recv_wr=\(capacity.max_recv_wr), "
                    + "max_send_sge=\(capacity.max_send_sge), max_recv_sge=\(capacity.max_recv_sge), "
                    + "max_inline_data=\(capacity.max_inline_data)",
                hint: error == .invalid ? QueueLimits(pd.pointee.context, kernel).hint(capacity) : nil)
        }
    }

    /// ibv_reg_dm_mr(3) of a part of a NIC's own memory; work requests call its first byte 0. IBV_ACCESS_ZERO_BASED, which
    /// it must have, is added.
    public func regDeviceMemory(_ memory: borrowing DeviceMemory, offset: UInt64, length: UInt64, access: Int32)
        throws(Failure) -> MemoryRegion
    {
        do throws(Errno) {
            let mr = try kernel.call(
                Verbs.ibv_reg_dm_mr, pd, memory.dm, offset, length, access | Access.zeroBased.rawValue)
            return MemoryRegion(kernel, mr, start: 0, in: siblings, label: label)
        } catch {
            throw Failure(
                "ibv_reg_dm_mr", error, object: memory.label, request: "dm_offset=\(offset), length=\(length)")
        }
    }

    /// ibv_dealloc_pd(3). EBUSY while a memory region or a queue pair uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, pd) = (kernel, pd)
        try siblings.end(&isOpen, "ibv_dealloc_pd", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_dealloc_pd, pd)
        }
    }
}

/// A DMA handle: ibv_alloc_dmah(3).
public struct DMAHandle: ~Copyable {
    private let kernel: any Kernel
    /// The library's object.
    public let pointer: UnsafeMutableRawPointer
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is deallocated.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ pointer: UnsafeMutableRawPointer, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.pointer = pointer
        self.siblings = siblings
        self.label = label
        siblings.count += 1
    }

    /// ibv_dealloc_dmah(3). EBUSY while a memory region uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, pointer) = (kernel, pointer)
        try siblings.end(&isOpen, "ibv_dealloc_dmah", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_dealloc_dmah, pointer)
        }
    }
}
