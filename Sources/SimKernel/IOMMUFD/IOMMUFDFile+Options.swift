import CKernel
import Glibc
import Kernel

/// Options of a context and of its address spaces. drivers/iommu/iommufd/main.c, ioas.c
extension IOMMUFDFile {
    // main.c:iommufd_option
    func option(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_option.self, user)
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        switch Int(command.option_id) {
        case IOMMU_OPTION_RLIMIT_MODE: try countMode(&command)
        case IOMMU_OPTION_HUGE_PAGES: try largePages(&command)
        default: throw Errno(EOPNOTSUPP)
        }
        try user.store(command.val64, at: UInt64(offsetofend_iommu_option_object_id))
    }

    // ioas.c:iommufd_option_rlimit_mode
    private func countMode(_ command: inout iommu_option) throws(Errno) {
        guard command.object_id == 0 else { throw Errno(EOPNOTSUPP) }
        switch Int(command.op) {
        case IOMMU_OPTION_OP_GET: command.val64 = context.countsByProcess ? 1 : 0
        case IOMMU_OPTION_OP_SET:
            guard context.objects.isEmpty else { throw Errno(EBUSY) }
            guard command.val64 <= 1 else { throw Errno(EINVAL) }
            context.countsByProcess = command.val64 == 1
        default: throw Errno(EOPNOTSUPP)
        }
    }

    // ioas.c:iommufd_ioas_option_huge_pages
    private func largePages(_ command: inout iommu_option) throws(Errno) {
        let ioas = try context.ioas(command.object_id)
        switch Int(command.op) {
        case IOMMU_OPTION_OP_GET: command.val64 = ioas.avoidsLargePages ? 0 : 1
        case IOMMU_OPTION_OP_SET:
            guard command.val64 <= 1 else { throw Errno(EINVAL) }
            try ioas.avoidLargePages(command.val64 == 0)
        default: throw Errno(EOPNOTSUPP)
        }
    }

    // ioas.c:iommufd_ioas_change_process: allowed only where all pages are of files, which no process owns
    func changeProcess(_ user: UserMemory) throws(Errno) {
        guard try load(iommu_ioas_change_process.self, user).reserved == 0 else { throw Errno(EOPNOTSUPP) }
        for case .ioas(let ioas) in context.objects.values {
            for entry in ioas.space.areas.entries {
                guard case .file = entry.value.pages.source else { throw Errno(EINVAL) }
            }
        }
    }

    // ioas.c:iommufd_ioas_noiommu_get_pa, io_pagetable.c:iopt_get_phys: every device here has an IOMMU
    func physicalAddress(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_ioas_noiommu_get_pa.self, user)
        guard command.flags == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.length != 0 else { throw Errno(EINVAL) }
        guard command.iova != .max else { throw Errno(EOVERFLOW) }
        guard let entry = try context.ioas(command.ioas_id).space.areas.find(command.iova) else { throw Errno(ENOENT) }
        guard !entry.value.pages.isDead else { throw Errno(EINVAL) }
        throw Errno(EOPNOTSUPP)
    }
}

/// What programs made for VFIO's containers ask an iommufd. drivers/iommu/iommufd/vfio_compat.c
extension IOMMUFDFile {
    // iommufd_vfio_ioas
    func compatibleIOAS(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_vfio_ioas.self, user)
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        switch Int(command.op) {
        case IOMMU_VFIO_IOAS_GET:
            let ioas = try compatibleIOAS()
            for case (let id, .ioas(let other)) in context.objects where other === ioas { command.ioas_id = id }
            try respond(command, user)
        case IOMMU_VFIO_IOAS_SET: context.compatible = try context.ioas(command.ioas_id)
        case IOMMU_VFIO_IOAS_CLEAR: context.compatible = nil
        default: throw Errno(EOPNOTSUPP)
        }
    }

    // get_compat_ioas
    private func compatibleIOAS() throws(Errno) -> IOAS {
        guard let ioas = context.compatible else { throw Errno(ENODEV) }
        return ioas
    }

    // iommufd_vfio_ioctl
    func compatible(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        switch request {
        case VFIO_GET_API_VERSION: return 0
        case VFIO_CHECK_EXTENSION: return try extensionLevel(user.value)
        case VFIO_SET_IOMMU: return try setIOMMU(user.value)
        case VFIO_IOMMU_GET_INFO: throw kernel.notModelled("ioctl VFIO_IOMMU_GET_INFO on an iommufd", EOPNOTSUPP)
        case VFIO_IOMMU_MAP_DMA: return try mapCompatibly(user)
        case VFIO_IOMMU_UNMAP_DMA: return try unmapCompatibly(user)
        default: throw Errno(ENOTTY)
        }
    }

    // iommufd_vfio_check_extension: type1, no IOMMU, type1v2, unmap all; coherent DMA where every page table has it
    private func extensionLevel(_ number: UInt) throws(Errno) -> Int {
        switch Int(clamping: number) {
        case VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_NOIOMMU_IOMMU, VFIO_UNMAP_ALL: return 1
        case VFIO_DMA_CC_IOMMU: return try compatibleIOAS().domains == 0 || kernel.topology.forcesSnooping ? 1 : 0
        default: return 0
        }
    }

    // iommufd_vfio_set_iommu
    private func setIOMMU(_ type: UInt) throws(Errno) -> Int {
        guard type == UInt(VFIO_TYPE1_IOMMU) || type == UInt(VFIO_TYPE1v2_IOMMU) else { throw Errno(EINVAL) }
        let ioas = try compatibleIOAS()
        if type == UInt(VFIO_TYPE1_IOMMU) { try ioas.avoidLargePages(true) }
        return 0
    }

    // iommufd_vfio_map_dma
    private func mapCompatibly(_ user: UserMemory) throws(Errno) -> Int {
        let map = try user.load(vfio_iommu_type1_dma_map.self)
        guard map.argsz >= UInt32(offsetofend_vfio_iommu_type1_dma_map_size) else { throw Errno(EINVAL) }
        guard map.flags & ~UInt32(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE) == 0 else { throw Errno(EINVAL) }
        var flags = UInt32(IOMMU_IOAS_MAP_FIXED_IOVA)
        if map.flags & UInt32(VFIO_DMA_MAP_FLAG_READ) != 0 { flags |= UInt32(IOMMU_IOAS_MAP_READABLE) }
        if map.flags & UInt32(VFIO_DMA_MAP_FLAG_WRITE) != 0 { flags |= UInt32(IOMMU_IOAS_MAP_WRITEABLE) }
        _ = try compatibleIOAS().mapUser(map.vaddr, iova: map.iova, length: map.size, flags: flags, kernel)
        return 0
    }

    // iommufd_vfio_unmap_dma
    private func unmapCompatibly(_ user: UserMemory) throws(Errno) -> Int {
        var unmap = try user.load(vfio_iommu_type1_dma_unmap.self)
        guard unmap.argsz >= UInt32(offsetofend_vfio_iommu_type1_dma_unmap_size) else { throw Errno(EINVAL) }
        let all = UInt32(VFIO_DMA_UNMAP_FLAG_ALL)
        guard unmap.flags & ~all == 0 else { throw Errno(EINVAL) }
        let ioas = try compatibleIOAS()
        var failure: Errno?
        if unmap.flags & all != 0 {
            guard unmap.iova == 0 else { throw Errno(EINVAL) }
            guard unmap.size == 0 else { throw Errno(EINVAL) }
            unmap.size = ioas.unmapAll()
        } else {
            // iopt_cut_iova
            let last = unmap.iova &+ unmap.size &- 1
            let ends = [unmap.iova &- 1, last].compactMap { end in
                ioas.space.areas.find(end).flatMap { $0.last == end ? nil : $0 }
            }
            guard !ioas.avoidsLargePages || ends.isEmpty else {
                throw kernel.notModelled("VFIO_IOMMU_UNMAP_DMA of a part of a mapping, on an iommufd", EOPNOTSUPP)
            }
            do throws(Errno) {
                (unmap.size, failure) = try ioas.unmap(unmap.iova, unmap.size)
            } catch {
                unmap.size = 0
                failure = error
            }
        }
        try user.store(unmap)
        if let failure { throw failure }
        return 0
    }
}
