import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

extension Topology {
    /// The standard bench, its exporter with two MSI-X vectors in BAR 0 and a state that D3hot loses.
    static var express: Topology {
        var topology = Topology.standard
        topology.devices[0].bars[0].size = 4096
        topology.devices[0].config = [
            (0x44, [0]), (0x61, [0xa0]), (0xa0, [0x11, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0]),
        ]
        return topology
    }
}

/// A PCI Express function: its capabilities, its MSI-X table, power states and resets:
/// drivers/vfio/pci/vfio_pci_config.c, drivers/vfio/pci/vfio_pci_core.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelVFIO.md.
@Suite struct ExpressTests {
    private let bench = Bench(.express)
    private let iommufd: Int32
    private let device: Int32
    private let ioas: UInt32
    private static let powerState: UInt64 = 0x44
    private static let deviceControl: UInt64 = 0x68

    init() throws {
        iommufd = bench.open("/dev/iommu")
        device = try bench.bound(Bench.exporter, to: iommufd)
        ioas = try bench.ioas(iommufd)
    }

    private func config(_ place: UInt64) -> UInt32 { bench.get(device, 7, place, UInt32.self) }

    /// What mapping the first page of a dma-buf says; it is unmapped again.
    private func map(_ buffer: Int) -> Int {
        let result = bench.mapFile(iommufd, ioas, Int32(buffer), length: 4096, iova: 0x8000)
        if result >= 0 { _ = bench.unmap(iommufd, ioas, 0x8000, 4096) }
        return min(result, 0)
    }

    private func read(_ region: UInt64, _ offset: UInt64, _ count: Int) -> (Int, [UInt8]) {
        var bytes = [UInt8](repeating: 1, count: count)
        let result = bytes.withUnsafeMutableBytes { bench.kernel.pread(device, $0, at: region << 40 | offset) }
        return (result, bytes)
    }

    @Test func tableIsHiddenAndItsBARSaysSo() {
        bench.put(device, 0, 24, UInt64(0))
        bench.put(device, 0, 32, UInt64(0x55))
        #expect(read(0, 24, 16).1 == [UInt8](repeating: 0xff, count: 8) + [0x55, 0, 0, 0, 0, 0, 0, 0])
        bench.put(device, 7, 4, UInt16(0))
        #expect(read(0, 0, 32).0 == 32)
        #expect(read(0, 24, 16).0 == -Int(EIO))
        func info(_ argsz: UInt32) -> (vfio_region_info, UInt64) {
            var bytes = Bench.bytes(argsz) + [UInt8](repeating: 0, count: 36)
            _ = bytes.withUnsafeMutableBytes {
                bench.kernel.ioctl(device, UInt(VFIO_DEVICE_GET_REGION_INFO), .memory($0))
            }
            return bytes.withUnsafeBytes {
                ($0.loadUnaligned(as: vfio_region_info.self), $0.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
            }
        }
        let (short, nothing) = info(32)
        #expect([short.argsz, short.flags, short.cap_offset] == [40, 15, 0] && nothing == 0)
        let (long, header) = info(40)
        #expect([long.argsz, long.flags, long.cap_offset] == [40, 15, 32] && header == 0x1_0003)
    }

    @Test func D3hotTakesMemoryAwayAndD0GivesItBack() {
        let buffer = bench.export(device, [(0, 4096)])
        #expect(map(buffer) == 0)
        bench.put(device, 7, ExpressTests.powerState, UInt8(3))
        #expect(map(buffer) == -Int(ENODEV))
        #expect(map(bench.export(device, [(0, 4096)])) == -Int(ENODEV))
        #expect(read(2, 0, 4).0 == -Int(EIO))
        bench.put(device, 7, ExpressTests.powerState, UInt8(1))
        #expect(config(ExpressTests.powerState) & 3 == 3)
        bench.put(device, 7, ExpressTests.powerState, UInt8(0))
        #expect(map(buffer) == 0)
    }

    @Test func memoryTurnedOffInD3hotStaysOffThoughItsBitComesBack() {
        let buffer = bench.export(device, [(0, 4096)])
        bench.put(device, 7, ExpressTests.powerState, UInt8(3))
        bench.put(device, 7, 4, UInt16(0))
        bench.put(device, 7, ExpressTests.powerState, UInt8(0))
        #expect(config(4) & 2 == 2)
        #expect(map(buffer) == -Int(ENODEV))
        bench.put(device, 7, 4, UInt16(2))
        #expect(map(buffer) == 0)
    }

    @Test func functionLevelResetActsByItsBitAlone() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        bench.setBusMaster(engine)
        let buffer = Int32(bench.export(device, [(0, 4096)]))
        func reaches() -> Bool {
            let faults = bench.kernel.iommuFaults.count
            bench.transfer(engine, from: 0x10000, to: 0x40000, 8, toMemory: false)
            return bench.kernel.iommuFaults.count == faults
        }
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 4096, iova: 0x10000) == 0x10000)
        bench.put(device, 7, ExpressTests.deviceControl, UInt16(0x700f))
        #expect(reaches())
        bench.put(device, 7, ExpressTests.powerState, UInt8(3))
        bench.put(device, 7, ExpressTests.powerState, UInt8(0))
        #expect(!reaches())
        _ = bench.unmap(iommufd, ioas, 0x10000, 4096)
        #expect(bench.mapFile(iommufd, ioas, buffer, length: 4096, iova: 0x10000) == 0x10000)
        bench.put(device, 7, ExpressTests.deviceControl + 1, UInt8(0x80))
        #expect(!reaches())
        #expect(config(ExpressTests.deviceControl) & 0xffff == 0x000f)
        #expect(map(Int(buffer)) == 0)
    }

    @Test func hiddenCapabilitiesAreSkippedAndOthersKeepTheirSecrets() throws {
        var topology = Topology.express
        // A subsystem capability, which is hidden, before MSI-X; PASID before ATS.
        topology.devices[0].config += [
            (0x61, [0x98]), (0x98, [0x0d, 0xa0, 0, 0, 1, 2, 3, 4]),
            (0x100, [0x01, 0, 2, 0x15]), (0x150, [0x1b, 0, 1, 0x16]), (0x160, [0x0f, 0, 1, 0, 0x20, 0, 0, 0]),
        ]
        topology.devices[0].keepsConfigWrites = true
        let bench = Bench(topology)
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        #expect(bench.get(device, 7, 0x61, UInt8.self) == 0xa0)
        #expect(bench.get(device, 7, 0x100, UInt32.self) == 0x1602_0001)
        #expect(bench.put(device, 7, 0x164, UInt32.max) == 4)
        #expect(bench.get(device, 7, 0x164, UInt32.self) == 0x20)
        // What is hidden is nobody's, and so the hardware's.
        bench.put(device, 7, 0x9c, UInt32(7))
        #expect(bench.get(device, 7, 0x9c, UInt32.self) == 7)
    }
}
