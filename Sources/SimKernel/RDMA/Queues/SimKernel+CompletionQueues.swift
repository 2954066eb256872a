import CKernel
import Glibc
import Kernel

/// Completion queues and their events.
extension SimKernel {
    static let completionAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_create_comp_channel, SimKernel.ibv_create_comp_channel),
        VerbAnswer(Verbs.ibv_destroy_comp_channel, SimKernel.ibv_destroy_comp_channel),
        VerbAnswer(Verbs.ibv_create_cq, SimKernel.ibv_create_cq),
        VerbAnswer(Verbs.ibv_req_notify_cq, takes: 100, SimKernel.ibv_req_notify_cq),
        VerbAnswer(Verbs.ibv_get_cq_event, SimKernel.ibv_get_cq_event),
        VerbAnswer(Verbs.ibv_modify_cq, SimKernel.ibv_modify_cq),
        VerbAnswer(Verbs.ibv_poll_cq, takes: 0, SimKernel.ibv_poll_cq),
        VerbAnswer(Verbs.ibv_destroy_cq, SimKernel.ibv_destroy_cq),
    ]

    func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    {
        return try uverbs.addChannel(context)
    }

    func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) {
        guard try uverbs.channel(channel).users == 0 else { throw Errno(EBUSY) }
        uverbs.remove(channel)
    }

    func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        let nic = try uverbs.context(context).nic
        guard entries > 0, entries <= nic.longestCompletionQueue else { throw Errno(EINVAL) }
        // providers/mlx5/verbs.c:create_cq, hw/mlx5/cq.c:mlx5_ib_create_cq: one more, then a power of two.
        let places = nic.driver == .mlx5 ? Int(UInt64(entries + 1).nextPowerOfTwo) : Int(entries)
        return try uverbs.addQueue(context, entries: places, channel, self)
    }

    func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno) {
        try uverbs.queue(cq).arm(solicitedOnly: solicitedOnly)
    }

    /// Waits in virtual time, and lets others run meanwhile.
    func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32)
        throws(Errno) -> Bool
    {
        let channel = try uverbs.channel(channel)
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

    func ibv_poll_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: Int32) throws(Errno) -> [ibv_wc] {
        let queue = try uverbs.queue(cq)
        return [ibv_wc](unsafeUninitializedCapacity: Verbs.completionRoom(count)) { room, filled in
            filled = queue.poll(room)
        }
    }

    /// hw/mlx5/cq.c:mlx5_ib_modify_cq
    func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno) {
        let queue = try uverbs.queue(cq)
        guard queue.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        guard period <= 4095 else { throw Errno(EINVAL) }
        queue.eventCount = max(1, Int(count))
        queue.eventPeriod = UInt64(period) * 1000
    }

    func ibv_destroy_cq(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno) {
        guard try uverbs.queue(cq).users == 0 else { throw Errno(EBUSY) }
        uverbs.remove(cq)
    }
}

extension Topology.NIC {
    /// The most completions that a queue may be asked for.
    var longestCompletionQueue: Int { driver == .mlx5 ? 1 << 22 - 1 : 1 << 22 }
}
