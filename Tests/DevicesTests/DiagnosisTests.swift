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
        ["/sys"], ["/proc"], ["/sys/kernel/iommu_groups"], ["/sys/bus/pci/devices"],
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
        #expect(absences(found) == [] && !ids(found, .unread).isEmpty && kernel.open == [])
        for finding in found.findings where finding.state == .unread {
            #expect(!finding.why.isEmpty && !finding.next.isEmpty, "\(finding.id): \(finding.what)")
        }
    }

    private func absences(_ diagnosis: Diagnosis) -> Set<String> {
        ids(diagnosis, .obstacle).union(ids(diagnosis, .note)).intersection(Self.absences)
    }

    /// In a container that shows no sysfs, or a part of it, nothing is said to be absent.
    @Test(arguments: [["/sys"], ["/sys/bus"], ["/sys/class"], ["/sys/kernel"], ["/sys", "/proc"]])
    func hiddenIsNotAbsent(_ hidden: [String]) {
        var topology = Topology.standard
        topology.devices.remove(at: 1)
        // libibverbs reads sysfs too.
        if hidden != ["/sys/bus"], hidden != ["/sys/kernel"] { topology.nics = [] }
        topology.hidden = hidden
        let found = diagnosis(SimKernel(topology))
        #expect(absences(found) == [])
        let unread = found.findings.filter { $0.state == .unread }
        #expect(!unread.isEmpty)
        for finding in unread {
            #expect(!finding.why.isEmpty && !finding.next.isEmpty, "\(finding.id): \(finding.what)")
        }
        guard hidden.contains("/sys") else { return }
        let purposes: [Finding.Purpose] = [.vfio, .export, .hints, .iommufd, .type1, .rdma, .registration, .handles]
        for purpose in purposes { #expect(unread.contains { $0.stops.contains(purpose) }, "\(purpose)") }
        #expect(found.advice(onBinding: { _ in true }).contains("no sysfs at /sys"))
    }

    /// A function that vfio-pci has tells that it is loaded, whatever its folder says.
    @Test func aBoundFunctionTellsOfItsDriver() {
        var topology = Topology.standard
        topology.denied = ["/sys/bus/pci/drivers"]
        #expect(ids(diagnosis(SimKernel(topology)), .fine).contains("vfio.driver"))
        topology.devices[0].driver = nil
        topology.devices[1].driver = nil
        #expect(ids(diagnosis(SimKernel(topology)), .unread).contains("vfio.driver-unread"))
    }

    /// Without vfio-pci there may be VFIO's container, or another driver of VFIO.
    @Test func withoutVFIOPCISaysWhatIsThere() throws {
        var topology = Topology.standard
        topology.hidden = ["/sys/bus/pci/drivers/vfio-pci"]
        func finding() throws -> Finding {
            try #require(diagnosis(SimKernel(topology)).findings.first { $0.id == "vfio.no-driver" })
        }
        for index in [0, 1] { topology.devices[index].driver = nil }
        #expect(try finding().state == .obstacle && finding().what.contains("/dev/vfio/vfio"))
        topology.hidden.append("/sys/class/misc/vfio")
        #expect(try finding().what == "vfio-pci is not loaded")
        topology.devices[0].driver = "vfio_tph"
        #expect(try finding().state == .note && finding().what.contains("vfio_tph has 0000:01:00.0"))
    }

    /// What the kernel was built without no modprobe loads.
    @Test func optionsTellWhatModprobeCannotLoad() throws {
        var topology = Topology.standard
        topology.hasIOMMUFD = false
        let config = "/boot/config-\(topology.release)"
        func missing() throws -> Finding {
            try #require(diagnosis(SimKernel(topology)).findings.first { $0.id == "iommufd.missing" })
        }
        for text in ["CONFIG_PCI=y\n# CONFIG_IOMMUFD is not set\n", "CONFIG_PCI=y\n"] {
            topology.files[config] = text
            let found = try missing()
            #expect(found.next.first?.hasPrefix("a kernel with CONFIG_IOMMUFD: ") == true, "\(found.next)")
            #expect(found.why == "the kernel was built without CONFIG_IOMMUFD (\(config))")
            #expect(!found.next.contains { $0.hasPrefix("modprobe") })
        }
        topology.files[config] = "CONFIG_IOMMUFD=m\n"
        #expect(try missing().next == ["modprobe iommufd"] && missing().why.contains("CONFIG_IOMMUFD=m"))
        topology.files[config] = "CONFIG_IOMMUFD=y\n"
        #expect(try missing().next.first?.hasPrefix("dmesg") == true && missing().why.contains("built in"))
        // No file of options: nothing is known.
        topology.files[config] = "nothing\n"
        #expect(try missing().next == ["modprobe iommufd"])
    }

    /// A kernel that has no driver for an IOMMU does not get one from the firmware's setup.
    @Test func optionsTellWhyThereIsNoIOMMU() throws {
        var topology = Topology(name: "empty")
        topology.files["/boot/config-\(topology.release)"] = "CONFIG_PCI=y\n# CONFIG_VFIO is not set\n"
        topology.hidden = ["/sys/bus/pci/drivers/vfio-pci", "/sys/class/misc/vfio"]
        let found = diagnosis(SimKernel(topology))
        func next(_ id: String) throws -> String { try #require(found.findings.first { $0.id == id }?.next.first) }
        #expect(try next("iommu.off").hasPrefix("a kernel with CONFIG_INTEL_IOMMU or CONFIG_AMD_IOMMU"))
        #expect(try next("vfio.no-driver").hasPrefix("a kernel with CONFIG_VFIO_PCI: "))
        #expect(try next("type1.missing").hasPrefix("a kernel with CONFIG_VFIO: "))
    }

    /// A kernel without RDMA is said to have none; the bench that comes first is the one that has what is asked for.
    @Test func optionsTellWhyThereIsNoRDMADevice() throws {
        var topology = Topology.standard
        topology.nics = []
        let config = "/boot/config-\(topology.release)"
        topology.files[config] = "CONFIG_PCI=y\n# CONFIG_INFINIBAND is not set\n"
        topology.devices.removeAll { $0.vendor == 0x15b3 }
        let found = diagnosis(SimKernel(topology))
        let none = try #require(found.findings.first { $0.id == "nic.none" })
        #expect(none.what.contains("the kernel was built without CONFIG_INFINIBAND (\(config))"))
        #expect(none.next.first?.hasPrefix("a kernel with CONFIG_INFINIBAND: ") == true && none.next.count == 3)
        topology.files[config] = "nothing\n"
        let other = diagnosis(SimKernel(topology))
        #expect(other.advice(on: .rdma, beside: "").contains("`peerlab run --bench lab ... has rxe"))
        #expect(other.advice(on: .registration, beside: "").contains("`peerlab run --bench lab --lab-nic connectx"))
    }

    /// Nothing is to be bound where vfio-pci cannot be loaded.
    @Test func bindsNothingWithoutADriver() throws {
        var topology = Topology.standard
        topology.hidden = ["/sys/bus/pci/drivers/vfio-pci", "/sys/class/misc/vfio"]
        for index in [0, 1] { topology.devices[index].driver = nil }
        let config = "/boot/config-\(topology.release)"
        topology.files[config] = "CONFIG_PCI=y\nCONFIG_VFIO_PCI=m\n"
        func found() -> Diagnosis { diagnosis(SimKernel(topology)) }
        func steps(_ id: String) throws -> [String] { try #require(found().findings.first { $0.id == id }).next }
        #expect(try steps("candidate.free") == ["modprobe vfio-pci", "peerlab bind 0000:01:00.0"])
        #expect(try steps("vfio.no-device") == ["peerlab bind 0000:01:00.0"])
        topology.files[config] = "CONFIG_PCI=y\n# CONFIG_VFIO_PCI is not set\n"
        for id in ["candidate.free", "vfio.no-device"] {
            let next = try steps(id)
            #expect(next.count == 1 && next.first?.hasPrefix("a kernel with CONFIG_VFIO_PCI: ") == true, "\(next)")
        }
        #expect(!found().advice(onBinding: { _ in true }).contains("peerlab bind"))
    }

    /// Of disks and network cards it can be told whether they are used; of what another driver serves it cannot.
    @Test func whoUsesADriversDeviceIsNotKnown() throws {
        var topology = Topology.standard
        topology.devices[0].classCode = 0x078000
        func what() throws -> String {
            try #require(diagnosis(SimKernel(topology)).findings.first { $0.id == "candidate.free" }).what
        }
        topology.devices[0].driver = "virtio-pci"
        #expect(try what().hasSuffix("can be bound, whether anything uses it is not known"))
        topology.devices[0].classCode = 0x010802
        #expect(try what().hasSuffix("can be bound, nothing seems to need it"))
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

    /// A container shows sysfs, and of /dev only what it was given.
    @Test(arguments: [("/dev/iommu", "iommufd.refused"), ("/dev/vfio/vfio", "type1.refused")])
    func nodesThatAreHiddenAreNamed(_ path: String, _ id: String) throws {
        var topology = Topology.standard
        topology.hidden = [path]
        let found = try #require(diagnosis(SimKernel(topology), opens: false).findings.first { $0.id == id })
        #expect(found.why.contains("this program's /dev") && found.next.first?.contains("--device \(path)") == true)
    }

    /// Where a character device has no iommufd, the group's way is left, and is taken; where it may not be opened, it is named.
    @Test func withoutIOMMUFDTheGroupIsThere() throws {
        var topology = Topology.standard
        topology.devices.remove(at: 1)
        topology.hidden = ["/dev/iommu"]
        var found = diagnosis(SimKernel(topology))
        #expect(ids(found, .obstacle) == ["iommufd.refused"] && ids(found, .fine).contains("device.exports"))
        topology.hidden = ["/dev/iommu", "/dev/vfio/10"]
        found = diagnosis(SimKernel(topology))
        let refused = try #require(found.findings.first { $0.id == "device.open-refused" })
        #expect(refused.what.contains("/dev/iommu") && !refused.next.isEmpty)
        topology.hidden = []
        topology.denied = ["/dev/iommu"]
        found = diagnosis(SimKernel(topology))
        let denied = try #require(found.findings.first { $0.id == "device.open-refused" })
        #expect(denied.why.contains("via = \"group\"") && denied.next.first?.hasPrefix("sudo chown") == true)
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
