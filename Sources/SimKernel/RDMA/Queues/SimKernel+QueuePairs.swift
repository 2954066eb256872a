import CKernel
import Glibc
import Kernel

/// Queues and work requests.
extension SimKernel {
    static let queueAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_create_qp, SimKernel.ibv_create_qp),
        VerbAnswer(Verbs.ibv_destroy_qp, SimKernel.ibv_destroy_qp),
        VerbAnswer(Verbs.ibv_modify_qp, SimKernel.ibv_modify_qp),
        VerbAnswer(Verbs.ibv_post_send, takes: 0, SimKernel.ibv_post_send),
        VerbAnswer(Verbs.ibv_post_recv, takes: 0, SimKernel.ibv_post_recv),
        VerbAnswer(Verbs.ibv_query_qp_data_in_order, SimKernel.ibv_query_qp_data_in_order),
        VerbAnswer(Verbs.ibv_create_ah, SimKernel.ibv_create_ah),
        VerbAnswer(Verbs.ibv_destroy_ah, SimKernel.ibv_destroy_ah),
        VerbAnswer(Verbs.ibv_create_srq, SimKernel.ibv_create_srq),
        VerbAnswer(Verbs.ibv_destroy_srq, SimKernel.ibv_destroy_srq),
        VerbAnswer(Verbs.ibv_modify_srq, SimKernel.ibv_modify_srq),
        VerbAnswer(Verbs.ibv_post_srq_recv, takes: 0, SimKernel.ibv_post_srq_recv),
    ]

    func ibv_create_qp(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: UnsafeMutablePointer<ibv_qp_init_attr>)
        throws(Errno) -> UnsafeMutablePointer<ibv_qp>
    {
        let cap = attributes.pointee.cap
        guard [IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD].contains(attributes.pointee.qp_type) else {
            throw notModelled("queue pairs other than RC, UC and UD", EOPNOTSUPP)
        }
        if try uverbs.domain(pd).context.nic.driver == .mlx5 {
            attributes.pointee.cap = try QueueSizes.granted(
                cap, attributes.pointee.qp_type, isShared: attributes.pointee.srq != nil)
        } else {
            guard cap.max_send_wr <= 1 << 15 else { throw Errno(EINVAL) }
            guard cap.max_recv_wr <= 1 << 15 else { throw Errno(EINVAL) }
            guard cap.max_send_sge <= 30 else { throw Errno(EINVAL) }
            guard cap.max_recv_sge <= 30 else { throw Errno(EINVAL) }
            guard cap.max_inline_data <= 1024 else { throw Errno(EINVAL) }
        }
        return try uverbs.addQueuePair(pd, attributes.pointee, self)
    }

    func ibv_destroy_qp(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) {
        uverbs.remove(qp, try uverbs.queuePair(qp))
    }

    /// sw/rxe/rxe_av.c:rxe_av_chk_attr
    func ibv_create_ah(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    {
        let hca = try uverbs.domain(pd).context.hca
        // providers/mlx5/verbs.c:mlx5_create_ah returns nothing, and no errno either, which the seam calls EIO.
        guard attributes.port_num == 1 else { throw Errno(hca.nic.driver == .mlx5 ? EIO : EINVAL) }
        // core/verbs.c:rdma_check_ah_attr: within a subnet the LID is enough.
        guard attributes.is_global != 0 || hca.nic.subnet != nil else { throw Errno(EINVAL) }
        guard attributes.is_global == 0 || attributes.grh.sgid_index < hca.gids.count else { throw Errno(EINVAL) }
        return try uverbs.addAddress(pd, attributes)
    }

    func ibv_destroy_ah(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno) {
        uverbs.remove(ah, try uverbs.address(ah))
    }

    func ibv_create_srq(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_srq>
    {
        if try uverbs.domain(pd).context.nic.driver == .mlx5 {
            let (granted, mostLimit) = try QueueSizes.granted(attributes.attr)
            return try uverbs.addSharedQueue(pd, granted, mostLimit: mostLimit, self)
        }
        guard (1...(1 << 15)).contains(attributes.attr.max_wr) else { throw Errno(EINVAL) }
        guard (1...30).contains(attributes.attr.max_sge) else { throw Errno(EINVAL) }
        // sw/rxe/rxe_srq.c:rxe_srq_chk_attr: at most what the queue has places for, which is a power of two less one.
        let places = UInt64(attributes.attr.max_wr + 1).nextPowerOfTwo
        return try uverbs.addSharedQueue(pd, attributes.attr, mostLimit: UInt32(places - 1), self)
    }

    func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, _ limit: UInt32) throws(Errno) {
        try uverbs.sharedQueue(srq).set(limit: limit)
    }

    func ibv_destroy_srq(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno) {
        let queue = try uverbs.sharedQueue(srq)
        guard queue.users == 0 else { throw Errno(EBUSY) }
        uverbs.remove(srq, queue)
    }

    func ibv_post_srq_recv(_ srq: UnsafeMutablePointer<ibv_srq>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        try uverbs.sharedQueue(srq).post(request, refused: &refused)
    }

    func ibv_modify_qp(_ qp: UnsafeMutablePointer<ibv_qp>, _ attributes: ibv_qp_attr, _ mask: Int32)
        throws(Errno)
    {
        let queuePair = try uverbs.queuePair(qp)
        try queuePair.modify(attributes, UInt32(bitPattern: mask))
        qp.pointee.state = queuePair.state
        if queuePair.state == IBV_QPS_RTS { queuePair.progress() }
    }

    /// libibverbs/dummy_ops.c:query_qp_data_in_order, of providers that promise nothing; mlx5 asks its firmware for the queue
    /// pair's data_in_order, which is 0 here.
    func ibv_query_qp_data_in_order(_ qp: UnsafeMutablePointer<ibv_qp>, _ opcode: UInt32, _ flags: UInt32)
        throws(Errno) -> Bool
    {
        _ = try uverbs.queuePair(qp)
        return false
    }

    func ibv_post_send(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_send_wr>)
        throws(Errno)
    {
        var refused: UnsafeMutablePointer<ibv_send_wr>?
        try uverbs.queuePair(qp).post(request, refused: &refused)
    }

    func ibv_post_recv(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        var refused: UnsafeMutablePointer<ibv_recv_wr>?
        try uverbs.queuePair(qp).postReceive(request, refused: &refused)
    }
}

extension QueuePair {
    /// A chain, taken as far as it goes; `refused` is the first one that was not.
    func post(
        _ first: UnsafeMutablePointer<ibv_send_wr>, refused: inout UnsafeMutablePointer<ibv_send_wr>?
    ) throws(Errno) {
        kernel.pass(100)
        defer { progress() }
        var next: UnsafeMutablePointer<ibv_send_wr>? = first
        while let request = next {
            refused = request
            try post(request.pointee)
            next = request.pointee.next
        }
        refused = nil
    }

    /// sw/rxe/rxe_verbs.c:rxe_post_send, validate_send_wr
    private func post(_ request: ibv_send_wr) throws(Errno) {
        // libmlx5 allows no piece before RTS (qp_state_max_gs), and answers as for a full queue.
        guard state.rawValue >= IBV_QPS_RTS.rawValue else { throw Errno(nic.driver == .mlx5 ? ENOMEM : EINVAL) }
        guard request.num_sge >= 0 else { throw Errno(EINVAL) }
        guard request.num_sge <= capacity.max_send_sge else { throw Errno(EINVAL) }
        guard sendsPosted < capacity.max_send_wr else { throw Errno(ENOMEM) }
        // sw/rxe's provider: validate_send_wr
        let isAtomic = [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(request.opcode)
        guard nic.driver != .rxe || !isAtomic || request.wr.atomic.remote_addr & 7 == 0 else { throw Errno(EINVAL) }
        var send = try Send(
            request, limit: Int(capacity.max_inline_data), type, isMLX5: nic.driver == .mlx5, kernel)
        sendsPosted += 1
        guard state == IBV_QPS_RTS else { return complete(send, IBV_WC_WR_FLUSH_ERR) }
        if type == IBV_QPT_RC { send.fault = kernel.nextCompletionFault() }
        sends.append(send)
    }

    /// A chain, taken as far as it goes; `refused` is the first one that was not.
    func postReceive(
        _ first: UnsafeMutablePointer<ibv_recv_wr>, refused: inout UnsafeMutablePointer<ibv_recv_wr>?
    ) throws(Errno) {
        kernel.pass(100)
        defer { resumePeer() }
        var next: UnsafeMutablePointer<ibv_recv_wr>? = first
        while let request = next {
            refused = request
            try postReceive(request.pointee)
            next = request.pointee.next
        }
        refused = nil
    }

    /// sw/rxe/rxe_verbs.c:rxe_post_recv
    private func postReceive(_ request: ibv_recv_wr) throws(Errno) {
        // core/verbs.h: a queue pair with a shared queue has none of its own.
        guard shared == nil else { throw Errno(EINVAL) }
        guard state != IBV_QPS_RESET else { throw Errno(EINVAL) }
        guard request.num_sge >= 0 else { throw Errno(EINVAL) }
        guard request.num_sge <= capacity.max_recv_sge else { throw Errno(EINVAL) }
        guard receivesPosted < capacity.max_recv_wr else { throw Errno(ENOMEM) }
        let receive = Receive(id: request.wr_id, pieces: QueuePair.pieces(request.sg_list, request.num_sge))
        receivesPosted += 1
        guard state != IBV_QPS_ERR else { return complete(receive, IBV_WC_WR_FLUSH_ERR) }
        receives.append(receive)
    }

    static func pieces(_ list: UnsafeMutablePointer<ibv_sge>?, _ count: Int32) -> [Piece] {
        UnsafeBufferPointer(start: list, count: list == nil ? 0 : Int(count)).map {
            Piece(address: $0.addr, length: Int($0.length), key: $0.lkey)
        }
    }
}

extension QueuePair.Send {
    private static let known = [
        IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_READ,
        IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_BIND_MW,
    ]

    /// A copy of a work request. EINVAL for an opcode that is not modelled, and for more inline data than fits.
    fileprivate init(
        _ request: ibv_send_wr, limit: Int, _ type: ibv_qp_type, isMLX5: Bool, _ kernel: SimKernel
    ) throws(Errno) {
        guard Self.known.contains(request.opcode) else { throw Errno(EINVAL) }
        id = request.wr_id
        opcode = request.opcode
        flags = request.send_flags
        immediate = request.imm_data
        window = WindowRequest(request, type)
        guard request.opcode != IBV_WR_BIND_MW || window != nil else { throw Errno(EINVAL) }
        let isDatagram = type == IBV_QPT_UD
        datagram =
            isDatagram
            ? try kernel.uverbs.address(request.wr.ud.ah, request.wr.ud.remote_qpn, request.wr.ud.remote_qkey) : nil
        let isAtomic = [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(request.opcode)
        remoteAddress = isDatagram ? 0 : isAtomic ? request.wr.atomic.remote_addr : request.wr.rdma.remote_addr
        remoteKey = isDatagram ? 0 : isAtomic ? request.wr.atomic.rkey : request.wr.rdma.rkey
        operands = isAtomic ? (request.wr.atomic.compare_add, request.wr.atomic.swap) : (0, 0)
        let pieces = QueuePair.pieces(request.sg_list, request.num_sge)
        self.pieces = pieces
        guard request.send_flags & IBV_SEND_INLINE.rawValue != 0 else {
            inline = nil
            return
        }
        let length = pieces.reduce(0) { $0 + $1.length }
        // providers/mlx5/qp.c:set_data_inl_seg counts that as a queue without room.
        guard length <= limit else { throw Errno(isMLX5 ? ENOMEM : EINVAL) }
        var bytes = [UInt8](repeating: 0, count: length)
        var done = 0
        for piece in pieces where piece.length > 0 {
            let copied = bytes.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { sys_copy_from_address($0 + done, piece.address, piece.length) } ?? 0
            }
            guard copied == 0 else { throw Errno(EFAULT) }
            done += piece.length
        }
        inline = bytes
    }
}
