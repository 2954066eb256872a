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
        withUnsafeMutableBytes(of: &attributes.fw_ver) { bytes in
            bytes.copyBytes(from: nic.firmware.utf8.prefix(bytes.count - 1))
        }
        attributes.max_mr_size = .max
        attributes.page_size_cap = 0xffff_ffff_ffff_f000
        if let device = nic.address.flatMap({ functions[$0]?.device }) {
            attributes.vendor_id = nic.driver == .mlx5 ? 0x02c9 : UInt32(device.vendor)
            attributes.vendor_part_id = UInt32(device.device)
        }
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
        attributes.active_mtu = nic.mtu
        attributes.gid_tbl_len = nic.subnet == nil ? 256 : 8
        attributes.pkey_tbl_len = nic.subnet == nil ? 1 : 128
        attributes.max_msg_sz = UInt32(nic.longestMessage)
        attributes.phys_state = 5
        attributes.lid = nic.subnet?.lid ?? 0
        attributes.link_layer = UInt8(nic.subnet == nil ? IBV_LINK_LAYER_ETHERNET : IBV_LINK_LAYER_INFINIBAND)
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
