import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

@Suite struct PeerToPeerTests {
    /// User memory to the engine, the engine to the exporter's BAR, and what a mapping of the BAR then shows.
    @Test func engineReachesBARThroughMapFile() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        let buffer = Int32(bench.export(exporter, [(0x4000, 0x8000)]))
        #expect(buffer >= 0)
        let memory = try bench.memory(4096)
        memory.storeBytes(of: 0x1122_3344_5566_7788, as: UInt64.self)
        let user = bench.map(iommufd, ioas, address(memory), length: 4096, iova: 0x10000)
        let bar = bench.mapFile(iommufd, ioas, buffer, start: 0x1000, length: 0x2000)
        #expect(user == 0x10000)
        #expect(bar > 0)
        bench.setBusMaster(engine)
        bench.transfer(engine, from: 0x10000, to: 0x40000, 64, toMemory: false)
        bench.transfer(engine, from: 0x40000, to: UInt64(bar) + 0x100, 64, toMemory: true)
        #expect(bench.get(exporter, 2, 0x5100, UInt64.self) == 0x1122_3344_5566_7788)
        let mapped = try bench.kernel.mmap(
            length: 4096, protection: PROT_READ, flags: MAP_SHARED, exporter, at: 2 << 40 + 0x5000)
        #expect(mapped.load(fromByteOffset: 0x100, as: UInt64.self) == 0x1122_3344_5566_7788)
        #expect(bench.kernel.iommuFaults.isEmpty)
        #expect(bench.kernel.notModelled.isEmpty)
    }

    @Test func revocationEndsTheMappingForGood() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        let buffer = Int32(bench.export(exporter, [(0, 0x1000)]))
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x20000) == 0x20000)
        bench.setBusMaster(engine)
        bench.transfer(engine, from: 0x40000, to: 0x20000, 8, toMemory: true)
        #expect(bench.kernel.iommuFaults.isEmpty)
        #expect(bench.ioctl(exporter, VFIO_DEVICE_RESET) == 0)
        bench.put(exporter, 2, 0, UInt64(7))
        bench.transfer(engine, from: 0x40000, to: 0x20000, 8, toMemory: true)
        #expect(bench.kernel.iommuFaults.count == 1)
        #expect(bench.get(exporter, 2, 0, UInt64.self) == 7)
        // The address stays taken; a new map of the live buffer works.
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x20000) == -Int(EEXIST))
        #expect(bench.unmap(iommufd, ioas, 0x20000, 0x1000) == 0x1000)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x20000) == 0x20000)
        bench.transfer(engine, from: 0x40000, to: 0x20000, 8, toMemory: true)
        #expect(bench.kernel.iommuFaults.count == 1)
        #expect(bench.get(exporter, 2, 0, UInt64.self) == 0)
    }

    /// A switch knows no domains: what is a peer's bus address never comes up to the IOMMU, unless requests are redirected.
    @Test(arguments: [Topology.ACS(), .requestRedirect])
    func aSwitchPassesBusAddresses(_ acs: Topology.ACS) throws {
        var topology = Topology.standard
        EduImporterTests.belowSwitch(&topology, acs: acs)
        topology.devices[1].kind = .edu(dmaMask: .max)
        let bench = Bench(topology)
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.attach(engine, try bench.ioas(iommufd)) == 0)
        bench.setBusMaster(engine)
        bench.put(exporter, 2, 8, UInt64(7))
        bench.transfer(engine, from: 0x40000, to: EduImporterTests.bar + 8, 8, toMemory: true)
        #expect(bench.get(exporter, 2, 8, UInt64.self) == (acs.isEmpty ? 0 : 7))
        #expect(bench.kernel.iommuFaults.isEmpty == acs.isEmpty)
        // Over the end of the BAR it is no peer's.
        bench.transfer(engine, from: 0x40000, to: EduImporterTests.bar + 0xffffc, 8, toMemory: true)
        #expect(bench.kernel.iommuFaults.count == (acs.isEmpty ? 1 : 2))
    }

    @Test func memoryDisableRevokesUntilEnabled() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.put(exporter, 7, 4, UInt16(0)) == 2)
        var word: UInt32 = 0
        #expect(
            withUnsafeMutableBytes(of: &word) { bench.kernel.pread(exporter, $0, at: 2 << 40) } == -Int(EIO))
        // Born revoked: the export succeeds, the attach does not.
        let buffer = Int32(bench.export(exporter, [(0, 0x1000)]))
        #expect(buffer >= 0)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000) == -Int(ENODEV))
        bench.put(exporter, 7, 5, UInt8(0))
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000) == -Int(ENODEV))
        bench.put(exporter, 7, 4, UInt16(2))
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000) > 0)
    }

    @Test func lastCloseRevokesForEver() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        let buffer = Int32(bench.export(exporter, [(0, 0x1000)]))
        #expect(bench.kernel.close(exporter) == 0)
        let again = try bench.bound(Bench.exporter, to: iommufd)
        #expect(again >= 0)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000) == -Int(ENODEV))
        #expect(bench.kernel.lseek(buffer, 0, SEEK_END) == 0x1000)
    }

    @Test func engineReachesBARThroughType1() throws {
        let bench = Bench()
        let container = bench.open("/dev/vfio/vfio")
        func device(_ group: Int, _ name: String) -> Int32 {
            let file = bench.open("/dev/vfio/\(group)")
            var descriptor = container
            #expect(bench.ioctl(file, VFIO_GROUP_SET_CONTAINER, &descriptor) == 0)
            _ = bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(UInt(VFIO_TYPE1v2_IOMMU)))
            return Int32(bench.ioctl(file, VFIO_GROUP_GET_DEVICE_FD, bytes: Array(name.utf8) + [0]))
        }
        let exporter = device(10, Bench.exporter)
        let engine = device(11, Bench.engine)
        #expect(exporter >= 0)
        #expect(engine >= 0)
        let bar = try bench.kernel.mmap(
            length: 0x2000, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, exporter, at: 2 << 40)
        bar.storeBytes(of: 0xabcd, toByteOffset: 0x1008, as: UInt64.self)
        var map = vfio_iommu_type1_dma_map(
            argsz: 32, flags: 3, vaddr: address(bar), iova: 0x30000, size: 0x2000)
        #expect(bench.ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0)
        #expect(bench.ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == -Int(EEXIST))
        bench.setBusMaster(engine)
        bench.transfer(engine, from: 0x31008, to: 0x40000, 8, toMemory: false)
        bench.transfer(engine, from: 0x40000, to: 0x30000, 8, toMemory: true)
        #expect(bar.load(as: UInt64.self) == 0xabcd)
        var unmap = vfio_iommu_type1_dma_unmap(argsz: 24, flags: 0, iova: 0x30000, size: 0x1000)
        #expect(bench.ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == -Int(EINVAL))
        unmap.size = 0x2000
        #expect(bench.ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0)
        bench.transfer(engine, from: 0x31008, to: 0x40000, 8, toMemory: false)
        #expect(bench.kernel.iommuFaults.count == 1)
    }

    @Test func busMasterIsOffAfterOpen() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.get(engine, 7, 4, UInt16.self) == 2)
        #expect(bench.get(engine, 0, 0, UInt32.self) == 0x0100_00ed)
        bench.put(engine, 0, 4, UInt32(0x0f0f_0f0f))
        #expect(bench.get(engine, 0, 4, UInt32.self) == 0xf0f0_f0f0)
        #expect(bench.get(engine, 0, 4, UInt16.self) == 0xffff)
        bench.put(engine, 0, 8, UInt32(10))
        #expect(bench.get(engine, 0, 0x20, UInt32.self) & 1 == 1)
        _ = bench.kernel.sleep(nanoseconds: 1_000_000)
        #expect(bench.get(engine, 0, 0x20, UInt32.self) & 1 == 0)
        #expect(bench.get(engine, 0, 8, UInt32.self) == 3_628_800)
    }

    /// Each of these takes memory away for a moment; iommufd's mapping does not come back, a new one works.
    @Test(arguments: ["reset", "function reset", "D3", "memory off", "low power"])
    func events(_ event: String) throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        bench.setBusMaster(engine)
        let buffer = Int32(bench.export(exporter, [(0, 0x1000)]))
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x20000) == 0x20000)
        var isGone = true
        switch event {
        case "reset":
            #expect(bench.ioctl(exporter, VFIO_DEVICE_RESET) == 0)
            isGone = false
        case "function reset":
            bench.put(exporter, 7, 0x68, UInt16(0x8000))
            isGone = false
        case "D3": bench.put(exporter, 7, 0x44, UInt8(3))
        case "memory off": bench.put(exporter, 7, 4, UInt8(0))
        default:
            let entry = Bench.feature(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, [])
            #expect(bench.ioctl(exporter, VFIO_DEVICE_FEATURE, bytes: entry) == 0)
            #expect(bench.ioctl(exporter, VFIO_DEVICE_FEATURE, bytes: entry) == -Int(EINVAL))
        }
        bench.transfer(engine, from: 0x40000, to: 0x20000, 8, toMemory: true)
        #expect(bench.kernel.iommuFaults.count == 1)
        let expected = isGone ? -Int(ENODEV) : 0x30000
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x30000) == expected)
        bench.put(exporter, 7, 0x44, UInt8(0))
        bench.put(exporter, 7, 4, UInt8(2))
        let exit = Bench.feature(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, [])
        #expect(bench.ioctl(exporter, VFIO_DEVICE_FEATURE, bytes: exit) == 0)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 0x1000, iova: 0x40000) == 0x40000)
    }

    @Test func faultsLeaveMemoryAlone() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        let memory = try bench.memory(8192)
        memory.storeBytes(of: 5, as: UInt64.self)
        func write(to iova: UInt64) { bench.transfer(engine, from: 0x40000, to: iova, 16, toMemory: true) }
        bench.setBusMaster(engine)
        write(to: 0x10000)
        #expect(bench.kernel.iommuFaults.last?.hasSuffix("no domain") == true)
        #expect(bench.attach(engine, ioas) == 0)
        #expect(bench.map(iommufd, ioas, address(memory), length: 4096, iova: 0x10000, flags: 4) == 0x10000)
        write(to: 0x10000)
        #expect(bench.kernel.iommuFaults.last?.hasSuffix("not permitted") == true)
        #expect(bench.map(iommufd, ioas, address(memory), length: 4096, iova: 0x20000) == 0x20000)
        // The end of this one is not mapped.
        write(to: 0x20ff8)
        #expect(bench.kernel.iommuFaults.count == 3)
        #expect(memory.load(as: UInt64.self) == 5)
        // Address bits above the mask are lost on the way.
        write(to: 0xf_0002_0000)
        #expect(memory.load(as: UInt64.self) == 0)
        memory.storeBytes(of: 5, as: UInt64.self)
        bench.put(engine, 7, 4, UInt16(2))
        write(to: 0x20000)
        #expect(memory.load(as: UInt64.self) == 5)
        #expect(bench.kernel.iommuFaults.count == 3)
    }
}
