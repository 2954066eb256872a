public import CKernel
import Glibc
public import Kernel

/// Memory regions.
extension SimKernel {
    static let regionAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_reg_mr, SimKernel.ibv_reg_mr),
        VerbAnswer(Verbs.ibv_reg_dmabuf_mr, SimKernel.ibv_reg_dmabuf_mr),
        VerbAnswer(Verbs.ibv_reg_mr_ex, SimKernel.ibv_reg_mr_ex),
        VerbAnswer(Verbs.mlx5dv_reg_dmabuf_mr, SimKernel.mlx5dv_reg_dmabuf_mr),
        VerbAnswer(Verbs.ibv_dereg_mr, SimKernel.ibv_dereg_mr),
        VerbAnswer(Verbs.mkeyContext, SimKernel.mkeyContext),
        VerbAnswer(Verbs.frmrPools, SimKernel.frmrPools),
    ]

    /// The bits ib_check_mr_access knows: LOCAL_WRITE to FLUSH_PERSISTENT, and the optional range.
    private static let supportedAccess = Access(rawValue: 0x3ff | 0x3ff << 20)

    func ibv_reg_mr(_ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32)
        throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    {
        return try register(pd, address, length, iova: address, Access(rawValue: access), handle: nil)
    }

    private func register(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, iova: UInt64, _ access: Access,
        handle: DMAHandle?
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let domain = try uverbs.domain(pd)
        try checkAccess(access, SimKernel.supportedAccess)
        // sw/rxe/rxe_verbs.c:rxe_reg_user_mr knows neither ZERO_BASED nor HUGETLB.
        if domain.context.nic.driver == .rxe, !access.isDisjoint(with: [.zeroBased, .hugeTLB]) {
            throw Errno(EOPNOTSUPP)
        }
        // ib_check_mr_access, mlx5/mr.c:mlx5_ib_reg_user_mr
        if access.contains(.onDemand) {
            guard domain.context.nic.handlesPageFaults else { throw Errno(EOPNOTSUPP) }
            guard handle == nil else { throw Errno(EOPNOTSUPP) }
        }
        // core/umem.c:ib_umem_get
        guard length > 0 else { throw Errno(EINVAL) }
        guard !address.addingReportingOverflow(length).overflow else { throw Errno(EINVAL) }
        let isPinned = !access.contains(.onDemand)
        let pages = isPinned ? try PinnedPages(address, length, pins, as: .regions) : nil
        guard
            !isPinned
                || (!hasDevicePages(address, address + (length - 1))
                    && ProcessMemory.isAccessible(
                        address, length, write: !access.isDisjoint(with: [.localWrite, .remoteWrite, .remoteAtomic])))
        else { throw Errno(EFAULT) }
        let region = MemoryRegion(
            domain, start: iova, length: length, access: access, memory: address,
            pages: pages, handle: handle)
        region.takeHint(nil)
        return try uverbs.add(region, pd, address: address)
    }

    /// include/rdma/ib_verbs.h:ib_check_mr_access
    private func checkAccess(_ access: Access, _ supported: Access) throws(Errno) {
        guard supported.contains(access) else { throw Errno(EINVAL) }
        guard access.isDisjoint(with: .remoteChanges) || access.contains(.localWrite) else { throw Errno(EINVAL) }
    }

    func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        return try register(pd, offset, length, iova, descriptor, Access(rawValue: access), handle: nil)
    }

    /// core/uverbs_std_types_mr.c:UVERBS_METHOD_REG_DMABUF_MR, then the driver
    private func register(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Access, handle: DMAHandle?, dataDirect: Bool = false
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let domain = try uverbs.domain(pd)
        let nic = domain.context.nic
        guard nic.driver.registersBuffers else { throw Errno(EOPNOTSUPP) }
        guard offset & 4095 == iova & 4095 else { throw Errno(EINVAL) }
        try checkAccess(access, .ofBuffers)
        try checkDriver(nic, length, iova, access, dataDirect)
        // core/umem_dmabuf.c:ib_umem_dmabuf_get_with_dma_device
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow else { throw Errno(EINVAL) }
        guard let buffer = try file(descriptor) as? DMABuf else { throw Errno(EINVAL) }
        guard buffer.size >= end else { throw Errno(EINVAL) }
        guard length > 0 else { throw Errno(EINVAL) }
        // hw/mlx5/mr.c: no key is over the end of all addresses.
        guard nic.driver != .mlx5 || !iova.addingReportingOverflow(length - 1).overflow else { throw Errno(EINVAL) }
        let region = MemoryRegion(
            domain, start: iova, length: length, access: access, buffer: buffer, offset: offset, handle: handle,
            isPinned: dataDirect)
        try buffer.attach(region)
        region.takeHint(topology.tph)
        // hw/mlx5/odp.c:mlx5_ib_init_dmabuf_mr
        guard nic.driver != .mlx5 || nic.odp || dataDirect else { throw Errno(EOPNOTSUPP) }
        // Memory of the machine needs no route.
        if let exported = buffer as? VFIODMABuf {
            _ = try route(to: exported, from: domain.context.hca.function)
        }
        return try uverbs.add(region, pd, address: offset)
    }

    /// What a driver looks at before the descriptor.
    private func checkDriver(
        _ nic: Topology.NIC, _ length: UInt64, _ iova: UInt64, _ access: Access, _ dataDirect: Bool
    ) throws(Errno) {
        switch nic.driver {
        case .mlx5 where dataDirect:
            // hw/mlx5/mr.c:reg_user_mr_dmabuf_by_data_direct
            guard iova & 4095 == 0 else { throw Errno(EOPNOTSUPP) }
            guard nic.dataDirect else { throw Errno(EINVAL) }
        case .irdma:
            // hw/irdma/verbs.c:irdma_reg_user_mr_dmabuf
            guard length <= Topology.NIC.Driver.irdmaLongest else { throw Errno(EINVAL) }
        case .efa:
            // hw/efa/efa_verbs.c:efa_alloc_mr: no atomics
            guard !access.contains(.remoteAtomic) else { throw Errno(EOPNOTSUPP) }
        default: break
        }
    }

    func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        let region = try uverbs.region(mr)
        // sw/rxe/rxe_verbs.c:rxe_dereg_mr
        guard region.windows == 0 || region.domain.context.nic.driver != .rxe else { throw Errno(EINVAL) }
        uverbs.remove(region)
    }

    func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        let domain = try uverbs.domain(pd)
        let mask = MRInitMask(rawValue: attributes.comp_mask), access = Access(rawValue: attributes.access)
        guard domain.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        guard mask.isSubset(of: [.iova, .addr, .fd, .fdOffset, .dmah]) else { throw Errno(EOPNOTSUPP) }
        let handle = mask.contains(.dmah) ? try self.handle(attributes.dmah, domain.context) : nil
        // libibverbs/cmd_mr.c:ibv_cmd_reg_mr_ex
        switch mask.intersection([.addr, .fd, .fdOffset]) {
        case [.fd, .fdOffset]:
            guard mask.contains(.iova) else { throw Errno(EINVAL) }
            return try register(
                pd, attributes.fd_offset, attributes.length, attributes.iova, attributes.fd, access,
                handle: handle)
        case .addr:
            let address = UInt64(UInt(bitPattern: attributes.addr))
            guard !mask.contains(.iova) || attributes.iova & 4095 == address & 4095 else { throw Errno(EINVAL) }
            let iova = mask.contains(.iova) ? attributes.iova : address
            return try register(pd, address, attributes.length, iova: iova, access, handle: handle)
        default: throw Errno(EINVAL)
        }
    }

    func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        // hw/mlx5/mr.c:mlx5_ib_reg_user_mr_dmabuf; the function is of the mlx5 provider, which knows no other device
        guard try uverbs.domain(pd).context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        guard mlx5Access & ~1 == 0 else { throw Errno(EOPNOTSUPP) }
        return try register(
            pd, offset, length, iova, descriptor, Access(rawValue: access), handle: nil, dataDirect: mlx5Access & 1 != 0
        )
    }

    func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] {
        let region = try uverbs.region(mr)
        let nic = region.domain.context.nic
        guard nic.driver == .mlx5, nic.rawDumps else { throw Errno(EOPNOTSUPP) }
        return region.keyContext
    }

    func frmrPools(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [UInt8] {
        guard let keys = try uverbs.context(context).hca.keys else { throw Errno(ENODATA) }
        return FRMRPool.encode(keys.pools)
    }

    /// Whether the NIC's next access to a region of a dma-buf would find the memory: the region lives and the exporter
    /// lets it be mapped.
    public func reaches(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> Bool {
        try uverbs.region(mr).isReachable
    }
}
