public import CKernel
public import Kernel

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
        self.init(name, try kernel.ask(Verbs.ibv_open_device, device.pointer, of: name), kernel)
    }

    private init(_ name: String, _ context: UnsafeMutablePointer<ibv_context>, _ kernel: any Kernel) {
        label = name
        self.context = context
        self.kernel = kernel
    }

    /// ibv_query_device(3).
    public func query() throws(Failure) -> ibv_device_attr {
        try kernel.ask(Verbs.ibv_query_device, context, of: label)
    }

    /// ibv_query_port(3); ports count from 1.
    public func query(port: UInt8) throws(Failure) -> ibv_port_attr {
        try kernel.ask(Verbs.ibv_query_port, context, port, of: "\(label) port \(port)")
    }

    /// ibv_alloc_pd(3).
    public func allocPD() throws(Failure) -> ProtectionDomain {
        let pd = try kernel.ask(Verbs.ibv_alloc_pd, context, of: label)
        return ProtectionDomain(kernel, pd, in: children, label: "pd of \(label)")
    }

    /// ibv_alloc_dmah(3): a processing hint of the requester's own, with a tag the platform knows for a CPU.
    public func allocDMAH(_ attributes: DMAHInitAttributes) throws(Failure) -> DMAHandle {
        let dmah = try kernel.ask(Verbs.ibv_alloc_dmah, context, attributes, of: label) {
            DMAHandleCauses.hint($0, attributes, kernel)
        }
        return DMAHandle(kernel, dmah, in: children, label: "dmah of \(label)")
    }

    /// What refuses to make a DMA handle; nil where nothing does. It is one of a processing hint alone, which takes no entry of the
    /// NIC's table, and is deallocated at once.
    public func refusalOfHandle() -> Failure? {
        var attributes = DMAHInitAttributes()
        attributes.comp_mask = DMAHInitMask.ph.rawValue
        do throws(Failure) {
            var dmah = try allocDMAH(attributes)
            try dmah.close()
            return nil
        } catch { return error }
    }

    /// ibv_create_cq(3), of at least `entries`; with `events`, on a completion channel of its own.
    public func createCQ(entries: Int32, events: Bool = false) throws(Failure) -> CompletionQueue {
        let channel = events ? try kernel.ask(Verbs.ibv_create_comp_channel, context, of: label) : nil
        do throws(Failure) {
            let cq = try kernel.ask(Verbs.ibv_create_cq, context, entries, channel, of: label) {
                $0 == .invalid ? QueueLimits(context, kernel).hint(entries: entries) : nil
            }
            return CompletionQueue(kernel, cq, channel, in: children, label: label)
        } catch {
            if let channel { try? kernel.call(Verbs.ibv_destroy_comp_channel, channel) }
            throw error
        }
    }

    /// ibv_alloc_dm(3): memory of the NIC's own.
    public func allocDM(length: UInt64) throws(Failure) -> DeviceMemory {
        let dm = try kernel.ask(Verbs.ibv_alloc_dm, context, length, of: label)
        return DeviceMemory(kernel, dm, length: length, in: children, label: label)
    }

    /// ibv_get_async_event(3), acknowledged; ETIMEDOUT after `timeout` nanoseconds, EINTR where `stop` is no longer 0.
    public func waitEvent(timeout: UInt64, stop: UnsafePointer<Int32>?) throws(Failure) -> AsyncEvent {
        do throws(Errno) {
            return try EventWait.wait(kernel, timeout: timeout, stop: stop) { (slice) throws(Errno) in
                try kernel.call(Verbs.ibv_get_async_event, context, slice)
            }
        } catch {
            throw Failure("ibv_get_async_event", error, object: label)
        }
    }

    /// The device's pools of memory keys (RDMA netlink, Linux 7.3 and later).
    public func frmrPools() throws(Failure) -> [FRMRPool] {
        guard let pools = FRMRPool.decode(try kernel.ask(Verbs.frmrPools, context, of: label)) else {
            throw Failure(Verbs.frmrPools.signature.name, .protocolError, object: label)
        }
        return pools
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
        try kernel.ask(Verbs.ibv_close_device, context, of: label)
        isOpen = false
    }
}
