import CKernel
import Glibc
import Kernel

/// Devices, contexts and protection domains.
extension SimKernel {
    static let deviceAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_get_device_list, SimKernel.ibv_get_device_list),
        VerbAnswer(Verbs.ibv_open_device, SimKernel.ibv_open_device),
        VerbAnswer(Verbs.ibv_close_device, SimKernel.ibv_close_device),
        VerbAnswer(Verbs.ibv_query_device, SimKernel.ibv_query_device),
        VerbAnswer(Verbs.ibv_query_port, SimKernel.ibv_query_port),
        VerbAnswer(Verbs.ibv_query_gid_table, SimKernel.ibv_query_gid_table),
        VerbAnswer(Verbs.ibv_get_async_event, SimKernel.ibv_get_async_event),
        VerbAnswer(Verbs.ibv_alloc_pd, SimKernel.ibv_alloc_pd),
        VerbAnswer(Verbs.ibv_dealloc_pd, SimKernel.ibv_dealloc_pd),
    ]

    func ibv_get_device_list() throws(Errno) -> DeviceList {
        guard !uverbs.devices.isEmpty else { throw Errno(ENOSYS) }
        return DeviceList(uverbs.devices)
    }

    func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    {
        return try uverbs.openContext(device)
    }

    func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        try uverbs.closeContext(context)
    }

    func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        let nic = try uverbs.context(context).nic
        var attributes = ibv_device_attr()
        withUnsafeMutableBytes(of: &attributes.fw_ver) { bytes in
            bytes.copyBytes(from: nic.firmware.utf8.prefix(bytes.count - 1))
        }
        attributes.max_mr_size = .max
        attributes.page_size_cap = 0xffff_ffff_ffff_f000
        if let device = nic.address.flatMap({ functions[$0]?.device }) {
            attributes.vendor_id = nic.driver == .mlx5 ? 0x02c9 : UInt32(device.vendor)
            attributes.vendor_part_id = UInt32(device.device)
        }
        // Whatever is below it: drivers/infiniband/sw/rxe/rxe_param.h, RXE_VENDOR_ID.
        if nic.driver == .rxe { (attributes.vendor_id, attributes.vendor_part_id) = (0xff_ffff, 0) }
        attributes.max_mr = nic.limits.regions
        attributes.max_pd = nic.limits.domains
        attributes.max_qp = nic.limits.queuePairs
        attributes.max_cq = nic.limits.completionQueues
        attributes.phys_port_cnt = 1
        attributes.atomic_cap = IBV_ATOMIC_HCA
        // hw/mlx5/main.c:mlx5_ib_query_device counts requests of RC, of four blocks each.
        attributes.max_qp_wr = nic.driver == .mlx5 ? 1 << 13 : 1 << 15
        attributes.max_sge = 30
        attributes.max_cqe = Int32(nic.longestCompletionQueue)
        attributes.max_srq = nic.limits.sharedQueues
        attributes.max_srq_wr = nic.driver == .mlx5 ? 1 << 15 - 1 : 1 << 15
        attributes.max_srq_sge = nic.driver == .mlx5 ? 31 : 30
        return attributes
    }

    func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        let nic = try uverbs.context(context).nic
        guard port == 1 else { throw Errno(EINVAL) }
        var attributes = ibv_port_attr()
        attributes.state = IBV_PORT_ACTIVE
        attributes.max_mtu = IBV_MTU_4096
        attributes.active_mtu = nic.mtu
        attributes.gid_tbl_len = nic.subnet == nil ? 256 : 8
        attributes.pkey_tbl_len = nic.subnet == nil ? 1 : 128
        attributes.max_msg_sz = UInt32(nic.longestMessage)
        attributes.phys_state = 5
        attributes.lid = nic.subnet?.lid ?? 0
        attributes.link_layer = UInt8(nic.subnet == nil ? IBV_LINK_LAYER_ETHERNET : IBV_LINK_LAYER_INFINIBAND)
        return attributes
    }

    /// A port's GIDs: the link-local address as RoCE v1 and v2, then 10.0.0.N likewise. A software device has v2 only.
    func ibv_query_gid_table(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [ibv_gid_entry] {
        return try uverbs.context(context).hca.gids.enumerated().map { index, one in
            var entry = ibv_gid_entry()
            entry.gid_index = UInt32(index)
            entry.port_num = 1
            entry.gid_type = UInt32(one.type.rawValue)
            withUnsafeMutableBytes(of: &entry.gid) { $0.copyBytes(from: one.gid) }
            return entry
        }
    }

    /// Waits in virtual time, and lets others run meanwhile.
    func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32)
        throws(Errno) -> AsyncEvent?
    {
        let context = try uverbs.context(context)
        let end = now + UInt64(max(0, milliseconds)) * 1_000_000
        while context.events.isEmpty, now < end { _ = sleep(nanoseconds: 20_000) }
        return context.takeEvent()
    }

    func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_pd>
    {
        return try uverbs.addDomain(context)
    }

    func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        let domain = try uverbs.domain(pd)
        guard domain.regions == 0, domain.windows == 0, domain.queuePairs == 0 else { throw Errno(EBUSY) }
        uverbs.remove(pd)
    }
}
