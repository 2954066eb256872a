import Devices
import Kernel
import SimKernel
import TestBench
import Testing

/// What a diagnosis finds, and what it must not conclude.
@Suite struct DiagnosisTests {
    private func diagnosis(_ kernel: any Kernel, opens: Bool = true) -> Diagnosis {
        Diagnosis(kernel: kernel, depth: .init(opensDevices: opens))
    }

    private func ids(_ diagnosis: Diagnosis, _ state: Finding.State) -> Set<String> {
        Set(diagnosis.findings.filter { $0.state == state }.map(\.id))
    }

    /// Findings that say that something is not there.
    private static let absences: Set<String> = [
        "iommu.off", "vfio.no-driver", "vfio.no-device", "iommufd.missing", "type1.missing", "nic.none",
        "hints.no-completer", "hints.no-requester", "kernel.no-export", "kernel.no-hints", "device.sibling",
        "route.none", "route.acs-redirect",
    ]

    /// Whatever cannot be read is said to be unread, and not to be absent.
    @Test(arguments: [
        ["/sys"], ["/proc"], ["/sys/kernel/iommu_groups"], ["/sys/bus/pci/drivers"], ["/sys/bus/pci/devices"],
        ["/sys/class/misc"], ["/sys/class/infiniband"], ["/proc/kallsyms"], ["/proc/cmdline"], ["/sys", "/proc"],
        ["/sys/bus/pci/devices/0000:01:00.0/config"], ["/sys/bus/pci/devices/0000:03:00.0/config"],
        ["/sys/bus/pci/devices/0000:01:00.0/enable"], ["/proc/self/limits"],
    ])
    func unreadIsNotAbsent(_ denied: [String]) {
        var topology = Topology.standard
        // The engine is no completer, which is so.
        topology.devices.remove(at: 1)
        let whole = diagnosis(SimKernel(topology))
        #expect(ids(whole, .unread) == [] && ids(whole, .obstacle) == [])
        topology.denied = denied
        let kernel = SimKernel(topology)
        let found = diagnosis(kernel)
        let absent = ids(found, .obstacle).union(ids(found, .note)).intersection(Self.absences)
        #expect(absent == [] && !ids(found, .unread).isEmpty && kernel.open == [])
    }

    /// A node that belongs to another user is there, and cannot be used.
    @Test(arguments: [
        ("/dev/iommu", "iommufd.refused"), ("/dev/vfio/vfio", "type1.refused"),
        ("/dev/vfio/devices/vfio0", "device.node-refused"),
    ])
    func nodesOfOthersAreNamed(_ path: String, _ id: String) throws {
        var topology = Topology.standard
        topology.devices.remove(at: 1)
        topology.denied = [path]
        let found = try #require(diagnosis(SimKernel(topology), opens: false).findings.first { $0.id == id })
        #expect(found.state == .obstacle && found.what.contains("EACCES"))
        #expect(found.next.first?.hasPrefix("sudo chown $USER /dev/") == true)
    }

    /// modprobe is not advised where the kernel has no such module.
    @Test func whatIsNotThereIsNotLoaded() throws {
        var topology = Topology.standard
        topology.hasIOMMUFD = false
        func advice() throws -> String? {
            try #require(diagnosis(SimKernel(topology)).findings.first { $0.id == "iommufd.missing" }).next.first
        }
        #expect(try advice() == "modprobe iommufd")
        topology.files["/lib/modules/\(topology.release)/modules.dep"] = "kernel/drivers/vfio/pci/vfio-pci.ko.zst:\n"
        #expect(try advice() == "a kernel with iommufd: this one has no such module")
        topology.denied = ["/lib"]
        #expect(try advice() == "modprobe iommufd")
    }

    /// A disk that this program may not open may be in use.
    @Test func aDiskThatCannotBeTriedIsNotFree() throws {
        var topology = Topology.standard
        topology.devices[0].driver = "nvme"
        topology.links["/sys/class/block/nvme0n1"] = "../../devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1"
        topology.files["/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1/dev"] = "259:0\n"
        #expect(ids(diagnosis(SimKernel(topology)), .fine).contains("candidate.free"))
        topology.denied = ["/dev/nvme0n1"]
        let found = diagnosis(SimKernel(topology))
        #expect(ids(found, .unread).contains("candidate.use-unread") && !ids(found, .fine).contains("candidate.free"))
        topology.denied = []
        topology.claimed = ["/dev/nvme0n1"]
        #expect(ids(diagnosis(SimKernel(topology)), .note).contains("candidate.needed"))
    }

    /// Everybody but root gets 64 bytes of configuration space.
    @Test func withoutCapabilitiesTheWayIsNotKnown() throws {
        var topology = Topology.standard
        topology.isPrivileged = false
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: .none)]
        topology.ports = [
            Topology.Port(address: "0000:00:01.0"), Topology.Port(address: "0000:04:00.0", parent: "0000:00:01.0"),
            Topology.Port(address: "0000:05:00.0", parent: "0000:04:00.0"),
            Topology.Port(address: "0000:05:01.0", parent: "0000:04:00.0", acs: .requestRedirect),
        ]
        topology.devices[0].parent = "0000:05:00.0"
        topology.devices[2].parent = "0000:05:01.0"
        var found = diagnosis(SimKernel(topology))
        #expect(
            ids(found, .unread).isSuperset(of: ["route.unread", "hints.requester-unread", "hints.completer-unread"]))
        // Where the host bridge passes them on, there is a way in any case.
        topology.hostBridges = []
        found = diagnosis(SimKernel(topology))
        #expect(ids(found, .fine).contains("route.either") && !ids(found, .unread).contains("route.unread"))
        topology.isPrivileged = true
        found = diagnosis(SimKernel(topology))
        let route = try #require(found.routes.first { "\($0.provider)" == "0000:01:00.0" })
        #expect(route.route.redirecting == ["0000:05:01.0"] && route.route.kind == .throughHostBridge)
    }

    /// Without being asked to, it opens no device: the kernel would reset it.
    @Test func opensNoDeviceUnasked() {
        var calls: [String] = []
        let kernel = TracingKernel(SimKernel(.standard)) { calls.append($0) }
        let found = diagnosis(kernel, opens: false)
        #expect(!calls.contains { $0.contains("VFIO_DEVICE") || $0.contains("VFIO_GROUP") })
        #expect(ids(found, .unread) == ["device.export-untried"])
        calls = []
        _ = diagnosis(kernel)
        #expect(calls.contains { $0.contains("VFIO_DEVICE_FEATURE") })
    }

    /// It writes nothing, and leaves nothing open.
    @Test func changesNothing() {
        var calls: [String] = []
        let model = SimKernel(.standard)
        _ = diagnosis(TracingKernel(model) { calls.append(String($0.prefix { $0 != "(" })) })
        #expect(Set(calls).isDisjoint(with: ["write", "pwrite", "unlink", "rename", "mkdir", "VFIO_DEVICE_RESET"]))
        #expect(model.open == [])
    }

    /// A device that a program has open is not opened a second time.
    @Test func leavesADeviceInUseAlone() throws {
        let kernel = SimKernel(.standard)
        var device = try VFIODevice.open(try #require(PCIAddress("0000:01:00.0")), via: .present, kernel: kernel)
        let found = diagnosis(kernel)
        #expect(found.findings.contains { $0.id == "device.in-use" && $0.subject == "0000:01:00.0" })
        #expect(found.findings.contains { $0.id == "device.export-untried" && $0.subject == "0000:01:00.0" })
        try device.close()
    }

    /// Without an IOMMU, a machine's owner sets it in the firmware, and a virtual machine's in its host; where it is not known
    /// which it is, both are said.
    @Test(
        arguments: [
            ("flags\t\t: fpu vme hypervisor lahf_lm\n", ["this is a virtual machine"], ["firmware setup"]),
            ("flags\t\t: fpu vme\nmodel name\t: a hypervisor lover\n", ["firmware setup"], ["virtual machine"]),
            (nil, ["firmware setup", "if this is a virtual machine"], []),
        ] as [(String?, [String], [String])])
    func aVirtualMachinesIOMMUIsItsHosts(_ processors: String?, _ says: [String], _ leavesOut: [String]) throws {
        var topology = Topology(name: "empty")
        if let processors { topology.files["/proc/cpuinfo"] = processors } else { topology.denied = ["/proc/cpuinfo"] }
        let off = try #require(diagnosis(SimKernel(topology)).findings.first { $0.id == "iommu.off" })
        let next = off.next.joined(separator: "; ")
        for text in says { #expect(next.contains(text)) }
        for text in leavesOut { #expect(!next.contains(text)) }
    }

    /// Commands name the lab's scripts where they are.
    @Test func namesTheInstalledScripts() throws {
        var topology = Topology.standard
        topology.tph = nil
        let found = Diagnosis(
            kernel: SimKernel(topology), depth: .init(opensDevices: false), labScripts: "/opt/share/peerlab/scripts/lab"
        )
        let hints = try #require(found.findings.first { $0.id == "kernel.no-hints" })
        #expect(hints.next.first?.hasPrefix("/opt/share/peerlab/scripts/lab/build-kernel --patch") == true)
    }

    /// A function that is enabled, but that no program has open, is not said to be in use.
    @Test func anEnabledFunctionIsNotSaidToBeInUse() {
        var topology = Topology.standard
        topology.files["/sys/devices/pci0000:00/0000:01:00.0/enable"] = "1\n"
        var found = diagnosis(SimKernel(topology))
        #expect(ids(found, .note).contains("device.enabled") && !found.findings.contains { $0.id == "device.in-use" })
        topology.denied = ["/dev/vfio/10"]
        found = diagnosis(SimKernel(topology))
        #expect(ids(found, .unread).contains("device.use-unread"))
    }

    /// The route of each pair is the one that the model of the kernel takes.
    @Test(arguments: [HostBridgeListing.none, .same, .any]) func saysWhatTheKernelsListHas(_ listing: HostBridgeListing)
    {
        var topology = Topology.standard
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: listing)]
        let routes = diagnosis(SimKernel(topology)).routes
        #expect(!routes.isEmpty)
        for one in routes { #expect(one.route.kind == (listing == .none ? .notSupported : .throughHostBridge)) }
    }
}
