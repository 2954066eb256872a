public import CKernel
public import Kernel

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

    private func registered<each Argument>(
        _ verb: Verb<UnsafeMutablePointer<ibv_mr>, UnsafeMutablePointer<ibv_pd>, repeat each Argument>,
        _ arguments: repeat each Argument, start: UInt64, _ asked: @autoclosure () -> Registration
    ) throws(Failure) -> MemoryRegion {
        let mr = try kernel.ask(verb, pd, repeat each arguments, of: label) { asked().hint($0, label, kernel) }
        return MemoryRegion(kernel, mr, start: start, in: siblings, label: label)
    }

    /// ibv_reg_mr(3). `access` is IBV_ACCESS_*. `region` says what the memory is, where it is a device's.
    public func regMR(address: UInt64, length: UInt64, access: Int32, region: String? = nil) throws(Failure)
        -> MemoryRegion
    {
        try registered(
            Verbs.ibv_reg_mr, address, length, access, start: address,
            Registration(length: length, iova: address, access: Access(rawValue: access), region: region))
    }

    /// ibv_reg_dmabuf_mr(3).
    public func regDmabufMR(dmabuf: Int32, offset: UInt64, length: UInt64, iova: UInt64, access: Int32)
        throws(Failure) -> MemoryRegion
    {
        try registered(
            Verbs.ibv_reg_dmabuf_mr, offset, length, iova, dmabuf, access, start: iova,
            Registration(
                descriptor: dmabuf, offset: offset, length: length, iova: iova, access: Access(rawValue: access)))
    }

    /// What refuses to register the first page of a dma-buf, which is deregistered at once; nil where nothing does. A driver that
    /// registers dma-bufs answers EBADF to descriptor -1, one that has no such operation EOPNOTSUPP.
    public func refusal(ofBuffer descriptor: Int32) -> Failure? {
        do throws(Failure) {
            var mr = try regDmabufMR(
                dmabuf: descriptor, offset: 0, length: 4096, iova: 0, access: Access.localWrite.rawValue)
            try mr.close()
            return nil
        } catch { return error }
    }

    /// ibv_reg_mr_ex(3), with an optional DMA handle.
    public func regMREx(_ attributes: MRInitAttributes) throws(Failure) -> MemoryRegion {
        try registered(
            Verbs.ibv_reg_mr_ex, attributes, start: attributes.iova,
            Registration(
                descriptor: MRInitMask(rawValue: attributes.comp_mask).contains(.fd) ? attributes.fd : nil,
                offset: attributes.fd_offset,
                length: attributes.length, iova: attributes.iova,
                access: Access(rawValue: attributes.access)))
    }

    /// mlx5dv_reg_dmabuf_mr(3), with data direct where `dataDirect` is set.
    public func mlx5dvRegDmabufMR(
        dmabuf: Int32, offset: UInt64, length: UInt64, iova: UInt64, access: Int32, dataDirect: Bool
    ) throws(Failure) -> MemoryRegion {
        try registered(
            Verbs.mlx5dv_reg_dmabuf_mr, offset, length, iova, dmabuf, access, dataDirect ? 1 : 0, start: iova,
            Registration(
                descriptor: dmabuf, offset: offset, length: length, iova: iova,
                access: Access(rawValue: access), dataDirect: dataDirect))
    }

    /// ibv_alloc_mw(3), of type 1 or 2.
    public func allocMW(type: UInt32) throws(Failure) -> MemoryWindow {
        let mw = try kernel.ask(Verbs.ibv_alloc_mw, pd, type, of: label)
        return MemoryWindow(kernel, mw, in: siblings, label: label)
    }

    /// ibv_create_ah(3): where datagrams to `peer` go, from `port` and the entry `gidIndex` of its GIDs.
    public func createAH(to peer: Endpoint, port: UInt8 = 1, gidIndex: UInt8? = nil) throws(Failure) -> AddressHandle {
        guard let context = pd.pointee.context else { throw Failure("ibv_create_ah", .invalid, object: label) }
        let attributes = try peer.address(kernel, context, port, gidIndex: gidIndex, label)
        let ah = try kernel.ask(Verbs.ibv_create_ah, pd, attributes, of: label)
        return AddressHandle(kernel, ah, in: siblings, label: label)
    }

    /// ibv_create_srq(3), for `requests` receive requests of at most `pieces` pieces.
    public func createSRQ(requests: UInt32, pieces: UInt32) throws(Failure) -> SharedReceiveQueue {
        var attributes = ibv_srq_init_attr()
        attributes.attr.max_wr = requests
        attributes.attr.max_sge = pieces
        let srq = try kernel.ask(Verbs.ibv_create_srq, pd, attributes, of: label) {
            $0 == .invalid ? QueueLimits(pd.pointee.context, kernel).hint(requests: requests, pieces: pieces) : nil
        }
        return SharedReceiveQueue(kernel, srq, in: siblings, label: label)
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
            throw Failure("ibv_create_qp", .invalid, object: label, of: .queuesOfAnotherContext)
        }
        var attributes = ibv_qp_init_attr()
        attributes.send_cq = send.cq
        attributes.recv_cq = receive.cq
        attributes.srq = shared
        attributes.cap = capacity
        attributes.qp_type = type
        attributes.sq_sig_all = signalsAll ? 1 : 0
        let qp = try withUnsafeMutablePointer(to: &attributes) { (attributes) throws(Failure) in
            try kernel.ask(Verbs.ibv_create_qp, pd, attributes, of: label) {
                $0 == .invalid ? QueueLimits(pd.pointee.context, kernel).hint(capacity) : nil
            }
        }
        return QueuePair(kernel, qp, capacity: attributes.cap, in: siblings, label: label)
    }

    /// ibv_reg_dm_mr(3) of a part of a NIC's own memory; work requests call its first byte 0. IBV_ACCESS_ZERO_BASED, which
    /// it must have, is added.
    public func regDeviceMemory(_ memory: borrowing DeviceMemory, offset: UInt64, length: UInt64, access: Int32)
        throws(Failure) -> MemoryRegion
    {
        let access = access | Access.zeroBased.rawValue
        let mr = try kernel.ask(Verbs.ibv_reg_dm_mr, pd, memory.dm, offset, length, access, of: memory.label)
        return MemoryRegion(kernel, mr, start: 0, in: siblings, label: label)
    }

    /// ibv_dealloc_pd(3). EBUSY while a memory region or a queue pair uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, pd) = (kernel, pd)
        try siblings.end(&isOpen, "ibv_dealloc_pd", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_dealloc_pd, pd)
        }
    }
}
