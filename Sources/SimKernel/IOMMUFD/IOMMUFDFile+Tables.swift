import CKernel
import Glibc
import Kernel

/// Page tables, what the IOMMU can do, and what only IOMMUs with nested translation can.
/// drivers/iommu/iommufd/hw_pagetable.c, device.c, viommu.c, eventq.c
extension IOMMUFDFile {
    func tableRequest(_ request: Int, _ user: UserMemory) throws(Errno) {
        switch request {
        case IOMMU_HWPT_ALLOC: try allocateTable(user)
        case IOMMU_GET_HW_INFO: try hardwareInformation(user)
        case IOMMU_HWPT_SET_DIRTY_TRACKING: try trackWrites(user)
        case IOMMU_HWPT_GET_DIRTY_BITMAP: try readWrites(user)
        case IOMMU_HWPT_INVALIDATE: try invalidate(user)
        case IOMMU_FAULT_QUEUE_ALLOC: try allocateFaults(user)
        case IOMMU_VIOMMU_ALLOC: try allocateIOMMU(user)
        case IOMMU_VDEVICE_ALLOC: try allocateDevice(user)
        case IOMMU_VEVENTQ_ALLOC: try allocateEvents(user)
        case IOMMU_HW_QUEUE_ALLOC: try allocateQueue(user)
        default: throw Errno(ENOTTY)
        }
    }

    // hw_pagetable.c:iommufd_hwpt_alloc
    private func allocateTable(_ user: UserMemory) throws(Errno) {
        // With the reserved word.
        var command = try load(iommu_hwpt_alloc.self, user, minimum: offsetofend_iommu_hwpt_alloc_out_hwpt_id + 4)
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        guard (command.data_type == 0) == (command.data_len == 0) else { throw Errno(EINVAL) }
        _ = try context.device(command.dev_id)
        let flags = Int(command.flags)
        switch context.objects[command.pt_id] {
        case .ioas(let ioas)?:
            try checkFlags(flags, hasData: command.data_len > 0)
            let table = try context.makeTable(ioas, isAutomatic: false, kernel)
            do throws(Errno) {
                // iommufd_get_fault: no queue of faults can be made here
                guard flags & IOMMU_HWPT_FAULT_ID_VALID == 0 else { throw Errno(ENOENT) }
                command.out_hwpt_id = table.id
                try respond(command, user)
            } catch {
                context.remove(table)
                throw error
            }
        case .hwpt?:
            // iommufd_hwpt_nested_alloc; no table here can be a parent
            let known = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID
            guard flags & ~known == 0 else { throw Errno(EOPNOTSUPP) }
            guard command.data_len > 0 else { throw Errno(EOPNOTSUPP) }
            throw Errno(EINVAL)
        default: throw Errno(EINVAL)
        }
    }

    /// iommufd_hwpt_paging_alloc, drivers/iommu/intel/iommu.c:intel_iommu_domain_alloc_paging_flags in legacy mode: no
    /// nesting, no tracking of writes, no data.
    private func checkFlags(_ flags: Int, hasData: Bool) throws(Errno) {
        guard flags & ~(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID) == 0 else { throw Errno(EOPNOTSUPP) }
        guard !hasData else { throw Errno(EOPNOTSUPP) }
    }

    // device.c:iommufd_get_hw_info, drivers/iommu/intel/iommu.c:intel_iommu_hw_info
    private func hardwareInformation(_ user: UserMemory) throws(Errno) {
        // With the three reserved bytes.
        var command = try load(iommu_hw_info.self, user, minimum: offsetofend_iommu_hw_info_out_max_pasid_log2 + 3)
        guard command.flags & ~UInt32(IOMMU_HW_INFO_FLAG_INPUT_TYPE) == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.reserved == (0, 0, 0) else { throw Errno(EOPNOTSUPP) }
        let wanted = command.flags == 0 ? 0 : command.out_data_type
        let function = try context.device(command.dev_id)
        var data: [UInt8] = []
        command.out_data_type = UInt32(IOMMU_HW_INFO_TYPE_NONE)
        if let registers = kernel.topology.iommuRegisters {
            guard wanted == 0 || wanted == UInt32(IOMMU_HW_INFO_TYPE_INTEL_VTD) else { throw Errno(EOPNOTSUPP) }
            let info = iommu_hw_info_vtd(
                flags: UInt32(IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17), reserved: 0,
                cap_reg: registers.capability, ecap_reg: registers.extended)
            data = withUnsafeBytes(of: info) { Array($0) }
            command.out_data_type = UInt32(IOMMU_HW_INFO_TYPE_INTEL_VTD)
        }
        try hand(data, to: command.data_uptr, room: command.data_len)
        command.data_len = UInt32(data.count)
        let services = function.config.ats != nil
        command.out_capabilities = services ? 0 : UInt64(IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED)
        command.out_max_pasid_log2 = 0
        try respond(command, user)
    }

    /// As much as there is room for, and zeros behind it.
    private func hand(_ data: [UInt8], to address: UInt64, room: UInt32) throws(Errno) {
        let target = UserMemory(argument: .value(UInt(address)))
        var offset = min(UInt64(data.count), UInt64(room))
        try target.store(Array(data.prefix(Int(offset))), at: 0)
        let zeros = [UInt8](repeating: 0, count: 4096)
        while offset < UInt64(room) {
            let part = zeros.prefix(Int(min(UInt64(room) - offset, 4096)))
            try target.store(Array(part), at: offset)
            offset += UInt64(part.count)
        }
    }

    // hw_pagetable.c:iommufd_hwpt_set_dirty_tracking, io_pagetable.c:iopt_set_dirty_tracking without dirty_ops
    private func trackWrites(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_hwpt_set_dirty_tracking.self, user)
        guard command.flags & ~UInt32(IOMMU_HWPT_DIRTY_TRACKING_ENABLE) == 0 else { throw Errno(EOPNOTSUPP) }
        _ = try context.table(command.hwpt_id)
        throw Errno(EOPNOTSUPP)
    }

    // hw_pagetable.c:iommufd_hwpt_get_dirty_bitmap, io_pagetable.c:iommufd_check_iova_range
    private func readWrites(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_hwpt_get_dirty_bitmap.self, user)
        guard command.flags & ~UInt32(IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        let ioas = try context.table(command.hwpt_id).ioas
        guard command.length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = command.iova.addingReportingOverflow(command.length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        let ends = command.iova | (last &+ 1)
        guard ends & (ioas.alignment - 1) == 0 else { throw Errno(EINVAL) }
        guard command.page_size != 0 else { throw Errno(EINVAL) }
        guard ends & (command.page_size - 1) == 0 else { throw Errno(EINVAL) }
        throw Errno(EOPNOTSUPP)
    }

    // hw_pagetable.c:iommufd_hwpt_invalidate; only tables that no IOMMU here makes can be invalidated
    private func invalidate(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_hwpt_invalidate.self, user)
        let failure: Int32
        if command.reserved != 0 {
            failure = EOPNOTSUPP
        } else if command.entry_num != 0,
            command.data_uptr == 0 || command.entry_len == 0 || command.entry_len > 4096
                || command.entry_num > 1 << 19
        {
            failure = EINVAL
        } else {
            failure = context.objects[command.hwpt_id] == nil ? ENOENT : EINVAL
        }
        command.entry_num = 0
        try respond(command, user)
        throw Errno(failure)
    }

    // eventq.c:iommufd_fault_alloc
    private func allocateFaults(_ user: UserMemory) throws(Errno) {
        guard try load(iommu_fault_alloc.self, user).flags == 0 else { throw Errno(EOPNOTSUPP) }
        throw kernel.notModelled("ioctl IOMMU_FAULT_QUEUE_ALLOC on an iommufd", EOPNOTSUPP)
    }

    // viommu.c:iommufd_viommu_alloc_ioctl; VT-d has no viommu_init
    private func allocateIOMMU(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_viommu_alloc.self, user, minimum: offsetofend_iommu_viommu_alloc_out_viommu_id)
        guard command.flags == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.type != 0 else { throw Errno(EOPNOTSUPP) }
        _ = try context.device(command.dev_id)
        throw Errno(EOPNOTSUPP)
    }

    // viommu.c:iommufd_vdevice_alloc_ioctl: there is no virtual IOMMU that this and the following could name
    private func allocateDevice(_ user: UserMemory) throws(Errno) {
        _ = try load(iommu_vdevice_alloc.self, user)
        throw Errno(ENOENT)
    }

    // eventq.c:iommufd_veventq_alloc
    private func allocateEvents(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_veventq_alloc.self, user, minimum: offsetofend_iommu_veventq_alloc_out_veventq_fd)
        guard command.flags == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.type != 0 else { throw Errno(EOPNOTSUPP) }
        guard (1...1 << 19).contains(command.veventq_depth) else { throw Errno(EINVAL) }
        throw Errno(ENOENT)
    }

    // viommu.c:iommufd_hw_queue_alloc_ioctl
    private func allocateQueue(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_hw_queue_alloc.self, user)
        guard command.flags == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.type != 0 else { throw Errno(EOPNOTSUPP) }
        guard command.length != 0 else { throw Errno(EINVAL) }
        guard !command.nesting_parent_iova.addingReportingOverflow(command.length - 1).overflow else {
            throw Errno(EOVERFLOW)
        }
        throw Errno(ENOENT)
    }
}
