import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// VFIO_DEVICE_FEATURE and the DMA_BUF feature: drivers/vfio/vfio_main.c:vfio_ioctl_device_feature,
/// drivers/vfio/pci/vfio_pci_dmabuf.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelDMABuf.md.
@Suite struct ExportTests {
    let bench = Bench(ExportTests.topology)
    let iommufd: Int32
    let device: Int32

    /// The standard exporter with a port BAR, large enough for a page so that only its kind refuses.
    static var topology: Topology {
        var topology = Topology.standard
        topology.devices[0].bars.append(.init(4, size: 4096, kind: .io))
        return topology
    }

    init() throws {
        iommufd = bench.open("/dev/iommu")
        device = try bench.bound(Bench.exporter, to: iommufd)
    }

    func feature(_ flags: Int, argsz: UInt32? = nil, _ data: [UInt8] = []) -> Int {
        bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(flags, argsz: argsz, data))
    }

    @Test func headerIsCheckedInOrder() throws {
        let unbound = try bench.cdev(Bench.engine)
        #expect(bench.ioctl(unbound, VFIO_DEVICE_FEATURE) == -Int(EINVAL))
        #expect(bench.ioctl(device, VFIO_DEVICE_FEATURE) == -Int(EFAULT))
        #expect(bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: [8, 0, 0, 0]) == -Int(EFAULT))
        #expect(feature(0x4000b, argsz: 7) == -Int(EINVAL))
        #expect(feature(0xc000b) == -Int(EINVAL))
        #expect(feature(0x3000b) == -Int(EINVAL))
        #expect(feature(0xb) == -Int(EINVAL))
    }

    static let probes: [(Int, Int32)] = [
        (0x4000b, 0), (0x5000b, 0), (0x6000b, EINVAL), (0x7000b, EINVAL), (0x40000, ENOTTY), (0x40001, ENOTTY),
        (0x40002, ENOTTY), (0x40003, 0), (0x40004, 0), (0x40005, 0), (0x50003, EINVAL), (0x40006, ENOTTY),
        (0x40007, ENOTTY), (0x40008, ENOTTY), (0x40009, ENOTTY), (0x4000a, ENOTTY), (0x4000c, EINVAL),
        (0x4000d, 0), (0x4000e, ENOTTY), (0x4000f, ENOTTY),
    ]

    @Test(arguments: probes)
    func probe(flags: Int, errno: Int32) {
        #expect(feature(flags) == -Int(errno))
    }

    @Test func releasedKernelHasNoTPHFeature() throws {
        var topology = Topology.standard
        topology.tph = nil
        let bench = Bench(topology)
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        for flags in [0x4000d, 0x6000d, 0x2000d] {
            let bytes = Bench.feature(flags, [UInt8](repeating: 0xff, count: 16))
            #expect(bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: bytes) == -Int(ENOTTY))
        }
        #expect(!bench.text("/proc/kallsyms").contains("tph"))
        #expect(bench.text("/proc/kallsyms").contains("vfio_pci_core_feature_dma_buf\t[vfio_pci_core]"))
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        var region: UInt32 = 2
        var flags: UInt32 = 0
        let ranges: [(UInt64, UInt64)]
        var count: UInt32?
        let errno: Int32
        var testDescription: String { name }
    }

    static let refusals: [Case] = [
        Case(name: "no ranges wins over ROM", region: 6, ranges: [], errno: EINVAL),
        Case(name: "flags win over ROM", region: 6, flags: 1, ranges: [(0, 4096)], errno: EINVAL),
        Case(name: "ROM", region: 6, ranges: [(1, 1)], errno: ENODEV),
        Case(name: "config", region: 7, ranges: [(0, 4096)], errno: ENODEV),
        Case(name: "hostile region", region: .max, ranges: [(0, 4096)], errno: ENODEV),
        Case(name: "empty BAR", region: 1, ranges: [(1, 1)], errno: ENODEV),
        Case(name: "upper half", region: 3, ranges: [(0, 4096)], errno: ENODEV),
        Case(name: "too many ranges", ranges: [], count: 262_145, errno: ENOMEM),
        Case(name: "array unreadable", ranges: [(0, 4096)], count: 2, errno: EFAULT),
        Case(name: "zero length", ranges: [(0, 0)], errno: EINVAL),
        Case(name: "offset not aligned", ranges: [(1, 4096)], errno: EINVAL),
        Case(name: "length not aligned", ranges: [(0, 4097)], errno: EINVAL),
        Case(name: "sum wraps", ranges: [(0, 1 << 63), (0, 1 << 63)], errno: EINVAL),
        Case(name: "bit 63", ranges: [(0, 1 << 63)], errno: EINVAL),
        Case(name: "port BAR", region: 4, ranges: [(0, 4096)], errno: EINVAL),
        Case(name: "misaligned wins over port BAR", region: 4, ranges: [(0, 1)], errno: EINVAL),
        Case(name: "address wraps", ranges: [(UInt64.max - 4095, 4096)], errno: EOVERFLOW),
        Case(name: "beyond the BAR", ranges: [(1 << 20, 4096)], errno: EINVAL),
        Case(name: "second beyond the BAR", ranges: [(0, 4096), (0xff000, 0x2000)], errno: EINVAL),
        Case(name: "sub-page BAR", region: 0, ranges: [(0, 4096)], errno: EINVAL),
    ]

    @Test(arguments: refusals)
    func refusal(_ item: Case) {
        let result = bench.export(
            device, region: item.region, flags: item.flags, item.ranges, count: item.count)
        #expect(result == -Int(item.errno))
        #expect(bench.kernel.open.count == 2)
    }

    @Test func rangesAreReadBeyondArgsz() {
        var data: [UInt8] = [2, 0, 0, 1].flatMap { Bench.bytes(UInt32($0)) }
        data += Bench.bytes(UInt64(0)) + Bench.bytes(UInt64(4096))
        #expect(feature(0x1000b, argsz: 23, data) == -Int(EINVAL))
        #expect(feature(0x1000b, argsz: 24, Array(data.prefix(15))) == -Int(EFAULT))
        #expect(feature(0x1000b, argsz: 24, data) >= 0)
    }

    @Test func bufferAnswersAsADMABuf() throws {
        let result = bench.export(device, open: .max, [(0, 4096), (0, 4096), (0x80000, 0x10000)])
        let buffer = Int32(result)
        try #require(buffer >= 0)
        let kernel = bench.kernel
        #expect(kernel.lseek(buffer, 0, SEEK_END) == 0x12000)
        #expect(kernel.lseek(buffer, 0, SEEK_SET) == 0)
        #expect(kernel.lseek(buffer, 1, SEEK_SET) == -Int(EINVAL))
        #expect(kernel.lseek(buffer, 0, SEEK_CUR) == -Int(EINVAL))
        for flags in [1, 2, 7, 5, 0, 4, 8] {
            var sync = dma_buf_sync(flags: UInt64(flags))
            #expect(
                bench.ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync) == (flags & 8 == 0 && flags & 3 != 0 ? 0 : -Int(EINVAL)))
        }
        #expect(bench.ioctl(buffer, 0x6299) == -Int(ENOTTY))
        #expect(bench.ioctl(buffer, DMA_BUF_SET_NAME_B, bytes: [UInt8](repeating: 65, count: 32)) == -Int(EINVAL))
        #expect(bench.ioctl(buffer, DMA_BUF_SET_NAME_B, bytes: [65, 66]) == -Int(EFAULT))
        #expect(bench.ioctl(buffer, DMA_BUF_SET_NAME_B, bytes: Array("peer".utf8) + [0]) == 0)
        let lines = bench.text("/proc/self/fdinfo/\(buffer)").split(separator: "\n").map(String.init)
        #expect(lines.contains("size:\t73728"))
        #expect(lines.suffix(3) == ["count:\t1", "exp_name:\tvfio_pci_core", "name:\tpeer"])
        #expect(try kernel.readlink("/proc/self/fd/\(buffer)") == "/dmabuf:peer")
        let refusal = errno { () throws(Errno) in
            _ = try kernel.mmap(length: 4096, protection: PROT_NONE, flags: MAP_SHARED, buffer, at: 0)
        }
        // Access mode 3, as all open flags have it, is neither reading nor writing.
        #expect(refusal == EACCES)
    }

    @Test func iommufdTakesOneRangeOnly() throws {
        let ioas = try bench.ioas(iommufd)
        let two = Int32(bench.export(device, [(0, 4096), (0x2000, 4096)]))
        #expect(bench.mapFile(iommufd, ioas, two, length: 4096) == -Int(EOPNOTSUPP))
        let one = Int32(bench.export(device, [(0, 8192)]))
        #expect(bench.mapFile(iommufd, ioas, one, start: 4096, length: 4097) == -Int(EINVAL))
        #expect(bench.mapFile(iommufd, ioas, one, length: 8192) > 0)
        // The mapping holds the buffer.
        #expect(bench.text("/proc/self/fdinfo/\(one)").contains("count:\t2\n"))
    }
}
