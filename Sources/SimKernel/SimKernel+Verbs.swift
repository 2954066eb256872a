public import CKernel
import Glibc
public import Kernel

/// The verbs half of the seam. See ``VerbsCalls``.
extension SimKernel {
    /// The bits ib_check_mr_access knows: LOCAL_WRITE to FLUSH_PERSISTENT, and the optional range.
    private static let supportedAccess: Int32 = 0x3ff | 0x3ff << 20
    private static let bufferAccess: Int32 = 0xf | 1 << 20

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
            attributes.vendor_id = 0x02c9
            attributes.vendor_part_id = UInt32(device.device)
        }
        attributes.max_mr = 1 << 24
        attributes.max_pd = 1 << 23
        attributes.max_qp = 1 << 17
        attributes.max_cq = 1 << 24
        attributes.phys_port_cnt = 1
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        pass(1000)
        _ = try rdma.context(context)
        guard port == 1 else { throw Errno(EINVAL) }
        var attributes = ibv_port_attr()
        attributes.state = IBV_PORT_ACTIVE
        attributes.max_mtu = IBV_MTU_4096
        attributes.active_mtu = IBV_MTU_1024
        attributes.gid_tbl_len = 256
        attributes.pkey_tbl_len = 1
        attributes.max_msg_sz = 1 << 30
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
        guard try rdma.domain(pd).regions == 0 else { throw Errno(EBUSY) }
        rdma.remove(pd)
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr(_ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32)
        throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    {
        pass(1000)
        return try register(pd, address, length, access, handle: nil)
    }

    private func register(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32, handle: DMAHandle?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let domain = try rdma.domain(pd)
        try checkAccess(access, SimKernel.supportedAccess)
        // sw/rxe/rxe_verbs.c:rxe_reg_user_mr knows neither ZERO_BASED nor HUGETLB.
        if domain.context.nic.driver == .rxe, access & 0xa0 != 0 { throw Errno(EOPNOTSUPP) }
        // ib_check_mr_access, mlx5/mr.c:mlx5_ib_reg_user_mr
        if access & 0x40 != 0 {
            guard domain.context.nic.odp, handle == nil else { throw Errno(EOPNOTSUPP) }
        }
        // core/umem.c:ib_umem_get
        guard length > 0, !address.addingReportingOverflow(length).overflow else { throw Errno(EINVAL) }
        let isPinned = access & 0x40 == 0
        guard
            !isPinned
                || (!hasDevicePages(address, address + (length - 1))
                    && ProcessMemory.isAccessible(address, length, write: access & 0xb != 0))
        else { throw Errno(EFAULT) }
        let region = MemoryRegion(domain, start: address, length: length, handle: handle)
        region.takeHint(nil)
        return rdma.add(region, pd, address: address)
    }

    /// include/rdma/ib_verbs.h:ib_check_mr_access
    private func checkAccess(_ access: Int32, _ supported: Int32) throws(Errno) {
        guard access & ~supported == 0 else { throw Errno(EINVAL) }
        guard access & 0xa == 0 || access & 1 != 0 else { throw Errno(EINVAL) }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        pass(1000)
        return try register(pd, offset, length, iova, descriptor, access, handle: nil)
    }

    /// core/uverbs_std_types_mr.c:UVERBS_METHOD_REG_DMABUF_MR, then mlx5/mr.c:mlx5_ib_reg_user_mr_dmabuf
    private func register(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, handle: DMAHandle?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let domain = try rdma.domain(pd)
        guard domain.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        guard offset & 4095 == iova & 4095 else { throw Errno(EINVAL) }
        try checkAccess(access, SimKernel.bufferAccess)
        // core/umem_dmabuf.c:ib_umem_dmabuf_get_with_dma_device
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow else { throw Errno(EINVAL) }
        guard let buffer = (try file(descriptor) as? DMABufFile)?.buffer else { throw Errno(EINVAL) }
        guard buffer.size >= end, length > 0 else { throw Errno(EINVAL) }
        let region = MemoryRegion(domain, start: iova, length: length, buffer: buffer, handle: handle)
        try buffer.attach(region)
        // mlx5/odp.c:mlx5_ib_init_dmabuf_mr
        guard domain.context.nic.odp else { throw Errno(EOPNOTSUPP) }
        region.takeHint(topology.tph)
        return rdma.add(region, pd, address: offset)
    }

    /// See ``VerbsCalls``.
    public func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        pass(1000)
        rdma.remove(mr, try rdma.region(mr))
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        pass(1000)
        let domain = try rdma.domain(pd)
        let mask = attributes.comp_mask
        guard domain.context.nic.driver == .mlx5, mask & ~0x1f == 0 else { throw Errno(EOPNOTSUPP) }
        let handle = mask & 16 != 0 ? try self.handle(attributes.dmah, domain.context) : nil
        // libibverbs/cmd_mr.c:ibv_cmd_reg_mr_ex
        switch mask & 0xe {
        case 12:
            guard mask & 1 != 0 else { throw Errno(EINVAL) }
            return try register(
                pd, attributes.fd_offset, attributes.length, attributes.iova, attributes.fd, attributes.access,
                handle: handle)
        case 2:
            let address = UInt64(UInt(bitPattern: attributes.addr))
            guard mask & 1 == 0 || attributes.iova & 4095 == address & 4095 else { throw Errno(EINVAL) }
            return try register(pd, address, attributes.length, attributes.access, handle: handle)
        default: throw Errno(EINVAL)
        }
    }

    private func handle(_ pointer: UnsafeMutableRawPointer?, _ context: VerbsContext) throws(Errno) -> DMAHandle {
        guard let pointer, let handle = rdma.handles[pointer], handle.context === context else { throw Errno(ENOENT) }
        return handle
    }

    /// See ``VerbsCalls``. The platform's firmware gives no tags for CPUs.
    public func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        pass(1000)
        let context = try rdma.context(context)
        guard context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        // providers/mlx5, then core/uverbs_std_types_dmah.c:UVERBS_METHOD_DMAH_ALLOC
        let mask = attributes.comp_mask
        guard mask & ~7 == 0, mask & 2 != 0, mask & 5 == 0 || mask & 5 == 5 else { throw Errno(EINVAL) }
        guard context.nic.requester != .none else { throw Errno(EPROTONOSUPPORT) }
        guard mask & 4 == 0 || attributes.tph_mem_type < 2 else { throw Errno(EOPNOTSUPP) }
        guard attributes.ph & 0xfc == 0 else { throw Errno(EINVAL) }
        // pci/tph.c:pcie_tph_get_cpu_st: no ACPI method
        guard mask & 5 == 0 else { throw Errno(EINVAL) }
        return rdma.add(DMAHandle(context, hint: attributes.ph, tag: 0))
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        pass(1000)
        guard let handle = rdma.handles[dmah] else { throw Errno(ENOENT) }
        guard handle.regions == 0 else { throw Errno(EBUSY) }
        rdma.remove(dmah)
    }

    /// See ``VerbsCalls``.
    public func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        pass(1000)
        guard try rdma.domain(pd).context.nic.driver == .mlx5, mlx5Access & ~1 == 0 else { throw Errno(EOPNOTSUPP) }
        guard mlx5Access == 0 else {
            // mlx5/mr.c:reg_user_mr_dmabuf_by_data_direct pins, and VFIO refuses an importer that cannot let go.
            guard offset & 4095 == iova & 4095 else { throw Errno(EINVAL) }
            try checkAccess(access, SimKernel.bufferAccess)
            guard try file(descriptor) is DMABufFile else { throw Errno(EINVAL) }
            throw Errno(EOPNOTSUPP)
        }
        return try register(pd, offset, length, iova, descriptor, access, handle: nil)
    }

    /// See ``VerbsCalls``.
    public func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] {
        pass(1000)
        let region = try rdma.region(mr)
        guard region.domain.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        return region.keyContext
    }
}
