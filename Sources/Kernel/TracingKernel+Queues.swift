public import CKernel

private func address<Pointee>(_ pointer: UnsafeMutablePointer<Pointee>?) -> UInt64 {
    UInt64(UInt(bitPattern: pointer))
}

private func pointer<Pointee>(_ value: UnsafeMutablePointer<Pointee>) -> String { hex(address(value)) }

/// Queues and work requests in the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func ibv_query_gid_table(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [ibv_gid_entry] {
        try verb(.queryGIDTable, [address(context)], { "\($0.count) entries" }) { (kernel) throws(Errno) in
            try kernel.ibv_query_gid_table(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    {
        try verb(.createCompChannel, [address(context)], pointer) { (kernel) throws(Errno) in
            try kernel.ibv_create_comp_channel(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) {
        try verb(.destroyCompChannel, [address(channel)], { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_destroy_comp_channel(channel)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        let arguments = [address(context), UInt64(UInt32(bitPattern: entries)), address(channel)]
        return try verb(.createCQ, arguments, pointer) { (kernel) throws(Errno) in
            try kernel.ibv_create_cq(context, entries, channel)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno) {
        try verb(.reqNotifyCQ, [address(cq), solicitedOnly ? 1 : 0], { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_req_notify_cq(cq, solicitedOnly)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32)
        throws(Errno) -> Bool
    {
        let arguments = [address(channel), UInt64(UInt32(bitPattern: milliseconds))]
        return try verb(.getCQEvent, arguments, { $0 ? "an event" : "none" }) { (kernel) throws(Errno) in
            try kernel.ibv_get_cq_event(channel, milliseconds)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno) {
        try verb(.modifyCQ, [address(cq), UInt64(count), UInt64(period)], { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_modify_cq(cq, count, period)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_cq(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno) {
        try verb(.destroyCQ, [address(cq)], { "0" }) { (kernel) throws(Errno) in try kernel.ibv_destroy_cq(cq) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_qp(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: inout ibv_qp_init_attr)
        throws(Errno) -> UnsafeMutablePointer<ibv_qp>
    {
        let cap = attributes.cap
        let arguments = [
            address(pd), UInt64(attributes.qp_type.rawValue), address(attributes.send_cq),
            address(attributes.recv_cq), UInt64(cap.max_send_wr), UInt64(cap.max_recv_wr), UInt64(cap.max_send_sge),
            UInt64(cap.max_recv_sge), UInt64(cap.max_inline_data),
        ]
        var changed = attributes
        defer { attributes = changed }
        return try verb(.createQP, arguments, { "\(pointer($0)) {qp_num=\(hex($0.pointee.qp_num))}" }) {
            (kernel) throws(Errno) in
            try kernel.ibv_create_qp(pd, &changed)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_qp(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) {
        try verb(.destroyQP, [address(qp)], { "0" }) { (kernel) throws(Errno) in try kernel.ibv_destroy_qp(qp) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_ah(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    {
        let arguments = [
            address(pd), UInt64(attributes.dlid), UInt64(attributes.port_num), UInt64(attributes.grh.sgid_index),
        ]
        return try verb(.createAH, arguments, pointer) { (kernel) throws(Errno) in
            try kernel.ibv_create_ah(pd, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_ah(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno) {
        try verb(.destroyAH, [address(ah)], { "0" }) { (kernel) throws(Errno) in try kernel.ibv_destroy_ah(ah) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_srq(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_srq>
    {
        let arguments = [address(pd), UInt64(attributes.attr.max_wr), UInt64(attributes.attr.max_sge)]
        return try verb(.createSRQ, arguments, pointer) { (kernel) throws(Errno) in
            try kernel.ibv_create_srq(pd, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_srq(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno) {
        try verb(.destroySRQ, [address(srq)], { "0" }) { (kernel) throws(Errno) in try kernel.ibv_destroy_srq(srq) }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, limit: UInt32) throws(Errno) {
        try verb(.modifySRQ, [address(srq), UInt64(limit)], { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_modify_srq(srq, limit: limit)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32)
        throws(Errno) -> AsyncEvent?
    {
        let arguments = [address(context), UInt64(UInt32(bitPattern: milliseconds))]
        let text = { (event: AsyncEvent?) in event.map { "\($0.name) of \(hex($0.element))" } ?? "none" }
        return try verb(.getAsyncEvent, arguments, text) { (kernel) throws(Errno) in
            try kernel.ibv_get_async_event(context, milliseconds)
        }
    }

    /// See ``VerbsCalls``. Of a chain the first request is shown.
    public func ibv_post_srq_recv(_ srq: UnsafeMutablePointer<ibv_srq>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        let arguments = [address(srq), request.pointee.wr_id, UInt64(UInt32(bitPattern: request.pointee.num_sge))]
        try verb(.postSRQRecv, arguments, { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_post_srq_recv(srq, request)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_qp(_ qp: UnsafeMutablePointer<ibv_qp>, _ attributes: ibv_qp_attr, _ mask: Int32)
        throws(Errno)
    {
        let arguments = [
            address(qp), UInt64(UInt32(bitPattern: mask)), UInt64(attributes.qp_state.rawValue),
            UInt64(attributes.dest_qp_num), UInt64(attributes.qp_access_flags),
        ]
        try verb(.modifyQP, arguments, { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_modify_qp(qp, attributes, mask)
        }
    }

    /// See ``VerbsCalls``. Of a chain the first request is shown.
    public func ibv_post_send(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_send_wr>)
        throws(Errno)
    {
        let wr = request.pointee
        let pieces = UnsafeBufferPointer(start: wr.sg_list, count: wr.sg_list == nil ? 0 : Int(max(0, wr.num_sge)))
        let arguments = [
            address(qp), wr.wr_id, UInt64(wr.opcode.rawValue), UInt64(wr.send_flags), UInt64(pieces.count),
            pieces.reduce(0) { $0 + UInt64($1.length) }, wr.wr.rdma.remote_addr,
            UInt64(
                [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(wr.opcode)
                    ? wr.wr.atomic.rkey : wr.wr.rdma.rkey),
        ]
        try verb(.postSend, arguments, { "0" }) { (kernel) throws(Errno) in try kernel.ibv_post_send(qp, request) }
    }

    /// See ``VerbsCalls``. Of a chain the first request is shown.
    public func ibv_post_recv(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        let arguments = [address(qp), request.pointee.wr_id, UInt64(UInt32(bitPattern: request.pointee.num_sge))]
        try verb(.postRecv, arguments, { "0" }) { (kernel) throws(Errno) in try kernel.ibv_post_recv(qp, request) }
    }

    /// See ``VerbsCalls``.
    public func ibv_poll_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ completions: UnsafeMutableBufferPointer<ibv_wc>)
        throws(Errno) -> Int
    {
        let text = { (count: Int) in
            let list = completions.prefix(count).map {
                "{wr_id=\(hex($0.wr_id)), status=\($0.status.rawValue), byte_len=\($0.byte_len)}"
            }
            return ([String(count)] + list).joined(separator: " ")
        }
        return try verb(.pollCQ, [address(cq), UInt64(completions.count)], text) { (kernel) throws(Errno) in
            try kernel.ibv_poll_cq(cq, completions)
        }
    }
}
