public import CKernel
import Glibc
public import Kernel

extension VFIODevice {
    /// Where a byte of a region lies in the file of the device.
    private mutating func fileOffset(_ index: UInt32, _ offset: UInt64) throws(Failure) -> UInt64 {
        try region(index).offset &+ offset
    }

    /// Reads from a region, in accesses as wide as alignment and length allow (8 bytes at most). Returns the bytes read,
    /// fewer than asked at the region's end.
    public mutating func read(_ index: UInt32, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(Failure) -> Int
    {
        let result = kernel.pread(descriptor, buffer, at: try fileOffset(index, offset))
        if let errno = Errno(result: result) { throw access("pread", errno, index, offset, buffer.count) }
        return result
    }

    /// Writes to a region likewise.
    public mutating func write(_ index: UInt32, at offset: UInt64, from buffer: UnsafeRawBufferPointer)
        throws(Failure) -> Int
    {
        let result = kernel.pwrite(descriptor, buffer, at: try fileOffset(index, offset))
        if let errno = Errno(result: result) { throw access("pwrite", errno, index, offset, buffer.count) }
        return result
    }

    private func access(_ call: String, _ errno: Errno, _ index: UInt32, _ offset: UInt64, _ count: Int) -> Failure {
        let object = "\(label) region \(index)"
        let request = "offset=\(hex(offset)), count=\(count)"
        guard index >= UInt32(VFIO_PCI_CONFIG_REGION_INDEX) else {
            return Failure(call, errno, object: object, request: request)
        }
        return Failure(call, errno, object: object, request: request, of: .configurationSpace)
    }

    /// Reads one little-endian number of 1, 2, 4 or 8 bytes with one access.
    public mutating func load(_ index: UInt32, at offset: UInt64, size: Int) throws(Failure) -> UInt64 {
        var value: UInt64 = 0
        let count = try withUnsafeMutableBytes(of: &value) { (bytes) throws(Failure) in
            try read(index, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<size]))
        }
        guard count == size else { throw access("pread", .invalid, index, offset, size) }
        return value
    }

    /// Writes one likewise.
    public mutating func store(_ index: UInt32, at offset: UInt64, size: Int, _ value: UInt64) throws(Failure) {
        var value = value
        let count = try withUnsafeMutableBytes(of: &value) { (bytes) throws(Failure) in
            try write(
                index, at: offset, from: UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(rebasing: bytes[..<size]))
            )
        }
        guard count == size else { throw access("pwrite", .invalid, index, offset, size) }
    }

    /// Maps a range of a region; offset and length in pages.
    public mutating func map(_ index: UInt32, offset: UInt64, length: Int) throws(Failure) -> MappedMemory {
        let position = try fileOffset(index, offset)
        let object = "\(label) region \(index)"
        do throws(Errno) {
            let address = try kernel.mmap(
                length: length, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, descriptor, at: position)
            return MappedMemory(address, length: length, label: object, region: object, kernel)
        } catch {
            throw Failure(
                "mmap", error, object: object, request: "offset=\(hex(offset)), length=\(hex(length))",
                of: .regionMapping)
        }
    }

    /// One VFIO_DEVICE_FEATURE call with the script's own data behind the header. GET leaves what the kernel wrote in
    /// `data`. The result is the ioctl's: a descriptor for DMA_BUF.
    public func feature(_ number: UInt32, operation: UInt32, data: inout [UInt8]) throws(Failure) -> Int {
        var bytes = [UInt8](repeating: 0, count: 8) + data
        let header = vfio_device_feature(argsz: UInt32(bytes.count), flags: number & 0xffff | operation)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: header, as: vfio_device_feature.self) }
        let result = try kernel.send(VFIO_DEVICE_FEATURE, on: .device, descriptor, bytes: &bytes, object: label)
        data = Array(bytes[8...])
        return result
    }

    /// Exports ranges of a region as a dma-buf. `openFlags` go to the kernel as they are; it keeps O_ACCMODE, O_NONBLOCK
    /// and O_CLOEXEC. drivers/vfio/pci/vfio_pci_dmabuf.c.
    public mutating func exportDMABuf(
        region: UInt32, ranges: [vfio_region_dma_range], openFlags: UInt32
    ) throws(Failure) -> DMABuf {
        let head = vfio_device_feature_dma_buf(
            region_index: region, open_flags: openFlags, flags: 0, nr_ranges: UInt32(ranges.count))
        var data = withUnsafeBytes(of: head) { Array($0) }
        ranges.withUnsafeBytes { data += $0 }
        let number = UInt32(VFIO_DEVICE_FEATURE_DMA_BUF)
        do throws(Failure) {
            let descriptor = try feature(number, operation: UInt32(VFIO_DEVICE_FEATURE_GET), data: &data)
            return DMABuf(
                OwnedDescriptor(Int32(truncatingIfNeeded: descriptor), kernel), exporter: device,
                label: "\(label) region \(region)")
        } catch {
            throw Failure(
                error.operation, error.errno, object: "\(label) region \(region)", request: error.request,
                hint: exportHint(error.errno, region, ranges))
        }
    }
}
