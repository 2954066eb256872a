import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// iommufd: drivers/iommu/iommufd/ioas.c, io_pagetable.c and pages.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelIOMMUFD.md.
@Suite struct IOMMUFDTests {
    let bench = Bench()
    let iommufd: Int32
    let ioas: UInt32

    init() throws {
        iommufd = bench.open("/dev/iommu")
        ioas = try bench.ioas(iommufd)
    }

    @Test func sizes() throws {
        #expect(ioas == 1)
        func alloc(_ size: UInt32, _ tail: [UInt8] = []) -> Int {
            bench.ioctl(
                iommufd, IOMMU_IOAS_ALLOC, bytes: Bench.bytes(size) + [UInt8](repeating: 0, count: 8) + tail)
        }
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_ALLOC) == -Int(EFAULT))
        #expect(alloc(11) == -Int(EINVAL))
        #expect(alloc(13, [1]) == -Int(E2BIG))
        #expect(alloc(.max) == -Int(EFAULT))
        #expect(alloc(13, [0]) == 0)
        var flags = iommu_ioas_alloc(size: 12, flags: 1, out_ioas_id: 0)
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_ALLOC, &flags) == -Int(EOPNOTSUPP))
        #expect(bench.ioctl(iommufd, 0x3bf0, &flags) == -Int(ENOTTY))
        var destroy = iommu_destroy(size: 8, id: 2)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == 0)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == -Int(ENOENT))
    }

    struct Case: Sendable {
        var flags = 6
        var ioas: UInt32 = 1
        var start: UInt64 = 0x10000
        var length: UInt64 = 4096
        var iova: UInt64?
        let errno: Int32
    }
    static let refusals: [Case] = [
        Case(flags: 8, length: .max, errno: EOPNOTSUPP), Case(flags: 0, length: .max, errno: EOVERFLOW),
        Case(iova: .max, errno: EOVERFLOW), Case(flags: 0, ioas: 9, errno: EINVAL),
        Case(ioas: 9, length: 0, errno: ENOENT), Case(length: 0, errno: EINVAL),
        Case(start: .max, length: 2, errno: EOVERFLOW), Case(length: 4096, iova: .max - 5, errno: EOVERFLOW),
        Case(start: 0, length: 1 << 63, errno: EOVERFLOW),
    ]

    @Test(arguments: refusals)
    func mapRefusals(_ item: Case) {
        let result = bench.map(
            iommufd, item.ioas, item.start, length: item.length, iova: item.iova, flags: item.flags)
        #expect(result == -Int(item.errno))
    }

    @Test func alignmentBecomesAPageWithADomain() throws {
        // Rubbish is mapped lazily; the attach finds out.
        #expect(bench.map(iommufd, ioas, 0x123, length: 7, iova: 0x555) == 0x555)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.attach(engine, ioas) == -Int(EADDRINUSE))
        #expect(bench.unmap(iommufd, ioas, 0x555, 7) == 7)
        #expect(bench.map(iommufd, ioas, 0x1000, length: 4096, iova: 0x1000) == 0x1000)
        #expect(bench.attach(engine, ioas) == -Int(EFAULT))
        #expect(bench.unmap(iommufd, ioas, 0, .max) == 4096)
        #expect(bench.attach(engine, ioas) == 0)
        let memory = address(try bench.memory(0x10000))
        #expect(bench.map(iommufd, ioas, memory, length: 7) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, memory, length: 4096, iova: 0x1001) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, memory + 16, length: 4096, iova: 0x1000) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, memory, length: 4096, iova: 0xfee0_0000) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, memory, length: 4096, iova: 1 << 48) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, 0x1000, length: 4096) == -Int(EFAULT))
        #expect(bench.map(iommufd, ioas, memory, length: 4096) == 4096)
        #expect(bench.map(iommufd, ioas, memory, length: 4096) == 8192)
        #expect(bench.unmap(iommufd, ioas, 4096, 2048) == -Int(ENOENT))
        #expect(bench.unmap(iommufd, ioas, 4096, 4096) == 4096)
        #expect(bench.map(iommufd, ioas, memory, length: 4096) == 4096)
        var destroy = iommu_destroy(size: 8, id: ioas)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == -Int(EBUSY))
    }

    @Test func ranges() throws {
        var list = [iommu_iova_range](repeating: iommu_iova_range(), count: 2)
        func query(_ count: UInt32) -> (Int, iommu_ioas_iova_ranges) {
            list.withUnsafeMutableBytes { bytes in
                var command = iommu_ioas_iova_ranges(
                    size: 32, ioas_id: ioas, num_iovas: count, reserved: 0,
                    allowed_iovas: UInt64(UInt(bitPattern: bytes.baseAddress)), out_iova_alignment: 0)
                return (bench.ioctl(iommufd, IOMMU_IOAS_IOVA_RANGES, &command), command)
            }
        }
        #expect(query(2).1.num_iovas == 1)
        #expect(query(2).1.out_iova_alignment == 1)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        let (short, answer) = query(1)
        #expect(short == -Int(EMSGSIZE))
        #expect(answer.num_iovas == 2)
        #expect(query(2).0 == 0)
        #expect(list.map(\.start) == [0, 0xfef0_0000])
        #expect(list.map(\.last) == [0xfedf_ffff, (1 << 48) - 1])
        var bad = iommu_ioas_iova_ranges(
            size: 32, ioas_id: ioas, num_iovas: 2, reserved: 0, allowed_iovas: 8, out_iova_alignment: 0)
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_IOVA_RANGES, &bad) == -Int(EFAULT))
    }

    @Test func barMappingIsNotPinned() throws {
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let bar = try bench.kernel.mmap(
            length: 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, exporter, at: 2 << 40)
        #expect(bench.map(iommufd, ioas, address(bar), length: 4096) > 0)
        #expect(bench.unmap(iommufd, ioas, 0, .max) == 4096)
        #expect(bench.attach(exporter, ioas) == 0)
        #expect(bench.map(iommufd, ioas, address(bar), length: 4096) == -Int(EFAULT))
    }

    @Test func copySharesPages() throws {
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let other = try bench.ioas(iommufd)
        let buffer = Int32(bench.export(exporter, [(0, 0x2000)]))
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x2000, iova: 0x4000, flags: 4) == 0x4000)
        var copy = iommu_ioas_copy(
            size: 40, flags: 5, dst_ioas_id: other, src_ioas_id: ioas, length: 0x1000, dst_iova: 0x9000,
            src_iova: 0x5000)
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_COPY, &copy) == 0)
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_COPY, &copy) == -Int(EEXIST))
        copy.flags = 6
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_COPY, &copy) == -Int(EPERM))
        copy.length = 0x2000
        #expect(bench.ioctl(iommufd, IOMMU_IOAS_COPY, &copy) == -Int(ENOENT))
        #expect(bench.unmap(iommufd, ioas, 0, .max) == 0x2000)
        #expect(bench.text("/proc/self/fdinfo/\(buffer)").contains("count:\t2\n"))
        #expect(bench.unmap(iommufd, other, 0x9000, 0x1000) == 0x1000)
        #expect(bench.text("/proc/self/fdinfo/\(buffer)").contains("count:\t1\n"))
    }

    private func allow(_ ranges: [iommu_iova_range]) -> Int {
        ranges.withUnsafeBytes { bytes in
            var command = iommu_ioas_allow_iovas(
                size: 24, ioas_id: ioas, num_iovas: UInt32(ranges.count), reserved: 0,
                allowed_iovas: UInt64(UInt(bitPattern: bytes.baseAddress)))
            return bench.ioctl(iommufd, IOMMU_IOAS_ALLOW_IOVAS, &command)
        }
    }

    @Test func allowedRangesAreSearchedAndDefended() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(
            allow([iommu_iova_range(start: 0, last: 0xfff), iommu_iova_range(start: 0xfff, last: 9)]) == -Int(EINVAL))
        // Two that touch are one, in whatever order.
        let pair = [iommu_iova_range(start: 0x9000, last: 0x9fff), iommu_iova_range(start: 0x8000, last: 0x8fff)]
        #expect(allow(pair) == 0)
        #expect(bench.map(iommufd, ioas, 0x1000, length: 8192) == 0x8000)
        #expect(bench.map(iommufd, ioas, 0x1000, length: 4096) == -Int(ENOSPC))
        #expect(bench.map(iommufd, ioas, 0x1000, length: 4096, iova: 0x1000) == 0x1000)
        #expect(bench.unmap(iommufd, ioas, 0, .max) == 12288)
        #expect(allow([iommu_iova_range(start: 0xfee0_0000, last: 0xfee0_0fff)]) == 0)
        #expect(bench.attach(engine, ioas) == -Int(EADDRINUSE))
        #expect(allow([]) == 0)
        #expect(bench.attach(engine, ioas) == 0)
        #expect(allow([iommu_iova_range(start: 0xfee0_0000, last: 0xfee0_0fff)]) == -Int(EADDRINUSE))
    }

    /// A page table made by hand has the IOMMU's aperture and page, but no device's window, and outlives its devices.
    @Test func tablesByHand() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        var command = iommu_hwpt_alloc()
        command.size = 48
        command.dev_id = 2
        command.pt_id = ioas
        #expect(bench.ioctl(iommufd, IOMMU_HWPT_ALLOC, &command) == 0)
        let memory = address(try bench.memory(4096))
        #expect(bench.map(iommufd, ioas, memory, length: 4096, iova: 1 << 48) == -Int(EINVAL))
        #expect(bench.map(iommufd, ioas, memory, length: 4096, iova: 0xfee0_0000) == 0xfee0_0000)
        #expect(bench.attach(engine, command.out_hwpt_id) == -Int(EADDRINUSE))
        #expect(bench.unmap(iommufd, ioas, 0, .max) == 4096)
        #expect(bench.attach(engine, command.out_hwpt_id) == 0)
        var destroy = iommu_destroy(size: 8, id: command.out_hwpt_id)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == -Int(EBUSY))
        // An attach to the address space makes another.
        #expect(bench.attach(engine, ioas) == 0)
        #expect(bench.ioctl(iommufd, IOMMU_DESTROY, &destroy) == 0)
        command.flags = UInt32(IOMMU_HWPT_ALLOC_NEST_PARENT)
        #expect(bench.ioctl(iommufd, IOMMU_HWPT_ALLOC, &command) == -Int(EOPNOTSUPP))
    }

    @Test(arguments: [nil, 24] as [UInt32?])
    func whatTheIOMMUTells(_ length: UInt32?) throws {
        var topology = Topology.standard
        if length != nil { topology.iommuRegisters = (0x1234, 0x5678) }
        let bench = Bench(topology)
        let iommufd = bench.open("/dev/iommu")
        _ = try bench.bound(Bench.engine, to: iommufd)
        var data = [UInt64](repeating: .max, count: 4)
        let told = data.withUnsafeMutableBytes { bytes in
            var info = iommu_hw_info()
            info.size = 40
            info.dev_id = 1
            info.data_len = 32
            info.data_uptr = UInt64(UInt(bitPattern: bytes.baseAddress))
            #expect(bench.ioctl(iommufd, IOMMU_GET_HW_INFO, &info) == 0)
            return info
        }
        #expect(told.data_len == length ?? 0 && told.out_data_type == (length == nil ? 0 : 1))
        #expect(data == (length == nil ? [0, 0, 0, 0] : [1, 0x1234, 0x5678, 0]))
    }

    @Test func manyMappings() throws {
        let count = 20_000
        for index in 1...count {
            #expect(bench.map(iommufd, ioas, 0x1000, length: 4096) == index * 4096)
        }
        for index in stride(from: 1, through: count, by: 2) {
            #expect(bench.unmap(iommufd, ioas, UInt64(index) * 4096, 4096) == 4096)
        }
        for index in stride(from: 1, through: count, by: 2) {
            #expect(bench.map(iommufd, ioas, 0x1000, length: 4096) == index * 4096)
        }
    }
}
