import CKernel
import Glibc
public import Kernel

/// What a container's devices share: its descriptor, and whether an IOMMU driver was chosen for it.
public final class Type1Domain {
    let descriptor: SharedDescriptor
    var hasIOMMU = false

    init(_ descriptor: SharedDescriptor) { self.descriptor = descriptor }
}

/// A VFIO container with the type1 IOMMU: the older way to give devices access to memory.
/// Source: drivers/vfio/{container,vfio_iommu_type1}.c.
public struct Type1Container: ~Copyable {
    /// What devices opened in it share.
    public let domain: Type1Domain

    /// Opens an empty container; the first device that joins it gets the type1 IOMMU chosen.
    public init(kernel: any Kernel) throws(Failure) {
        domain = Type1Domain(
            SharedDescriptor(try kernel.opened("/dev/vfio/vfio", flags: O_RDWR | O_CLOEXEC)))
    }

    /// Whether it is open.
    public var isOpen: Bool { domain.descriptor.isOpen }
    /// Its descriptor.
    public var descriptor: Int32 { domain.descriptor.raw }

    /// Maps memory of this process (a mapped BAR included) at an I/O virtual address.
    public func map(address: UInt64, length: UInt64, iova: UInt64, read: Bool, write: Bool) throws(Failure) {
        var map = vfio_iommu_type1_dma_map()
        map.argsz = UInt32(MemoryLayout<vfio_iommu_type1_dma_map>.size)
        map.flags = UInt32((read ? VFIO_DMA_MAP_FLAG_READ : 0) | (write ? VFIO_DMA_MAP_FLAG_WRITE : 0))
        map.vaddr = address
        map.iova = iova
        map.size = length
        let kernel = domain.descriptor.kernel
        do throws(Failure) {
            try kernel.send(VFIO_IOMMU_MAP_DMA, on: .container, descriptor, &map, object: "container")
        } catch {
            guard error.errno == .invalid else { throw error }
            let causes = MappingCauses(
                aligned: [("iova", iova), ("length", length), ("address", address)], length: length, iova: iova,
                hasAccess: read || write)
            throw error.explained(causes.hint(container: descriptor, hasDevice: domain.hasIOMMU, kernel))
        }
    }

    /// Unmaps; returns the bytes that were mapped.
    public func unmap(iova: UInt64, length: UInt64) throws(Failure) -> UInt64 {
        var unmap = vfio_iommu_type1_dma_unmap()
        unmap.argsz = UInt32(MemoryLayout<vfio_iommu_type1_dma_unmap>.size)
        unmap.iova = iova
        unmap.size = length
        do throws(Failure) {
            try domain.descriptor.kernel.send(
                VFIO_IOMMU_UNMAP_DMA, on: .container, descriptor, &unmap, object: "container")
        } catch {
            guard error.errno == .invalid else { throw error }
            let causes = MappingCauses(aligned: [("iova", iova), ("length", length)], length: length, iova: iova)
            throw error.explained(causes.unmapHint(hasDevice: domain.hasIOMMU))
        }
        return unmap.size
    }

    /// Starts or stops to note which pages devices may have written.
    public func trackDirtyPages(_ isOn: Bool) throws(Failure) {
        var bytes = [UInt8](repeating: 0, count: MemoryLayout<vfio_iommu_type1_dirty_bitmap>.size)
        let flag = isOn ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
        try dirtyPages(&bytes, flag)
    }

    /// A bit for each page of the range, the first in the lowest bit of the first byte: whether devices may have written it.
    public func dirtyBitmap(iova: UInt64, length: UInt64) throws(Failure) -> [UInt8] {
        let page: UInt64 = 4096
        let pages = length / page
        var bitmap = [UInt64](repeating: 0, count: Int(pages + 63) / 64)
        let size = UInt64(bitmap.count * MemoryLayout<UInt64>.size)
        do throws(Failure) {
            try bitmap.withUnsafeMutableBufferPointer { words throws(Failure) in
                let address = UInt64(UInt(bitPattern: words.baseAddress))
                let range = vfio_iommu_type1_dirty_bitmap_get(
                    iova: iova, size: length, bitmap: vfio_bitmap(pgsize: page, size: size, data: address))
                var bytes = [UInt8](repeating: 0, count: MemoryLayout<vfio_iommu_type1_dirty_bitmap>.size)
                withUnsafeBytes(of: range) { bytes += $0 }
                try dirtyPages(&bytes, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
            }
        } catch {
            guard error.errno == .invalid else { throw error }
            let causes = MappingCauses(aligned: [("iova", iova), ("length", length)], length: length, iova: iova)
            throw error.explained(causes.dirtyHint(hasDevice: domain.hasIOMMU))
        }
        return bitmap.withUnsafeBytes { Array($0.prefix(Int(pages + 7) / 8)) }
    }

    private func dirtyPages(_ bytes: inout [UInt8], _ flag: Int) throws(Failure) {
        let header = vfio_iommu_type1_dirty_bitmap(argsz: UInt32(bytes.count), flags: UInt32(flag))
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: header, as: vfio_iommu_type1_dirty_bitmap.self) }
        try domain.descriptor.kernel.send(
            VFIO_IOMMU_DIRTY_PAGES, on: .container, descriptor, bytes: &bytes, object: "container")
    }

    /// Closes it. Its mappings end when the last group has left it.
    public func close() throws(Failure) {
        if let errno = Errno(result: domain.descriptor.close()) { throw Failure("close", errno, object: "container") }
    }
}
