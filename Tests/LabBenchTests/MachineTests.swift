import Testing

@testable import LabBench

/// What QEMU is asked for.
@Suite struct MachineTests {
    private func words(_ machine: LabMachine, capture: Int32? = nil, kvm: Int32? = nil) -> [String] {
        machine.arguments(
            LabMachine.Resources(
                kernel: "kernel", image: "image", table: "table", memory: "memory", console: 3, frames: 4,
                capture: capture, kvm: kvm))
    }

    /// The value behind an option, of those that have one such.
    private func value(_ option: String, in words: [String], where isWanted: (String) -> Bool = { _ in true })
        -> String?
    {
        zip(words, words.dropFirst()).first { $0 == option && isWanted($1) }?.1
    }

    @Test func aDeviceOfAnotherProcessSharesTheGuestsMemory() throws {
        var machine = LabMachine()
        machine.memory = 512
        #expect(value("-object", in: words(machine)) { $0.contains("id=ram") } == nil)
        machine.devices.append(LabMachine.nic)
        let words = words(machine)
        #expect(machine.servedCount == 1)
        let memory = try #require(value("-object", in: words) { $0.contains("id=ram") })
        #expect(memory == "memory-backend-memfd,id=ram,size=512M,share=on")
        #expect(value("-machine", in: words)?.contains("memory-backend=ram") == true)
        // Without it the device is told of no mapping behind the IOMMU.
        #expect(value("-device", in: words) { $0.hasPrefix("intel-iommu") }?.contains("caching-mode=on") == true)
        let device = try #require(value("-device", in: words) { $0.contains("vfio-user-pci") })
        #expect(device.contains(#""bus":"port4""#))
    }

    /// Connections are given in the order in which QEMU asks, which is that of its devices.
    @Test(arguments: LabMachine.Fabric.allCases)
    func anExporterOfAnotherProcessIsWhereQEMUsIs(_ fabric: LabMachine.Fabric) throws {
        var machine = LabMachine()
        machine.fabric = fabric
        machine.devices[0] = LabMachine.servedExporter
        machine.devices.append(LabMachine.nic)
        let served = words(machine).filter { $0.contains("vfio-user-pci") }
        #expect(machine.servedCount == 2 && served.count == 2)
        #expect(served[0].contains(#""bus":"port1""#) && served[0].contains(#""path":"exporter""#))
        #expect(served[1].contains(#""bus":"port4""#) && served[1].contains(#""path":"connectx""#))
        #expect(!words(machine).contains { $0.contains("ivshmem") })
    }

    /// A user who may not open /dev/kvm has it as a descriptor; and the kernel judges a bridge by the processor's name.
    @Test func theProcessorsVirtualizationIsADescriptor() {
        var machine = LabMachine()
        #expect(value("-accel", in: words(machine)) == "tcg,thread=multi")
        #expect(!words(machine).contains("-add-fd"))
        machine.accelerator = .kvm
        let words = words(machine, kvm: 9)
        #expect(value("-add-fd", in: words) == "fd=9,set=1")
        #expect(value("-accel", in: words) == "kvm,device=/dev/fdset/1")
        #expect(value("-cpu", in: words) == "qemu64")
    }

    @Test func whatDevicesSendHasAPortOfItsOwn() {
        let ports = { (words: [String]) in words.filter { $0.hasPrefix("virtserialport") } }
        #expect(ports(words(LabMachine())) == ["virtserialport,chardev=frames,name=peerlab"])
        let words = words(LabMachine(), capture: 9)
        #expect(ports(words).last == "virtserialport,chardev=capture,name=peerlab.capture")
        #expect(words.contains("socket,id=capture,fd=9"))
    }

    /// Its process knows the exporter's memory by it.
    @Test func theExportersMemoryIsAFileOfOurs() {
        #expect(LabMachine().memoryDevice?.identity == LabMachine.exporter)
        #expect(
            words(LabMachine()).contains("memory-backend-file,id=bar,mem-path=memory,size=1048576,share=on"))
    }

    @Test func steeringTagsAreATable() {
        var machine = LabMachine()
        #expect(!words(machine).contains("-acpitable"))
        machine.hasSteeringTags = true
        #expect(value("-acpitable", in: words(machine)) == "file=table")
    }

    /// A table whose bytes do not add up to 0, or whose length is another one, is skipped by a kernel.
    @Test func theTableOfSteeringTagsIsOne() {
        let bytes = SteeringTable.bytes
        #expect(String(decoding: bytes[..<4], as: UTF8.self) == "SSDT")
        #expect(bytes[4..<8].reversed().reduce(0) { $0 << 8 | Int($1) } == bytes.count)
        #expect(bytes.reduce(0 as UInt8, &+) == 0)
    }

    @Test func anUnpackedEmulatorIsStartedByItsDescriptor() {
        #expect(QEMU.unpacked(in: "/nonexistent") == nil)
        let qemu = QEMU(path: "/cache/qemu/usr/bin/qemu-system-x86_64", root: "/cache/qemu")
        let command = qemu.command(8)
        #expect(command.program == "/proc/self/fd/8/usr/lib64/ld-linux-x86-64.so.2")
        #expect(command.arguments.contains("/proc/self/fd/8/usr/bin/qemu-system-x86_64"))
        // Nothing of this system is within its reach.
        #expect(qemu.folders == ["/cache/qemu/usr"])
    }
}
