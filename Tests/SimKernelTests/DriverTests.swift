import Glibc
import SimKernel
import Testing

/// Virtual functions and the driver of their physical one; Tests/Conformance/19-drivers.lua has the rest, held against
/// Linux.
@Suite struct DriverTests {
    private static let physical = "0000:04:00.0"

    private static func bench(_ driver: String? = "ice") -> Bench {
        func device(_ address: String, _ driver: String?, group: Int) -> Topology.Device {
            Topology.Device(
                address: address, vendor: 0x8086, device: 0x1592, classCode: 0x020000, driver: driver, group: group)
        }
        var virtual = [device("0000:04:01.0", "iavf", group: 5), device("0000:04:01.1", "iavf", group: 6)]
        for index in virtual.indices { virtual[index].physicalFunction = physical }
        var one = device(physical, "ice", group: 4)
        one.driver = driver
        return Bench(Topology(devices: [one] + virtual))
    }

    private func store(_ text: String, _ file: String, _ bench: Bench) -> Int {
        let descriptor = bench.open("/sys/bus/pci/\(file)", O_WRONLY)
        defer { _ = bench.kernel.close(descriptor) }
        return Array(text.utf8).withUnsafeBytes { bench.kernel.write(descriptor, $0) }
    }

    /// Its functions, without the host bridge.
    private func names(_ bench: Bench) throws -> [String] {
        try bench.kernel.list("/sys/bus/pci/devices").filter { $0 != "0000:00:00.0" }
    }

    // drivers/pci/iov.c:sriov_numvfs_store
    @Test(arguments: [
        ("two", -EINVAL), ("65536", -EINVAL), ("-1", -EINVAL), ("", 0), ("3", -ERANGE), ("2", 1), ("2\n", 2),
        ("1", -EBUSY),
        ("0", 1),
    ])
    func theNumberOfVirtualFunctions(_ text: String, _ answer: Int32) {
        #expect(store(text, "devices/\(Self.physical)/sriov_numvfs", Self.bench()) == Int(answer))
    }

    @Test func theyComeAndGoWithTheDriver() throws {
        let bench = Self.bench()
        let all = try names(bench)
        let number = "devices/\(Self.physical)/sriov_numvfs"
        #expect(store(Self.physical, "drivers/ice/unbind", bench) > 0)
        #expect(try names(bench) == [Self.physical])
        #expect(bench.text("/sys/bus/pci/\(number)") == "0\n")
        #expect(store("2", number, bench) == -Int(ENOENT))
        #expect(store(Self.physical, "drivers/ice/bind", bench) > 0)
        #expect(try names(bench) == [Self.physical])
        #expect(store("0", "devices/\(Self.physical)/sriov_drivers_autoprobe", bench) == 1)
        #expect(store("2", number, bench) == 1)
        #expect(try names(bench) == all)
        let drivers = try bench.kernel.list("/sys/bus/pci/drivers/iavf")
        #expect(drivers == ["bind", "unbind"])
    }

    @Test func newOnesGoToTheDriverThatKnowsThem() throws {
        let bench = Self.bench()
        #expect(store("vfio-pci", "devices/0000:04:01.0/driver_override", bench) == 8)
        #expect(store("0", "devices/\(Self.physical)/sriov_numvfs", bench) == 1)
        #expect(store("0000:04:01.0", "drivers/iavf/unbind", bench) == -Int(ENODEV))
        #expect(store("1", "devices/\(Self.physical)/sriov_numvfs", bench) == 1)
        #expect(bench.text("/sys/bus/pci/devices/0000:04:01.0/driver_override") == "(null)\n")
        #expect(try bench.kernel.readlink("/sys/bus/pci/devices/0000:04:01.0/driver").hasSuffix("/iavf"))
        #expect(
            try bench.kernel.list("/sys/bus/pci/devices/\(Self.physical)").filter { $0.hasPrefix("virtfn") } == [
                "virtfn0"
            ])
    }

    /// An open device is not taken away; the real kernel waits until it is closed.
    @Test func vfioKeepsWhatIsOpen() throws {
        let bench = Bench()
        let device = try bench.cdev(Bench.exporter)
        let iommufd = bench.open("/dev/iommu")
        #expect(bench.bind(device, iommufd) == 0)
        #expect(store(Bench.exporter, "drivers/vfio-pci/unbind", bench) == -Int(EBUSY))
        #expect(bench.kernel.notModelled.map(\.call) == ["unbinding an open VFIO device, which waits"])
        _ = bench.kernel.close(device)
        #expect(store(Bench.exporter, "drivers/vfio-pci/unbind", bench) == Bench.exporter.utf8.count)
        #expect(throws: (any Error).self) { try bench.kernel.list("/sys/bus/pci/devices/\(Bench.exporter)/vfio-dev") }
        #expect(bench.open("/dev/vfio/10") == -ENOENT)
        #expect(store(Bench.exporter, "drivers/vfio-pci/bind", bench) == Bench.exporter.utf8.count)
        #expect(bench.open("/dev/vfio/10") >= 0)
    }

    // mm/shmem.c, fs/namei.c
    @Test func filesOfATemporaryFileSystem() throws {
        let kernel = Self.bench().kernel
        #expect(kernel.mkdir("/run/a/b") == -Int(ENOENT))
        #expect(kernel.mkdir("/run/a") == 0)
        #expect(kernel.mkdir("/run/a") == -Int(EEXIST))
        #expect(kernel.open("/run/a", flags: O_WRONLY) == -Int(EISDIR))
        #expect(kernel.open("/run/a/f", flags: O_WRONLY) == -Int(ENOENT))
        let file = Int32(kernel.open("/run/a/f", flags: O_WRONLY | O_CREAT | O_EXCL))
        #expect([1, 2].withUnsafeBytes { kernel.write(file, UnsafeRawBufferPointer(rebasing: $0[..<3])) } == 3)
        #expect(kernel.fsync(file) == 0)
        #expect(kernel.close(file) == 0)
        #expect(kernel.fsync(file) == -Int(EBADF))
        #expect(kernel.open("/run/a/f", flags: O_WRONLY | O_CREAT | O_EXCL) == -Int(EEXIST))
        #expect(kernel.rename("/run/a/f", to: "/run/g") == 0)
        #expect(try kernel.list("/run") == ["a", "g"])
        #expect(try kernel.list("/run/a") == [])
        #expect(kernel.unlink("/run/a") == -Int(EISDIR))
        #expect(kernel.unlink("/run/g") == 0)
        #expect(kernel.unlink("/run/g") == -Int(ENOENT))
    }
}
