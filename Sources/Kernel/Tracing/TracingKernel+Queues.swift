public import CKernel

/// Queues and work requests in the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func ibv_query_gid_table(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [ibv_gid_entry] {
        try verb(.queryGIDTable, [address(context)]) { entries, operation in
            operation.outputs = [.init("entries", .gids(entries))]
        } _: { () throws(Errno) in
            try kernel.ibv_query_gid_table(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    {
        try verb(.createCompChannel, [address(context)]) { () throws(Errno) in
            try kernel.ibv_create_comp_channel(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) {
        try verb(.destroyCompChannel, [address(channel)]) { () throws(Errno) in
            try kernel.ibv_destroy_comp_channel(channel)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        let arguments = [address(context), UInt64(UInt32(bitPattern: entries)), address(channel)]
        return try verb(.createCQ, arguments) { () throws(Errno) in
            try kernel.ibv_create_cq(context, entries, channel)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno) {
        try verb(.reqNotifyCQ, [address(cq), solicitedOnly ? 1 : 0]) { () throws(Errno) in
            try kernel.ibv_req_notify_cq(cq, solicitedOnly)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32)
        throws(Errno) -> Bool
    {
        let arguments = [address(channel), UInt64(UInt32(bitPattern: milliseconds))]
        return try verb(.getCQEvent, arguments) { came, operation in
            operation.result = .number(came ? 1 : 0, .decimal)
        } _: { () throws(Errno) in
            try kernel.ibv_get_cq_event(channel, milliseconds)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno) {
        try verb(.modifyCQ, [address(cq), UInt64(count), UInt64(period)]) { () throws(Errno) in
            try kernel.ibv_modify_cq(cq, count, period)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_cq(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno) {
        try verb(.destroyCQ, [address(cq)]) { () throws(Errno) in try kernel.ibv_destroy_cq(cq) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_qp(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: inout ibv_qp_init_attr)
        throws(Errno) -> UnsafeMutablePointer<ibv_qp>
    {
        let cap = attributes.cap
        let arguments = [
            address(pd), UInt64(attributes.qp_type.rawValue), address(attributes.send_cq),
            address(attributes.recv_cq), address(attributes.srq), signed(attributes.sq_sig_all),
            UInt64(cap.max_send_wr), UInt64(cap.max_recv_wr), UInt64(cap.max_send_sge), UInt64(cap.max_recv_sge),
            UInt64(cap.max_inline_data),
        ]
        var changed = attributes
        defer { attributes = changed }
        return try verb(.createQP, arguments) { (qp: UnsafeMutablePointer<ibv_qp>, operation: inout Operation) in
            operation.result = .number(address(qp), operation.signature.result)
            operation.outputs = [.init("qp_num", .number(UInt64(qp.pointee.qp_num), .queueNumber))]
        } _: { () throws(Errno) in
            try kernel.ibv_create_qp(pd, &changed)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_qp(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) {
        try verb(.destroyQP, [address(qp)]) { () throws(Errno) in try kernel.ibv_destroy_qp(qp) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_ah(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    {
        let operation = Operation(
            .createAH, [.number(address(pd), .handle("pd")), watches ? .path(attributes) : .list([])])
        return try call(operation) { ah, operation in
            operation.result = .number(address(ah), operation.signature.result)
        } _: { () throws(Errno) in
            try kernel.ibv_create_ah(pd, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_ah(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno) {
        try verb(.destroyAH, [address(ah)]) { () throws(Errno) in try kernel.ibv_destroy_ah(ah) }
    }

    /// See ``VerbsCalls``.
    public func ibv_create_srq(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_srq>
    {
        let attr = attributes.attr
        let arguments = [address(pd), UInt64(attr.max_wr), UInt64(attr.max_sge), UInt64(attr.srq_limit)]
        return try verb(.createSRQ, arguments) { () throws(Errno) in
            try kernel.ibv_create_srq(pd, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_srq(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno) {
        try verb(.destroySRQ, [address(srq)]) { () throws(Errno) in try kernel.ibv_destroy_srq(srq) }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, limit: UInt32) throws(Errno) {
        try verb(.modifySRQ, [address(srq), UInt64(limit)]) { () throws(Errno) in
            try kernel.ibv_modify_srq(srq, limit: limit)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32)
        throws(Errno) -> AsyncEvent?
    {
        let arguments = [address(context), UInt64(UInt32(bitPattern: milliseconds))]
        return try verb(.getAsyncEvent, arguments) { event, operation in
            guard let event else { return }
            operation.result = .number(1, .decimal)
            let format: Format =
                event.isOfQueuePair ? .queueNumber : event.isOfPort ? .decimal : .handle("object")
            operation.outputs = [
                .init("event_type", .number(UInt64(event.type), AsyncEvent.types)),
                .init("element", .number(event.element, format)),
            ]
        } _: { () throws(Errno) in
            try kernel.ibv_get_async_event(context, milliseconds)
        }
    }

    private func post(_ signature: Signature, _ queue: UInt64, _ work: Operation.Value) -> Operation {
        Operation(signature, [.number(queue, signature.parameters[0].format), work])
    }

    /// See ``VerbsCalls``.
    public func ibv_post_srq_recv(_ srq: UnsafeMutablePointer<ibv_srq>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        try call(post(.postSRQRecv, address(srq), watches ? .work(request) : .list([]))) { () throws(Errno) in
            try kernel.ibv_post_srq_recv(srq, request)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_qp(_ qp: UnsafeMutablePointer<ibv_qp>, _ attributes: ibv_qp_attr, _ mask: Int32)
        throws(Errno)
    {
        let operation = Operation(
            .modifyQP,
            [
                .number(address(qp), .handle("qp")), watches ? .attributes(attributes, mask) : .list([]),
                .number(signed(mask), Signature.modifyQP.parameters[2].format),
            ])
        try call(operation) { () throws(Errno) in try kernel.ibv_modify_qp(qp, attributes, mask) }
    }

    /// See ``VerbsCalls``.
    public func ibv_post_send(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_send_wr>)
        throws(Errno)
    {
        dataPath?.pause()
        defer { dataPath?.resume() }
        try call(post(.postSend, address(qp), watches ? .work(request, on: qp) : .list([]))) { () throws(Errno) in
            try kernel.ibv_post_send(qp, request)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_post_recv(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    {
        dataPath?.pause()
        defer { dataPath?.resume() }
        try call(post(.postRecv, address(qp), watches ? .work(request) : .list([]))) { () throws(Errno) in
            try kernel.ibv_post_recv(qp, request)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_poll_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ completions: UnsafeMutableBufferPointer<ibv_wc>)
        throws(Errno) -> Int
    {
        dataPath?.pause()
        defer { dataPath?.resume() }
        return try verb(.pollCQ, [address(cq), UInt64(completions.count)]) { count, operation in
            operation.result = .number(UInt64(count), .decimal)
            if count > 0 { operation.outputs = [.init("wc", .completions(completions.prefix(count)))] }
        } _: { () throws(Errno) in
            try kernel.ibv_poll_cq(cq, completions)
        }
    }
}
