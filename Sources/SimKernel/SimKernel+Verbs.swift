public import CKernel
import Glibc
public import Kernel

/// The verbs half of the seam. See ``VerbsCalls``.
extension SimKernel {
    /// See ``VerbsCalls``.
    public func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>] {
        pass(1000)
        guard !rdma.devices.isEmpty else { throw Errno(ENOSYS) }
        return rdma.devices
    }

    /// See ``VerbsCalls``.
    public func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    {
        pass(1000)
        return try rdma.openContext(device)
    }

    /// See ``VerbsCalls``.
    public func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        pass(1000)
        try rdma.closeContext(context)
    }

    /// See ``VerbsCalls``.
    public func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        pass(1000)
        let nic = try rdma.context(context).nic
        var attributes = ibv_device_attr()
        withUnsafeMutableBytes(of: &attributes.fw_ver) { $0.copyBytes(from: "28.43.1014".utf8) }
        attributes.max_mr_size = .max
        attributes.page_size_cap = 0xffff_ffff_ffff_f000
        if let device = nic.address.flatMap({ functions[$0]?.device }) {
            attributes.vendor_id = nic.driver == .mlx5 ? 0x02c9 : UInt32(device.vendor)
            attributes.vendor_part_id = UInt32(device.device)
        }
        attributes.max_mr = 1 << 24
        attributes.max_pd = 1 << 23
        attributes.max_qp = 1 << 17
        attributes.max_cq = 1 << 24
        attributes.phys_port_cnt = 1
        attributes.atomic_cap = IBV_ATOMIC_HCA
        attributes.max_qp_wr = 1 << 15
        attributes.max_sge = 30
        attributes.max_cqe = 1 << 22
        attributes.max_srq = 1 << 23
        attributes.max_srq_wr = 1 << 15
        attributes.max_srq_sge = 30
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        pass(1000)
        let nic = try rdma.context(context).nic
        guard port == 1 else { throw Errno(EINVAL) }
        var attributes = ibv_port_attr()
        attributes.state = IBV_PORT_ACTIVE
        attributes.max_mtu = IBV_MTU_4096
        attributes.active_mtu = IBV_MTU_1024
        attributes.gid_tbl_len = 256
        attributes.pkey_tbl_len = 1
        attributes.max_msg_sz = UInt32(nic.longestMessage)
        attributes.phys_state = 5
        attributes.link_layer = UInt8(IBV_LINK_LAYER_ETHERNET)
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_pd>
    {
        pass(1000)
        return try rdma.addDomain(context)
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        pass(1000)
        let domain = try rdma.domain(pd)
        guard domain.regions == 0, domain.queuePairs == 0 else { throw Errno(EBUSY) }
        rdma.remove(pd)
    }
}
