import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Resets of a bus with two functions, in groups of their own, which the lab has not:
/// drivers/vfio/pci/vfio_pci_core.c:vfio_pci_ioctl_pci_hot_reset.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelVFIO.md.
@Suite struct HotResetTests {
    private static let sibling = "0000:01:00.1"

    private static func topology(_ driver: String?, group: Int = 20) -> Topology {
        var topology = Topology.standard
        topology.devices.append(
            .init(
                address: sibling, vendor: 0x8086, device: 0x5845, classCode: 0x010802, driver: driver, group: group,
                bars: [.init(0, size: 16384)]))
        return topology
    }

    /// Flags, and the id, bus and function of each device.
    private func information(_ bench: Bench, _ device: Int32) -> (flags: UInt32, devices: [(UInt32, UInt8, UInt8)]) {
        var bytes = Bench.bytes(UInt32(64)) + [UInt8](repeating: 0, count: 60)
        let result = bytes.withUnsafeMutableBytes {
            bench.kernel.ioctl(device, UInt(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO), .memory($0))
        }
        #expect(result == 0)
        return bytes.withUnsafeBytes { bytes in
            let info = bytes.loadUnaligned(as: vfio_pci_hot_reset_info.self)
            let devices = (0..<Int(info.count)).map {
                bytes.loadUnaligned(fromByteOffset: 12 + 8 * $0, as: vfio_pci_dependent_device.self)
            }
            return (info.flags, devices.map { ($0.group_id, $0.bus, $0.devfn) })
        }
    }

    private func reset(_ bench: Bench, _ device: Int32, _ groups: [Int32] = []) -> Int {
        let header = [UInt32(12 + 4 * groups.count), 0, UInt32(groups.count)]
        return bench.ioctl(
            device, VFIO_DEVICE_PCI_HOT_RESET,
            bytes: header.flatMap { Bench.bytes($0) } + groups.flatMap { Bench.bytes($0) })
    }

    @Test func aSiblingMustBeOneself() throws {
        let bench = Bench(HotResetTests.topology("vfio-pci"))
        let iommufd = bench.open("/dev/iommu")
        let device = try bench.bound(Bench.exporter, to: iommufd)
        let alone = information(bench, device)
        #expect(alone.flags == 1)
        #expect(alone.devices.map(\.0) == [1, .max])
        #expect(alone.devices.map(\.2) == [0, 1])
        #expect(reset(bench, device) == -Int(EINVAL))
        let other = try bench.bound(HotResetTests.sibling, to: bench.open("/dev/iommu"))
        #expect(reset(bench, device) == -Int(EINVAL))
        _ = bench.kernel.close(other)
        _ = try bench.bound(HotResetTests.sibling, to: iommufd)
        let both = information(bench, device)
        #expect(both.flags == 3)
        #expect(both.devices.map(\.0) == [1, 2])
        #expect(reset(bench, device) == 0)
    }

    /// One that nobody opened is its group's owner's; one of another driver is nobody's.
    @Test(arguments: [("vfio-pci", [1, 0], 0), ("pci-stub", [1, .max], -Int(EINVAL))] as [(String, [UInt32], Int)])
    func aSiblingOfTheGroup(_ row: (driver: String, ids: [UInt32], result: Int)) throws {
        let bench = Bench(HotResetTests.topology(row.driver, group: 10))
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        #expect(information(bench, device).devices.map(\.0) == row.ids)
        #expect(reset(bench, device) == row.result)
    }

    @Test func groupsMustCoverTheBus() throws {
        let bench = Bench(HotResetTests.topology("vfio-pci"))
        let container = bench.open("/dev/vfio/vfio")
        let group = bench.open("/dev/vfio/10")
        let other = bench.open("/dev/vfio/20")
        let foreign = bench.open("/dev/vfio/11")
        var descriptor = container
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == 0)
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(3)) == 0)
        let name = Array(Bench.exporter.utf8) + [0]
        let device = Int32(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: name))
        #expect(information(bench, device).devices.map(\.0) == [10, 20])
        #expect(reset(bench, device) == -Int(EINVAL))
        #expect(reset(bench, device, [group]) == -Int(EINVAL))
        #expect(reset(bench, device, [group, foreign]) == -Int(EINVAL))
        #expect(reset(bench, device, [group, 99]) == -Int(EBADF))
        #expect(reset(bench, device, [group, other, other]) == -Int(EINVAL))
        // What is refused at the second device has taken the first one's memory away and given it back, which ends mappings.
        let buffer = Int32(bench.export(device, [(0, 4096)]))
        let iommufd = bench.open("/dev/iommu")
        let ioas = try bench.ioas(iommufd)
        func map(_ iova: UInt64) -> Int { bench.mapFile(iommufd, ioas, buffer, length: 4096, iova: iova) }
        func isDead(_ iova: UInt64) -> Bool {
            var command = iommu_ioas_noiommu_get_pa(
                size: 40, flags: 0, ioas_id: ioas, reserved: 0, iova: iova, length: 4096, out_phys: 0)
            return bench.ioctl(iommufd, IOMMU_IOAS_NOIOMMU_GET_PA, &command) == -Int(EINVAL)
        }
        #expect(map(0x1000) == 0x1000)
        #expect(reset(bench, device, [foreign]) == -Int(EINVAL))
        #expect(!isDead(0x1000))
        #expect(reset(bench, device, [group]) == -Int(EINVAL))
        #expect(isDead(0x1000))
        #expect(map(0x2000) == 0x2000)
        #expect(reset(bench, device, [other, group]) == 0)
        #expect(isDead(0x2000))
        #expect(map(0x3000) == 0x3000)
    }

    @Test func aRootBusHasNoReset() throws {
        var topology = Topology.standard
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00")]
        topology.devices[0].address = "0000:00:03.0"
        topology.devices[0].parent = "pci0000:00"
        let bench = Bench(topology)
        let device = try bench.bound("0000:00:03.0", to: bench.open("/dev/iommu"))
        #expect(reset(bench, device) == -Int(ENODEV))
    }
}
