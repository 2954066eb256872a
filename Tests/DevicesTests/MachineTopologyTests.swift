import Devices
import Kernel
import SimKernel
import TestBench
import Testing

/// What a record says of the machine it was made on.
@Suite struct MachineTopologyTests {
    private func lines(_ topology: Topology) throws -> [String] {
        try MachineTopology(kernel: SimKernel(topology)).lines.map { "\($0.key): \($0.fields)" }
    }

    @Test func tellsOfVFIOsDevicesAndOfRDMADevices() throws {
        let lines = try lines(.standard)
        #expect(
            lines.contains(
                "device: address=\"0000:01:00.0\" id=\"1af4:1110\" class=0x50000 driver=\"vfio-pci\" group=10 "
                    + "kind=\"memory\" completer=\"extended\" tph_requester=true"))
        #expect(lines.contains("bar: index=2 size=1048576 bits=64 prefetchable=true"))
        #expect(lines.contains("rdma: name=\"mlx5_0\" driver=\"mlx5\" requester=\"extended\""))
        // Its BAR, and nothing before or after it that is not its own.
        let nic = try #require(lines.firstIndex { $0.hasPrefix("device: address=\"0000:03:00.0\"") })
        #expect(lines[nic + 1] == "bar: index=0 size=33554432 bits=64 prefetchable=true")
    }

    @Test func groupsWithTheHighestNumberLeaveAnotherForWhoHasNone() throws {
        var topology = Topology.standard
        topology.devices[0].group = .max
        #expect(try lines(topology).contains { $0.contains("group=\(Int.max)") })
    }

    @Test func leavesOutWhatExperimentsDoNotTouch() throws {
        var topology = Topology.standard
        topology.devices.append(
            Topology.Device(
                address: "0000:04:00.0", vendor: 0x8086, device: 0x2922, classCode: 0x010601, driver: "ahci", group: 13)
        )
        topology.devices.append(
            Topology.Device(
                address: "0000:05:00.0", vendor: 0x8086, device: 0x2930, classCode: 0x0c0500, driver: nil, group: 12))
        let lines = try lines(topology)
        #expect(!lines.contains { $0.contains("0000:04:00.0") })
        // In the adapter's IOMMU group: it decides whether VFIO may have that.
        #expect(
            lines.contains {
                $0.hasPrefix("device: address=\"0000:05:00.0\"") && $0.contains("driver=\"none\" group=12")
            })
    }

    @Test func keepsNoSerialNumber() throws {
        var topology = Topology.standard
        topology.devices[0].tphRequester = false
        topology.devices[0].config = [
            (at: 0x100, bytes: [0x03, 0, 1, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88])
        ]
        let lines = try lines(topology)
        #expect(lines.contains("config: at=0x100 bytes=\"03000100000000000000000000000000\""))
        #expect(!lines.contains { $0.contains("1122") || $0.contains("5566") })
    }

    /// Whether the kernel's list has a host bridge is not known where its ids cannot be read.
    @Test func aHostBridgeThatCannotBeReadIsUnread() throws {
        var topology = Topology.standard
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: .any)]
        #expect(try lines(topology).contains("host bridge: name=\"pci0000:00\" peer_to_peer=\"any\""))
        topology.files["/sys/devices/pci0000:00/0000:00:00.0/vendor"] = "?\n"
        #expect(try lines(topology).contains("host bridge: name=\"pci0000:00\" peer_to_peer=\"unread\""))
    }

    @Test func whatProcessorsThereAreIsLeftOutWhereItIsUnread() throws {
        var topology = Topology.standard
        #expect(try lines(topology).contains { $0.hasPrefix("platform: zen=false") })
        topology.denied = ["/proc/cpuinfo"]
        #expect(try lines(topology).contains { $0.hasPrefix("platform: cpus=") })
    }

    @Test func tellsWhatTheProgramMayPin() throws {
        var topology = Topology.standard
        #expect(try lines(topology).contains("limits: memlock=\"unlimited\""))
        topology.lockedMemory = 65536
        #expect(try lines(topology).contains("limits: memlock=65536 ipc_lock=false"))
        topology.files["/proc/self/status"] = "CapEff:\t000001ffffffffff\n"
        #expect(try lines(topology).contains("limits: memlock=65536 ipc_lock=true"))
    }

    /// A root port that redirects, and a switch below it; the exporter is below the switch.
    @Test func tellsOfThePortsAboveADevice() throws {
        var topology = Topology.standard
        let top = "devices/pci0000:00/0000:00:05.0"
        let below = "\(top)/0000:01:00.0/0000:02:00.0"
        topology.devices[0].address = "0000:09:00.0"
        topology.links["/sys/bus/pci/devices/0000:00:05.0"] = "../../../\(top)"
        topology.files["/sys/\(top)/class"] = "0x060400\n"
        // Bytes below 0x80 alone: a file is text. An Express root port that takes hints; request redirect is on.
        var config = [UInt8](repeating: 0, count: 4096)
        for (at, bytes) in [
            (0x06, [0x10]), (0x34, [0x40]), (0x40, [0x10, 0, 0x42, 0]), (0x65, [0x10]),
            (0x100, [0x0d, 0, 1, 0]), (0x106, [0x04, 0]),
        ] as [(Int, [UInt8])] {
            config.replaceSubrange(at..<(at + bytes.count), with: bytes)
        }
        topology.files["/sys/\(top)/config"] = String(decoding: config, as: UTF8.self)
        for port in ["\(top)/0000:01:00.0", below] {
            let address = String(port.suffix(12))
            topology.links["/sys/bus/pci/devices/\(address)"] = "../../../\(port)"
            topology.files["/sys/\(port)/class"] = "0x060400\n"
        }
        topology.files["/sys/\(below)/0000:03:09.0/class"] = "0x050000\n"
        topology.files["/sys/\(below)/0000:03:09.0/vendor"] = "0x1af4\n"
        topology.files["/sys/\(below)/0000:03:09.0/device"] = "0x1110\n"
        topology.links["/sys/\(below)/0000:03:09.0/driver"] = "../../../../bus/pci/drivers/vfio-pci"
        topology.links["/sys/bus/pci/devices/0000:03:09.0"] = "../../../\(below)/0000:03:09.0"
        let lines = try lines(topology)
        let ports = lines.filter { $0.hasPrefix("port: ") }
        #expect(
            ports == [
                "port: address=\"0000:00:05.0\" parent=\"pci0000:00\" completer=\"tph\" acs=\"rr\"",
                "port: address=\"0000:01:00.0\" parent=\"0000:00:05.0\"",
                "port: address=\"0000:02:00.0\" parent=\"0000:01:00.0\"",
            ])
        #expect(lines.contains { $0.contains("0000:03:09.0") && $0.contains("parent=\"0000:02:00.0\"") })
    }
}
