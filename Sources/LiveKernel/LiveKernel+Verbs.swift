public import CKernel
import Glibc
public import Kernel

/// Throws what a shim returned.
func check(_ result: Int) throws(Errno) {
    if let errno = Errno(result: result) { throw errno }
}

/// libibverbs, through shims with one error convention. See ``VerbsCalls``.
extension LiveKernel {
    /// Calls a shim that fills a pointer, and remembers the object until it is closed.
    func made<Object>(
        _ what: String, _ call: (UnsafeMutablePointer<UnsafeMutablePointer<Object>?>) -> Int
    ) throws(Errno) -> UnsafeMutablePointer<Object> {
        var pointer: UnsafeMutablePointer<Object>?
        try check(call(&pointer))
        guard let pointer else { throw Errno(EIO) }
        openVerbs[UnsafeMutableRawPointer(pointer)] = what
        return pointer
    }

    /// ENOENT: the kernel knows the object no more, as it ended it before and could only not say so.
    func ended(_ pointer: UnsafeMutableRawPointer, _ result: Int) throws(Errno) {
        if result == 0 || Errno(result: result) == .noEntry { openVerbs[pointer] = nil }
        try check(result)
    }

    /// See ``VerbsCalls``.
    public func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>] {
        var count: Int32 = 0
        if deviceList == nil { try check(shim_ibv_get_device_list(&deviceList, &count)) }
        guard let deviceList else { throw Errno(EIO) }
        var devices: [UnsafeMutablePointer<ibv_device>] = []
        while let device = deviceList[devices.count] { devices.append(device) }
        return devices
    }

    /// See ``VerbsCalls``.
    public func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    { try made("rdma context") { shim_ibv_open_device(device, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        try ended(context, shim_ibv_close_device(context))
    }

    /// See ``VerbsCalls``.
    public func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        var attributes = ibv_device_attr()
        try check(shim_ibv_query_device(context, &attributes))
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        var attributes = ibv_port_attr()
        try check(shim_ibv_query_port(context, port, &attributes))
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_pd>
    { try made("protection domain") { shim_ibv_alloc_pd(context, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        try ended(pd, shim_ibv_dealloc_pd(pd))
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") { shim_ibv_reg_mr(pd, address, length, access, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") { shim_ibv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        try ended(mr, shim_ibv_dereg_mr(mr))
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        var attributes = attributes
        return try made("memory region") { shim_ibv_reg_mr_ex(pd, &attributes, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        var attributes = attributes
        var dmah: UnsafeMutableRawPointer?
        try check(shim_ibv_alloc_dmah(context, &attributes, &dmah))
        guard let dmah else { throw Errno(EIO) }
        openVerbs[dmah] = "dma handle"
        return dmah
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        try ended(dmah, shim_ibv_dealloc_dmah(dmah))
    }

    /// See ``VerbsCalls``.
    public func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") {
            shim_mlx5dv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, mlx5Access, $0)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_query_gid_table(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [ibv_gid_entry] {
        var attributes = ibv_device_attr()
        try check(shim_ibv_query_device(context, &attributes))
        var room = 0
        for port in 1...max(1, attributes.phys_port_cnt) {
            var port_attributes = ibv_port_attr()
            try check(shim_ibv_query_port(context, port, &port_attributes))
            room += Int(max(0, port_attributes.gid_tbl_len))
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

    /// See ``VerbsCalls``.
    public func ibv_create_comp_channel(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    { try made("completion channel") { shim_ibv_create_comp_channel(context, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_destroy_comp_channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) {
        try ended(channel, shim_ibv_destroy_comp_channel(channel))
    }

    /// See ``VerbsCalls``.
    public func ibv_create_cq(
        _ context: UnsafeMutablePointer<ibv_context>, _ entries: Int32,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        try made("completion queue") { shim_ibv_create_cq(context, entries, channel, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_req_notify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ solicitedOnly: Bool) throws(Errno) {
        try check(shim_ibv_req_notify_cq(cq, solicitedOnly ? 1 : 0))
    }

    /// See ``VerbsCalls``.
    public func ibv_get_cq_event(_ channel: UnsafeMutablePointer<ibv_comp_channel>, _ milliseconds: Int32)
        throws(Errno) -> Bool
    {
        let result = shim_ibv_get_cq_event(channel, milliseconds)
        try check(result)
        return result > 0
    }

    /// See ``VerbsCalls``.
    public func ibv_modify_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ count: UInt16, _ period: UInt16) throws(Errno) {
        try check(shim_ibv_modify_cq(cq, count, period))
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_cq(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno) {
        try ended(cq, shim_ibv_destroy_cq(cq))
    }

    /// See ``VerbsCalls``.
    public func ibv_create_qp(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: inout ibv_qp_init_attr)
        throws(Errno) -> UnsafeMutablePointer<ibv_qp>
    { try made("queue pair") { shim_ibv_create_qp(pd, &attributes, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_destroy_qp(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) {
        try ended(qp, shim_ibv_destroy_qp(qp))
    }

    /// See ``VerbsCalls``.
    public func ibv_create_ah(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    {
        var attributes = attributes
        return try made("address handle") { shim_ibv_create_ah(pd, &attributes, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_ah(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno) {
        try ended(ah, shim_ibv_destroy_ah(ah))
    }

    /// See ``VerbsCalls``.
    public func ibv_create_srq(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_init_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_srq>
    {
        var attributes = attributes
        return try made("shared receive queue") { shim_ibv_create_srq(pd, &attributes, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_destroy_srq(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno) {
        try ended(srq, shim_ibv_destroy_srq(srq))
    }

    /// See ``VerbsCalls``.
    public func ibv_post_srq_recv(_ srq: UnsafeMutablePointer<ibv_srq>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    { try check(shim_ibv_post_srq_recv(srq, request)) }

    /// See ``VerbsCalls``.
    public func ibv_modify_qp(_ qp: UnsafeMutablePointer<ibv_qp>, _ attributes: ibv_qp_attr, _ mask: Int32)
        throws(Errno)
    {
        var attributes = attributes
        try check(shim_ibv_modify_qp(qp, &attributes, mask))
    }

    /// See ``VerbsCalls``.
    public func ibv_post_send(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_send_wr>)
        throws(Errno)
    { try check(shim_ibv_post_send(qp, request)) }

    /// See ``VerbsCalls``.
    public func ibv_post_recv(_ qp: UnsafeMutablePointer<ibv_qp>, _ request: UnsafeMutablePointer<ibv_recv_wr>)
        throws(Errno)
    { try check(shim_ibv_post_recv(qp, request)) }

    /// See ``VerbsCalls``.
    public func ibv_poll_cq(_ cq: UnsafeMutablePointer<ibv_cq>, _ completions: UnsafeMutableBufferPointer<ibv_wc>)
        throws(Errno) -> Int
    {
        guard let base = completions.baseAddress else { return 0 }
        let count = shim_ibv_poll_cq(cq, Int32(clamping: completions.count), base)
        try check(count)
        return count
    }

    /// The driver's raw dump of the region, by RDMA netlink. ENOENT where netlink shows no such region (that takes
    /// CAP_NET_ADMIN), EOPNOTSUPP where the driver has no dump, EPROTO where the dump is not as mlx5's are.
    public func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] {
        guard let device = mr.pointee.context?.pointee.device else { throw Errno(EINVAL) }
        let key = mr.pointee.lkey
        let dump = try netlink(device) { rdma_raw_mr($0, key, $1, $2) }
        guard let context = MkeyDump.context(in: dump, key: key, length: UInt64(mr.pointee.length)) else {
            throw Errno(EPROTO)
        }
        return context
    }
}
