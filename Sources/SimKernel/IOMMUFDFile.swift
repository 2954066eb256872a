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
        -> (UnsafeMutableRawPointer, BARPlace?)
    { throw Errno(ENXIO) }

    override func ioctl(_ request: Int, _ user: UserMemory) throws(Errno) -> Int {
        // iommufd_fops_ioctl: other numbers go to the VFIO compatibility layer
        guard (0x80...0x95).contains(request & 0xff) else {
            guard (VFIO_GET_API_VERSION...VFIO_IOMMU_UNMAP_DMA).contains(request) else { throw Errno(ENOTTY) }
            throw unmodelled(request)
        }
        // The size is read before the rest of the number is looked at.
        _ = try user.load(UInt32.self)
        switch request {
        case IOMMU_DESTROY: try destroy(user)
        case IOMMU_IOAS_ALLOC: try allocate(user)
        case IOMMU_IOAS_COPY: try copy(user)
        case IOMMU_IOAS_IOVA_RANGES: try ranges(user)
        case IOMMU_IOAS_MAP: try map(user)
        case IOMMU_IOAS_MAP_FILE: try mapFile(user)
        case IOMMU_IOAS_UNMAP: try unmap(user)
        case 0x3b80...0x3b95: throw unmodelled(request)
        default: throw Errno(ENOTTY)
        }
        return 0
    }

    private func unmodelled(_ request: Int) -> Errno {
        let names = [
            IOMMU_IOAS_ALLOW_IOVAS: "IOMMU_IOAS_ALLOW_IOVAS", 0x3b87: "IOMMU_OPTION", 0x3b89: "IOMMU_HWPT_ALLOC",
        ]
        let name = names[request] ?? "0x" + String(request, radix: 16)
        return kernel.notModelled("ioctl \(name) on an iommufd", EOPNOTSUPP)
    }

    /// main.c:iommufd_fops_ioctl, copy_struct_from_user
    private func load<Structure: BitwiseCopyable>(_ type: Structure.Type, _ user: UserMemory) throws(Errno)
        -> Structure
    {
        let size = try user.load(UInt32.self)
        guard size >= UInt32(MemoryLayout<Structure>.size) else { throw Errno(EINVAL) }
        try user.checkZero(from: UInt64(MemoryLayout<Structure>.size), to: UInt64(size))
        return try user.load(type)
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
        command.out_ioas_id = context.add { _ in .ioas(IOAS(apertureBits: bits)) }
        do throws(Errno) {
            try user.store(command)
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
        for range in ioas.ranges {
            if command.num_iovas < space {
                let place = command.allowed_iovas &+ UInt64(command.num_iovas) * 16
                try ProcessMemory.store(range, at: place)
            }
            command.num_iovas += 1
        }
        try user.store(command)
        guard command.num_iovas <= space else { throw Errno(EMSGSIZE) }
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
        guard command.flags & ~IOMMUFDFile.mapFlags == 0, command.reserved == 0 else { throw Errno(EOPNOTSUPP) }
        try checkMap(command.flags, addresses: [command.iova, command.length])
        let ioas = try context.ioas(command.ioas_id)
        guard command.length != 0 else { throw Errno(EINVAL) }
        guard !command.user_va.addingReportingOverflow(command.length).overflow else { throw Errno(EOVERFLOW) }
        let writeable = command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0
        let pages = Pages(.user(command.user_va), writeable: writeable)
        command.iova = try ioas.map(
            pages, start: 0, iova: command.iova, length: command.length, flags: command.flags, kernel)
        try user.store(command)
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
        guard let buffer = (file as? DMABufFile)?.buffer else {
            // iopt_alloc_file_pages: any file
            let pages = Pages(
                .file(file, at: 0), writeable: command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
            command.iova = try ioas.map(
                pages, start: command.start, iova: command.iova, length: command.length, flags: command.flags, kernel)
            return try user.store(command)
        }
        guard buffer.size > last, command.length / 4096 < 0xffff_ffff else { throw Errno(EINVAL) }
        // pages.c:sym_vfio_pci_dma_buf_iommufd_map knows VFIO's alone
        guard let buffer = buffer as? RegionBuffer else { throw Errno(EOPNOTSUPP) }
        let pages = Pages(
            .buffer(buffer), writeable: command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0)
        // pages.c:iopt_map_dmabuf: attached first, then asked for its one range
        try buffer.attach(pages)
        guard buffer.ranges.count == 1 else { throw Errno(EOPNOTSUPP) }
        command.iova = try ioas.map(
            pages, start: command.start, iova: command.iova, length: command.length, flags: command.flags, kernel)
        try user.store(command)
    }

    // ioas.c:iommufd_ioas_copy, io_pagetable.c:iopt_get_pages, iopt_map_pages
    private func copy(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_copy.self, user)
        try checkMap(command.flags, addresses: [command.length, command.src_iova, command.dst_iova])
        let source = try context.ioas(command.src_ioas_id)
        let parts = try source.parts(command.src_iova, command.length)
        let target = try context.ioas(command.dst_ioas_id)
        command.dst_iova = try target.map(parts, command, kernel)
        try user.store(command)
    }

    // ioas.c:iommufd_ioas_unmap, io_pagetable.c:iopt_unmap_iova
    private func unmap(_ user: UserMemory) throws(Errno) {
        var command = try load(iommu_ioas_unmap.self, user)
        // ioas.c:iommufd_ioas_unmap: the address space is looked up before the range is looked at
        let ioas = try context.ioas(command.ioas_id)
        let everything = command.iova == 0 && command.length == .max
        guard everything || (command.iova != .max && command.length != .max) else { throw Errno(EOVERFLOW) }
        command.length = try ioas.unmap(command.iova, command.length)
        try user.store(command)
    }
}

extension IOAS {
    /// A piece of an area, as COPY takes it.
    struct Part {
        let area: Area
        let offset: UInt64
        let length: UInt64
    }

    /// io_pagetable.c:iopt_get_pages: the source must be mapped without a hole.
    func parts(_ iova: UInt64, _ length: UInt64) throws(Errno) -> [Part] {
        guard length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        var parts: [Part] = []
        var place = iova
        for index in space.areas.overlapping(iova, last) {
            let entry = space.areas.entries[index]
            guard entry.first <= place else { throw Errno(ENOENT) }
            let end = min(entry.last, last)
            parts.append(
                Part(area: entry.value, offset: entry.value.offset + (place - entry.first), length: end - place + 1))
            if end == last { return parts }
            place = end + 1
        }
        throw Errno(ENOENT)
    }

    /// io_pagetable.c:iopt_map_pages
    func map(_ parts: [Part], _ command: iommu_ioas_copy, _ kernel: SimKernel) throws(Errno) -> UInt64 {
        let writeable = command.flags & UInt32(IOMMU_IOAS_MAP_WRITEABLE) != 0
        var start = parts.first?.offset ?? 0
        if let first = parts.first, case .user(let address) = first.area.pages.source { start &+= address }
        let iova = try place(
            command.dst_iova, command.length, fixed: command.flags & UInt32(IOMMU_IOAS_MAP_FIXED_IOVA) != 0,
            start: start)
        guard start & 4095 & (alignment - 1) == 0 else { throw Errno(EINVAL) }
        guard !writeable || parts.allSatisfy({ $0.area.pages.isWriteable }) else { throw Errno(EPERM) }
        let areas = parts.map {
            Area(
                pages: $0.area.pages, offset: $0.offset,
                readable: command.flags & UInt32(IOMMU_IOAS_MAP_READABLE) != 0, writeable: writeable)
        }
        if table != nil {
            for (area, part) in zip(areas, parts) { try fill(area, part.length, kernel) }
        }
        var next = iova
        for (area, part) in zip(areas, parts) {
            space.insert(next, part.length, area)
            next &+= part.length
        }
        return iova
    }

    /// io_pagetable.c:iopt_unmap_iova, iopt_unmap_all; the number of bytes that were mapped
    func unmap(_ iova: UInt64, _ length: UInt64) throws(Errno) -> UInt64 {
        if iova == 0, length == .max {
            let total = space.areas.entries.reduce(0) { $0 &+ ($1.last - $1.first &+ 1) }
            space.removeAll()
            return total
        }
        guard length != 0 else { throw Errno(EINVAL) }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else { throw Errno(EOVERFLOW) }
        // Area by area: those before one that sticks out are gone all the same.
        var total: UInt64 = 0
        while let index = space.areas.overlapping(iova, last).first {
            let entry = space.areas.entries[index]
            guard entry.first >= iova, entry.last <= last else { throw Errno(ENOENT) }
            total &+= entry.last - entry.first &+ 1
            space.remove(index..<(index + 1))
        }
        guard total > 0 else { throw Errno(ENOENT) }
        return total
    }
}
