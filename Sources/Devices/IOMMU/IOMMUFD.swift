public import CKernel
import Glibc
public import Kernel

/// An iommufd context: /dev/iommu. Source: include/uapi/linux/iommufd.h, drivers/iommu/iommufd.
public struct IOMMUFD: ~Copyable {
    /// The descriptor, which the address spaces in it share.
    public let descriptor: SharedDescriptor

    /// Opens a new context.
    public init(kernel: any Kernel) throws(Failure) {
        descriptor = SharedDescriptor(
            try kernel.opened("/dev/iommu", flags: O_RDWR | O_CLOEXEC))
    }

    /// Whether it is open.
    public var isOpen: Bool { descriptor.isOpen }

    /// A new I/O address space in this context.
    public func allocIOAS() throws(Failure) -> IOAS {
        var alloc = iommu_ioas_alloc()
        alloc.size = UInt32(MemoryLayout<iommu_ioas_alloc>.size)
        try descriptor.kernel.send(IOMMU_IOAS_ALLOC, on: .iommufd, descriptor.raw, &alloc, object: "iommufd")
        return IOAS(id: alloc.out_ioas_id, descriptor)
    }

    /// Closes the context and all in it that no device uses.
    public func close() throws(Failure) {
        if let errno = Errno(result: descriptor.close()) { throw Failure("close", errno, object: "iommufd") }
    }
}

/// An I/O address space: what devices attached to it can reach by DMA.
public struct IOAS: ~Copyable {
    /// Its id in the context.
    public let id: UInt32
    private let iommufd: SharedDescriptor
    /// False once it is destroyed.
    public private(set) var isOpen = true

    /// How a mapping may be used and where it goes.
    public struct Access: Sendable {
        /// Devices may read.
        public var read: Bool
        /// Devices may write.
        public var write: Bool
        /// A fixed I/O virtual address; nil lets the kernel choose.
        public var iova: UInt64?

        /// All three.
        public init(read: Bool, write: Bool, iova: UInt64?) {
            self.read = read
            self.write = write
            self.iova = iova
        }

        var flags: UInt32 {
            UInt32(
                (read ? IOMMU_IOAS_MAP_READABLE : 0) | (write ? IOMMU_IOAS_MAP_WRITEABLE : 0)
                    | (iova == nil ? 0 : IOMMU_IOAS_MAP_FIXED_IOVA))
        }
    }

    init(id: UInt32, _ iommufd: SharedDescriptor) {
        self.id = id
        self.iommufd = iommufd
    }

    private var object: String { "ioas \(id)" }
    private var kernel: any Kernel { iommufd.kernel }

    private func causes(_ aligned: [(name: String, value: UInt64)], _ length: UInt64, _ access: Access) -> MappingCauses
    {
        MappingCauses(
            aligned: (access.iova.map { [("iova", $0)] } ?? []) + aligned, length: length, iova: access.iova,
            hasAccess: access.read || access.write)
    }

    /// Maps memory of this process; returns the I/O virtual address.
    public func map(address: UInt64, length: UInt64, _ access: Access) throws(Failure) -> UInt64 {
        var map = iommu_ioas_map()
        map.size = UInt32(MemoryLayout<iommu_ioas_map>.size)
        map.flags = access.flags
        map.ioas_id = id
        map.user_va = address
        map.length = length
        map.iova = access.iova ?? 0
        do throws(Failure) {
            try kernel.send(IOMMU_IOAS_MAP, on: .iommufd, iommufd.raw, &map, object: object)
        } catch {
            guard error.errno == .invalid else { throw error }
            throw error.explained(causes([("length", length)], length, access).hint(self))
        }
        return map.iova
    }

    /// Maps a dma-buf (one range only in 7.3) or memfd; returns the I/O virtual address.
    public func map(file: Int32, start: UInt64, length: UInt64, _ access: Access) throws(Failure) -> UInt64 {
        var map = iommu_ioas_map_file()
        map.size = UInt32(MemoryLayout<iommu_ioas_map_file>.size)
        map.flags = access.flags
        map.ioas_id = id
        map.fd = file
        map.start = start
        map.length = length
        map.iova = access.iova ?? 0
        do throws(Failure) {
            try kernel.send(IOMMU_IOAS_MAP_FILE, on: .iommufd, iommufd.raw, &map, object: object)
        } catch {
            guard error.errno == .invalid else { throw error }
            let size = kernel.lseek(file, 0, Int32(SEEK_END))
            throw error.explained(
                causes([("offset", start), ("length", length)], length, access).hint(
                    self, start: start, size: size < 0 ? nil : UInt64(size)))
        }
        return map.iova
    }

    /// Maps here what another address space of the context maps at `from`.
    public func copy(source: UInt32, from: UInt64, length: UInt64, _ access: Access) throws(Failure) -> UInt64 {
        var copy = iommu_ioas_copy()
        copy.size = UInt32(MemoryLayout<iommu_ioas_copy>.size)
        copy.flags = access.flags
        copy.dst_ioas_id = id
        copy.src_ioas_id = source
        copy.length = length
        copy.src_iova = from
        copy.dst_iova = access.iova ?? 0
        try kernel.send(IOMMU_IOAS_COPY, on: .iommufd, iommufd.raw, &copy, object: object)
        return copy.dst_iova
    }

    /// Unmaps; returns the bytes that were mapped. (0, UInt64.max) unmaps all.
    public func unmap(iova: UInt64, length: UInt64) throws(Failure) -> UInt64 {
        var unmap = iommu_ioas_unmap()
        unmap.size = UInt32(MemoryLayout<iommu_ioas_unmap>.size)
        unmap.ioas_id = id
        unmap.iova = iova
        unmap.length = length
        try kernel.send(IOMMU_IOAS_UNMAP, on: .iommufd, iommufd.raw, &unmap, object: object)
        return unmap.length
    }

    /// The usable I/O virtual addresses, first and last of each range, and the alignment that mappings need.
    public func ranges() throws(Failure) -> (ranges: [iommu_iova_range], alignment: UInt64) {
        var room = [iommu_iova_range](repeating: iommu_iova_range(), count: 16)
        while true {
            var query = iommu_ioas_iova_ranges()
            query.size = UInt32(MemoryLayout<iommu_ioas_iova_ranges>.size)
            query.ioas_id = id
            query.num_iovas = UInt32(room.count)
            let result = room.withUnsafeMutableBytes { bytes in
                query.allowed_iovas = UInt64(UInt(bitPattern: bytes.baseAddress))
                return withUnsafeMutableBytes(of: &query) {
                    kernel.ioctl(iommufd.raw, UInt(IOMMU_IOAS_IOVA_RANGES), .memory($0))
                }
            }
            if let errno = Errno(result: result) {
                // EMSGSIZE: the array was short and num_iovas now says how long it must be
                guard errno == .messageTooLong, Int(query.num_iovas) > room.count else {
                    throw Failure("IOMMU_IOAS_IOVA_RANGES", errno, object: object)
                }
                room = [iommu_iova_range](repeating: iommu_iova_range(), count: Int(query.num_iovas))
                continue
            }
            return (Array(room.prefix(Int(query.num_iovas))), query.out_iova_alignment)
        }
    }

    /// Destroys it. EBUSY while a device is attached. Where the context was closed first, the kernel has destroyed it
    /// already and nothing is left to do.
    public mutating func close() throws(Failure) {
        guard isOpen else { return }
        if iommufd.isOpen {
            var destroy = iommu_destroy(size: UInt32(MemoryLayout<iommu_destroy>.size), id: id)
            try kernel.send(IOMMU_DESTROY, on: .iommufd, iommufd.raw, &destroy, object: object)
        }
        isOpen = false
    }
}
