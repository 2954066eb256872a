import CKernel
import Glibc
import Kernel

/// An open /dev/iommu. drivers/iommu/iommufd/main.c, ioas.c
final class IOMMUFDFile: OpenFile {
    let context = IOMMUFD()
    private static let mapFlags = UInt32(
        IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

    init(_ kernel: SimKernel, flags: Int32) { super.init(kernel, "/dev/iommu", flags: flags) }

    // iommufd_fops_mmap: there is no object to map
    override func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    { throw Errno(ENXIO) }

    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        // iommufd_fops_ioctl: other numbers go to the VFIO compatibility layer
        let known = (IOMMU_DESTROY & 0xff)...(IOMMU_IOAS_NOIOMMU_GET_PA & 0xff)
        guard known.contains(request & 0xff) else { return try compatible(request, user) }
        // The size is read before the rest of the number is looked at.
        _ = try user.load(UInt32.self)
        switch request {
        case IOMMU_DESTROY: try destroy(user)
        case IOMMU_IOAS_ALLOC: try allocate(user)
        case IOMMU_IOAS_ALLOW_IOVAS: try allow(user)
        case IOMMU_IOAS_COPY: try copy(user)
        case IOMMU_IOAS_IOVA_RANGES: try ranges(user)
        case IOMMU_IOAS_MAP: try map(user)
        case IOMMU_IOAS_MAP_FILE: try mapFile(user)
        case IOMMU_IOAS_UNMAP: try unmap(user)
        case IOMMU_IOAS_CHANGE_PROCESS: try changeProcess(user)
        case IOMMU_IOAS_NOIOMMU_GET_PA: try physicalAddress(user)
        case IOMMU_OPTION: try option(user)
        case IOMMU_VFIO_IOAS: try compatibleIOAS(user)
        default: try tableRequest(request, user)
        }
        return 0
    }

    /// main.c:iommufd_fops_ioctl, copy_struct_from_user. `minimum` is what older programs know of the structure.
    func load<Structure: BitwiseCopyable>(_ type: Structure.Type, _ user: UserMemory, minimum: Int? = nil)
        throws(Errno) -> Structure
    {
        let size = try user.load(UInt32.self)
        guard size >= UInt32(minimum ?? MemoryLayout<Structure>.size) else { throw Errno(EINVAL) }
        try user.checkZero(from: UInt64(MemoryLayout<Structure>.size), to: UInt64(size))
        return try user.load(type, count: Int(size))
    }

    /// iommufd_private.h:iommufd_ucmd_respond
    func respond<Structure: BitwiseCopyable>(_ command: Structure, _ user: UserMemory) throws(Errno) {
        try user.store(command, count: Int(try user.load(UInt32.self)))
    }

    // main.c:iommufd_destroy
    private func destroy(_ user: UserMemory) throws(Errno) {
        try context.destroy(load(iommu_destroy.self, user).id)
    }

    // ioas.c:iommufd_ioas_alloc_ioctl
    private func allocate(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_alloc.self, user)
        guard command.flags == 0 else { throw Errno(EOPNOTSUPP) }
        let bits = kernel.topology.apertureBits
        command.out_ioas_id = context.add { _ in
            .ioas(IOAS(apertureBits: bits, countsByProcess: context.countsByProcess))
        }
        do throws(Errno) {
            try respond(command, user)
        } catch {
            context.remove(command.out_ioas_id)
            throw error
        }
    }

    // ioas.c:iommufd_ioas_iova_ranges
    private func ranges(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_iova_ranges.self, user)
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        let ioas = try context.ioas(command.ioas_id)
        let space = command.num_iovas
        command.out_iova_alignment = ioas.alignment
        command.num_iovas = 0
        let stride = UInt64(MemoryLayout<iommu_iova_range>.stride)
        for range in ioas.ranges {
            if command.num_iovas < space {
                let address = command.allowed_iovas &+ UInt64(command.num_iovas) * stride
                try ProcessMemory.store(range, at: address)
            }
            command.num_iovas += 1
        }
        try respond(command, user)
        guard command.num_iovas <= space else { throw Errno(EMSGSIZE) }
    }

    // ioas.c:iommufd_ioas_allow_iovas, iommufd_ioas_load_iovas
    private func allow(_ user: UserMemory) throws(Errno) {
        let command = try load(iommu_ioas_allow_iovas.self, user)
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        let ioas = try context.ioas(command.ioas_id)
        var ranges: [ClosedRange<UInt64>] = []
        let list = UserMemory(argument: .value(UInt(command.allowed_iovas)))
        let stride = UInt64(MemoryLayout<iommu_iova_range>.stride)
        for index in 0..<UInt64(command.num_iovas) {
            let range = try list.load(iommu_iova_range.self, at: stride * index)
            guard range.start < range.last else { throw Errno(EINVAL) }
            guard !ranges.contains(where: (range.start...range.last).overlaps) else { throw Errno(EINVAL) }
            ranges.append(range.start...range.last)
        }
        try ioas.allow(ranges)
    }

    /// The checks that MAP, MAP_FILE and COPY begin with.
    private func checkMap(_ flags: UInt32, addresses: [UInt64]) throws(Errno) {
        guard flags & ~IOMMUFDFile.mapFlags == 0 else { throw Errno(EOPNOTSUPP) }
        guard !addresses.contains(.max) else { throw Errno(EOVERFLOW) }
        guard flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE) != 0 else { throw Errno(EINVAL) }
    }

    // ioas.c:iommufd_ioas_map, io_pagetable.c:iopt_map_user_pages
    private func map(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_map.self, user)
        guard command.flags & ~IOMMUFDFile.mapFlags == 0 else { throw Errno(EOPNOTSUPP) }
        guard command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        try checkMap(command.flags, addresses: [command.iova, command.length])
        let ioas = try context.ioas(command.ioas_id)
        command.iova = try ioas.mapUser(
            command.user_va, iova: command.iova, length: command.length, flags: command.flags, kernel)
        try respond(command, user)
    }

    // ioas.c:iommufd_ioas_map_file, io_pagetable.c:iopt_map_file_pages
    private func mapFile(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_map_file.self, user)
        try checkMap(command.flags, addresses: [command.iova, command.length])
        let ioas = try context.ioas(command.ioas_id)
        guard command.length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = command.start.addingReportingOverflow(command.length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        let file = try kernel.file(command.fd)
        guard let buffer = file as? DMABuf else {
            // iopt_alloc_file_pages: any file
            let pages = Pages(
                .file(file, at: 0), writeable: command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
            command.iova = try ioas.map(
                pages, start: command.start, iova: command.iova, length: command.length, flags: command.flags, kernel)
            return try respond(command, user)
        }
        guard buffer.size > last, command.length / 4096 < 0xffff_ffff else { throw Errno(EINVAL) }
        // pages.c:sym_vfio_pci_dma_buf_iommufd_map knows VFIO's alone
        guard let buffer = buffer as? VFIODMABuf else { throw Errno(EOPNOTSUPP) }
        let pages = Pages(
            .buffer(buffer), writeable: command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
        // pages.c:iopt_map_dmabuf: attached first, then asked for its one range
        try buffer.attach(pages)
        guard buffer.ranges.count == 1 else { throw Errno(EOPNOTSUPP) }
        command.iova = try ioas.map(
            pages, start: command.start, iova: command.iova, length: command.length, flags: command.flags, kernel)
        try respond(command, user)
    }

    // ioas.c:iommufd_ioas_copy, io_pagetable.c:iopt_get_pages, iopt_map_pages
    private func copy(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_copy.self, user)
        try checkMap(command.flags, addresses: [command.length, command.src_iova, command.dst_iova])
        let source = try context.ioas(command.src_ioas_id)
        let parts = try source.parts(command.src_iova, command.length)
        let target = try context.ioas(command.dst_ioas_id)
        command.dst_iova = try target.map(parts, command, kernel)
        try respond(command, user)
    }

    // ioas.c:iommufd_ioas_unmap
    private func unmap(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_unmap.self, user)
        // The address space is looked up before the range is looked at.
        let ioas = try context.ioas(command.ioas_id)
        if command.iova == 0, command.length == .max {
            command.length = ioas.unmapAll()
        } else {
            guard command.iova != .max else { throw Errno(EOVERFLOW) }
            guard command.length != .max else { throw Errno(EOVERFLOW) }
            let (length, failure) = try ioas.unmap(command.iova, command.length)
            if let failure { throw failure }
            guard length > 0 else { throw Errno(ENOENT) }
            command.length = length
        }
        try respond(command, user)
    }
}
