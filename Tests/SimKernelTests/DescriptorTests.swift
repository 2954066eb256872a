import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// What the conformance suite found of descriptors, mappings and exporters of memory; there against the real kernel.
struct DescriptorTests {
    private let bench = Bench()
    private let iommufd: Int32
    private let device: Int32

    init() throws {
        iommufd = bench.open("/dev/iommu")
        device = try bench.bound(Bench.exporter, to: iommufd)
    }

    private func command(_ value: UInt16) {
        let result = withUnsafeBytes(of: value) { bench.kernel.pwrite(device, $0, at: 7 << 40 | 4) }
        #expect(result == 2)
    }

    private func load(_ address: UnsafeMutableRawPointer) -> Int {
        var byte: UInt8 = 0
        return sys_copy_or_fault(&byte, address, 1)
    }

    private func bar() throws -> UnsafeMutableRawPointer {
        try bench.kernel.mmap(
            length: 8192, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, device, at: 2 << 40)
    }

    private func feature(_ number: Int, _ data: [UInt8] = []) -> Int {
        bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(VFIO_DEVICE_FEATURE_SET | number, data))
    }

    @Test func mappingFaultsWhileMemoryIsAway() throws {
        let address = try bar()
        address.storeBytes(of: 7, as: UInt8.self)
        command(0)
        #expect(load(address) == -Int(EIO))
        #expect(load(try bar()) == -Int(EIO))
        command(2)
        #expect(load(address) == 0)
        #expect(address.load(as: UInt8.self) == 7)
        #expect(feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY) == 0)
        #expect(load(address) == -Int(EIO))
        #expect(feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT) == 0)
        #expect(load(address) == 0)
    }

    @Test func mappingKeepsTheDeviceOpen() throws {
        let address = try bar()
        #expect(bench.kernel.close(device) == 0)
        let other = try bench.cdev(Bench.exporter)
        #expect(bench.bind(other, iommufd) == -Int(EINVAL))
        #expect(bench.kernel.munmap(address, length: 4096) == 0)
        #expect(bench.bind(other, iommufd) == -Int(EINVAL))
        #expect(bench.kernel.munmap(address + 4096, length: 4096) == 0)
        #expect(bench.bind(other, iommufd) == 0)
    }

    @Test func accessWakesFromLowPower() {
        let event = Int32(truncatingIfNeeded: bench.kernel.eventfd(0))
        let data = Bench.bytes(event) + Bench.bytes(UInt32(0))
        #expect(feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, data) == 0)
        #expect(bench.kernel.poll(event, Int16(POLLIN)) == 0)
        var id: UInt32 = 0
        #expect(withUnsafeMutableBytes(of: &id) { bench.kernel.pread(device, $0, at: 7 << 40) } == 4)
        #expect(bench.kernel.poll(event, Int16(POLLIN)) == Int(POLLIN))
    }

    @Test func duplicatesShareTheFile() throws {
        let kernel = bench.kernel
        let buffer = Int32(truncatingIfNeeded: bench.export(device, [(0, 4096)]))
        let second = Int32(truncatingIfNeeded: kernel.fcntl(buffer, F_DUPFD, 0))
        #expect(kernel.fcntl(buffer, F_GETFD, 0) == 1)
        #expect(kernel.fcntl(second, F_GETFD, 0) == 0)
        #expect(bench.text("/proc/self/fdinfo/\(second)").contains("count:\t2"))
        #expect(kernel.close(buffer) == 0)
        #expect(kernel.lseek(second, 0, SEEK_END) == 4096)
        #expect(kernel.pread(second, UnsafeMutableRawBufferPointer(start: nil, count: 0), at: 0) == -Int(ESPIPE))
    }

    @Test func unmapTakesWhatComesBeforeTheRefusal() throws {
        let ioas = try bench.ioas(iommufd)
        let memory = try bench.kernel.mmap(
            length: 8192, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS, -1, at: 0)
        for iova in [0x10000, 0x12000] as [UInt64] {
            var map = iommu_ioas_map(
                size: 40, flags: 7, ioas_id: ioas, reserved: 0, user_va: UInt64(UInt(bitPattern: memory)),
                length: 8192, iova: iova)
            #expect(bench.ioctl(iommufd, IOMMU_IOAS_MAP, &map) == 0)
        }
        var unmap = iommu_ioas_unmap(size: 24, ioas_id: ioas, iova: 0x10000, length: 0x3000)
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_UNMAP, &unmap) == -Int(ENOENT))
        unmap.length = 0x2000
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_UNMAP, &unmap) == -Int(ENOENT))
    }

    @Test func udmabufIsTheMemfdsPages() throws {
        let kernel = bench.kernel
        let memfd = Int32(truncatingIfNeeded: kernel.memfd(flags: 2))
        #expect(kernel.truncate(memfd, 16384) == 0)
        let udmabuf = bench.open("/dev/udmabuf")
        func create(_ offsets: [UInt64]) -> Int {
            var bytes = Bench.bytes(UInt32(1)) + Bench.bytes(UInt32(offsets.count))
            for offset in offsets {
                bytes += Bench.bytes(memfd) + Bench.bytes(UInt32(0)) + Bench.bytes(offset) + Bench.bytes(UInt64(4096))
            }
            return bench.ioctl(udmabuf, 0x4008_7543, bytes: bytes)
        }
        #expect(create([0]) == -Int(EINVAL))
        #expect(kernel.fcntl(memfd, 1033, 2) == 0)
        #expect(create([16384]) == -Int(EINVAL))
        let buffer = Int32(truncatingIfNeeded: create([8192, 0]))
        try #require(buffer >= 0)
        let address = try kernel.mmap(
            length: 8192, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, buffer, at: 0)
        (address + 4096).storeBytes(of: 9, as: UInt8.self)
        var byte: UInt8 = 0
        #expect(withUnsafeMutableBytes(of: &byte) { kernel.pread(memfd, $0, at: 0) } == 1)
        #expect(byte == 9)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 4096) == -Int(EOPNOTSUPP))
    }

    @Test func pasidZeroIsTheDevice() throws {
        let ioas = try bench.ioas(iommufd)
        var attach = vfio_device_attach_iommufd_pt(argsz: 16, flags: 1, pt_id: ioas, pasid: 1)
        #expect(bench.ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == -Int(EINVAL))
        attach.pasid = 0
        #expect(bench.ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0)
        var detach = vfio_device_detach_iommufd_pt(argsz: 12, flags: 0, pasid: 0)
        var destroy = iommu_destroy(size: 8, id: ioas)
        #expect(bench.ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) == 0)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == -Int(EBUSY))
        detach.flags = 1
        #expect(bench.ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) == 0)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == 0)
    }

    @Test func configurationSpaceIsRestoredAndCapabilitiesAreVirtual() throws {
        var topology = Topology.standard
        topology.devices[0].configSize = 256
        topology.devices[0].keepsConfigWrites = true
        topology.devices[0].config = [(0x06, [0x10, 0]), (0x34, [0x40]), (0x40, [5, 0, 0x80, 0])]
        let bench = Bench(topology)
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        func write(_ place: UInt64, _ value: UInt32) {
            _ = withUnsafeBytes(of: value) { bench.kernel.pwrite(device, $0, at: 7 << 40 | place) }
        }
        func read(_ place: UInt64) -> UInt32 {
            var value: UInt32 = 0
            _ = withUnsafeMutableBytes(of: &value) { bench.kernel.pread(device, $0, at: 7 << 40 | place) }
            return value
        }
        write(0x40, 0xffff_ffff)
        #expect(read(0x40) == 0x008e_0005)
        write(0x44, 0xffff_ffff)
        #expect(read(0x44) == 0xffff_ffff)
        write(0x80, 0x1234_5678)
        #expect(read(0x80) == 0x1234_5678)
        #expect(withUnsafeBytes(of: UInt32(0)) { bench.kernel.pwrite(device, $0, at: 7 << 40 | 254) } == -Int(EFAULT))
    }
}
