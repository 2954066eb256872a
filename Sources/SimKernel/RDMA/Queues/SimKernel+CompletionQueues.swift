public import CKernel
import Glibc
public import Kernel

/// Completion queues and their events. See ``VerbsCalls``.
extension SimKernel {
    /// See ``VerbsCalls``.
    public func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    {
        pass(1000)
        return try rdma.addChannel(context)
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) {
        pass(1000)
        guard try rdma.channel(channel).users == 0 else { throw Errno(EBUSY) }
        rdma.remove(channel)
    }

    /// See ``VerbsCalls``.
    public func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        pass(1000)
        let nic = try rdma.context(context).nic
        guard entries > 0, entries <= nic.longestCompletionQueue else { throw Errno(EINVAL) }
        // providers/mlx5/verbs.c:create_cq, hw/mlx5/cq.c:mlx5_ib_create_cq: one more, then a power of two.
        let places = nic.driver == .mlx5 ? Int(UInt64(entries + 1).nextPowerOfTwo) : Int(entries)
        return try rdma.addQueue(context, entries: places, channel, self)
    }

    /// See ``VerbsCalls``.
    public func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno) {
        pass(100)
        try rdma.queue(cq).arm(solicitedOnly: solicitedOnly)
    }

    /// See ``VerbsCalls``. Waits in virtual time, and lets others run meanwhile.
    public func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32)
        throws(Errno) -> Bool
    {
        pass(1000)
        let channel = try rdma.channel(channel)
        let end = now + UInt64(max(0, milliseconds)) * 1_000_000
        channel.advance(to: now)
        while channel.events == 0 {
            guard now < end else { return false }
            _ = sleep(nanoseconds: 20_000)
            channel.advance(to: now)
        }
        channel.events -= 1
        return true
    }

    /// See ``VerbsCalls``. hw/mlx5/cq.c:mlx5_ib_modify_cq
    public func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno) {
        pass(1000)
        let queue = try rdma.queue(cq)
        guard queue.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        guard period <= 4095 else { throw Errno(EINVAL) }
        queue.eventCount = max(1, Int(count))
        queue.eventPeriod = UInt64(period) * 1000
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, limit: UInt32) throws(Errno) {
        pass(1000)
        try rdma.sharedQueue(srq).set(limit: limit)
    }

    /// See ``VerbsCalls``. Waits in virtual time, and lets others run meanwhile.
    public func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32)
        throws(Errno) -> AsyncEvent?
    {
        pass(1000)
        let context = try rdma.context(context)
        let end = now + UInt64(max(0, milliseconds)) * 1_000_000
        while context.events.isEmpty, now < end { _ = sleep(nanoseconds: 20_000) }
        return context.takeEvent()
    }
}

extension Topology.NIC {
    /// The most completions that a queue may be asked for.
    var longestCompletionQueue: Int { driver == .mlx5 ? 1 << 22 - 1 : 1 << 22 }
}
