import Devices
import Kernel
import LuaKit
import Runner
import SimKernel
import Testing

@testable import peerlab

/// What `peerlab doctor --for` says of a scenario, and what it says of machines with many devices.
@Suite struct DoctorScenarioTests {
    private static let library = Library(stdlib: ShippedFolders.stdlib(extra: []))

    private func diagnosis(_ topology: Topology, named: [String] = []) -> Diagnosis {
        Diagnosis(kernel: SimKernel(topology), depth: .init(opensDevices: true), named: named)
    }

    private func scenario(_ file: String, _ diagnosis: Diagnosis, _ settings: [(name: String, value: String)] = [])
        throws -> ScenarioDiagnosis
    {
        let path = TranscriptTests.root + "/scripts/scenarios/\(file).lua"
        let description = try ScenarioDescription(path, DoctorScenarioTests.library, isSimulated: true)
        return try ScenarioDiagnosis(try #require(description.scenario), settings, diagnosis)
    }

    private func report(_ diagnosis: Diagnosis, _ scenario: ScenarioDiagnosis? = nil) -> DoctorReport {
        let bench = Bench(
            kind: "sim", description: "test", isSimulated: true, tph: .auto, makeKernel: { SimKernel(Topology()) })
        return DoctorReport(diagnosis, bench, scenario)
    }

    private func stopping(_ scenario: ScenarioDiagnosis) -> [String] {
        scenario.findings.filter { $0.state == .obstacle }.map(\.id)
    }

    // MARK: The importer in the kernel

    @Test(arguments: [
        ("lab-importer", [], ScenarioDiagnosis.Verdict.runs), ("lab-importer-below-switch", [], .runs),
        ("lab-importer-no-route", ["route.none"], .doesNot), ("standard", ["importer.none"], .doesNot),
    ])
    func anImporterNeedsAWay(_ bench: String, _ ids: [String], _ verdict: ScenarioDiagnosis.Verdict) throws {
        let diagnosis = diagnosis(try TopologyFile.load(bench, DoctorScenarioTests.library))
        let scenario = try scenario("importer", diagnosis)
        #expect(stopping(scenario) == ids && scenario.verdict == verdict)
        let importer = try #require(report(diagnosis, scenario).purposes.first { $0.need == "importer" })
        #expect(importer.state == (ids.isEmpty ? "ok" : "obstacle"))
        // Others do not ask for it, and only where there is one is it of interest.
        #expect(try self.scenario("export-ranges", diagnosis).verdict == .runs)
        #expect(report(diagnosis).purposes.contains { $0.need == "importer" } == (bench != "standard"))
    }

    /// A switch between both that redirects to a host bridge which passes nothing on.
    @Test func anImportersWayCanBeRedirected() throws {
        var topology = try TopologyFile.load("lab-importer-below-switch", DoctorScenarioTests.library)
        for index in topology.ports.indices.dropFirst(2) { topology.ports[index].acs = .requestRedirect }
        let scenario = try scenario("importer", diagnosis(topology))
        #expect(stopping(scenario) == ["route.acs-redirect"] && scenario.verdict == .doesNot)
    }

    /// What cannot be opened is not said to be absent.
    @Test func anImporterOfAnotherUserIsThere() throws {
        var topology = try TopologyFile.load("lab-importer", DoctorScenarioTests.library)
        topology.denied = ["/dev/edu-importer"]
        #expect(stopping(try scenario("importer", diagnosis(topology))) == ["importer.refused"])
    }

    // MARK: What a scenario uses

    /// One device is in use, another one is free: no obstacle to others, but to who uses that one.
    @Test func aDeviceInUseStopsWhoUsesIt() throws {
        let topology = try TopologyFile.load("standard", DoctorScenarioTests.library)
        let kernel = SimKernel(topology)
        var device = try VFIODevice.open(try #require(PCIAddress("0000:01:00.0")), via: .present, kernel: kernel)
        let diagnosis = Diagnosis(kernel: kernel, depth: .init(opensDevices: true))
        let inUse = try #require(diagnosis.findings.first { $0.id == "device.in-use" })
        #expect(inUse.state == .note && inUse.subject == "0000:01:00.0" && !inUse.next.isEmpty)
        let scenario = try scenario("tph-set", diagnosis)
        #expect(stopping(scenario) == ["device.in-use"] && scenario.verdict == .doesNot)
        try device.close()
    }

    /// Where all are in use, nothing can be opened.
    @Test func onlyDevicesInUseAreAnObstacle() throws {
        let kernel = SimKernel(try DoctorTests.topology("fine"))
        var device = try VFIODevice.open(try #require(PCIAddress("0000:12:00.0")), via: .present, kernel: kernel)
        let diagnosis = Diagnosis(kernel: kernel, depth: .init(opensDevices: true))
        #expect(diagnosis.findings.contains { $0.id == "device.in-use" && $0.state == .obstacle })
        #expect(report(diagnosis).status == 1)
        try device.close()
    }

    /// A NIC whose driver does not enable TPH sends no hints, though it could; and it makes no handles.
    @Test func aNICThatSendsNoneStopsWhoUsesIt() throws {
        var topology = try DoctorTests.topology("fine")
        topology.nics[0].driver = .irdma
        topology.devices[1].driver = "ice"
        let diagnosis = diagnosis(topology)
        let finding = try #require(diagnosis.findings.first { $0.id == "hints.not-enabled" })
        #expect(finding.state == .obstacle && finding.stops == [.hints] && !finding.next.isEmpty)
        // Hints count where a scenario needs them.
        #expect(report(diagnosis).status == 0)
        #expect(stopping(try scenario("tph-register", diagnosis)) == ["hints.not-enabled"])
        #expect(stopping(try scenario("dmah-versus-exporter", diagnosis)) == ["nic.no-dmah", "hints.not-enabled"])
        #expect(try scenario("tph-set", diagnosis).verdict == .runs)
    }

    // MARK: Many devices

    private func many(_ count: Int) throws -> Topology {
        var topology = try DoctorTests.topology("fine")
        let drive = topology.devices[0]
        for index in 1..<count {
            var more = drive
            more.address = "0000:\(String(0x20 + index, radix: 16)):00.0"
            more.group = 100 + index
            more.parent = "0000:00:01.0"
            topology.devices.append(more)
        }
        return topology
    }

    @Test func saysWhatWasNotLookedAtAndHowToNameIt() throws {
        let topology = try many(14)
        let found = diagnosis(topology)
        let more = try #require(found.findings.first { $0.id == "route.more" })
        #expect(more.state == .unread && more.what.contains("2 more devices") && more.what.contains("0000:2d:00.0"))
        #expect(more.next.first?.contains("--device") == true)
        #expect(found.routes.count == 12 && !found.routes.contains { "\($0.provider)" == "0000:2d:00.0" })
        let named = diagnosis(topology, named: ["0000:2d:00.0", "mlx5_0"])
        #expect(named.unknown == [] && named.routes.count == 12)
        #expect(named.routes.contains { "\($0.provider)" == "0000:2d:00.0" })
        #expect(named.findings.contains { $0.id == "hints.completer" && $0.subject == "0000:2d:00.0" })
        #expect(
            diagnosis(topology, named: ["2d:00.0", "mlx5_7", "0000:11:00.0"]).unknown == ["mlx5_7", "0000:11:00.0"])
        #expect(!diagnosis(try many(12)).findings.contains { $0.id == "route.more" })
    }

    /// Nothing is concluded of a device that was not looked at.
    @Test func aScenarioWithOneThatWasNotLookedAtCannotBeJudged() throws {
        let settings = [(name: "exporter", value: "0000:2d:00.0")]
        let scenario = try scenario("tph-register", diagnosis(try many(14)), settings)
        #expect(scenario.verdict == .undecided)
        let finding = try #require(scenario.findings.first { $0.id == "device.unexamined" })
        #expect(finding.subject == "0000:2d:00.0" && finding.next == ["peerlab doctor --device 0000:2d:00.0 ..."])
        let named = try self.scenario("tph-register", diagnosis(try many(14), named: ["0000:2d:00.0"]), settings)
        #expect(named.verdict == .runs)
    }

    @Test func candidatesThatWereNotLookedAtAreCounted() throws {
        var topology = try many(15)
        for index in topology.devices.indices where topology.devices[index].driver == "vfio-pci" {
            topology.devices[index].driver = "nvme"
        }
        let more = try #require(diagnosis(topology).findings.first { $0.id == "candidate.more" })
        #expect(more.state == .unread && more.what.hasPrefix("3 more") && more.what.contains("0000:2e:00.0"))
        #expect(more.next.first?.contains("--device") == true)
        let named = diagnosis(topology, named: ["0000:2e:00.0"])
        #expect(named.findings.contains { $0.area == .candidates && $0.subject == "0000:2e:00.0" })
    }

    // MARK: The picture

    @Test func candidatesAreDrawnBesideExporters() throws {
        var topology = try many(3)
        topology.devices[2].driver = "nvme"
        let report = report(diagnosis(topology))
        let node = try #require(DoctorScenarioTests.node("0000:21:00.0", report.topology))
        #expect(node.kind == .candidate && node.marks.contains("could be bound"))
        #expect(DoctorScenarioTests.node("0000:12:00.0", report.topology)?.kind == .exporter)
        let picture = TopologyDrawing(report).text
        #expect(picture.contains(">0000:21:00.0<") && picture.contains("could be bound"))
        #expect(report.lines.contains { $0.contains("0000:21:00.0") && $0.contains("[could be bound]") })
    }

    private static func node(_ name: String, _ nodes: [TopologyTree.Node]) -> TopologyTree.Node? {
        nodes.lazy.compactMap { $0.name == name ? $0 : node(name, $0.children) }.first
    }

    // MARK: Hints without a root port

    /// The drive's NIC on the bus of the host bridge itself, with this type of PCI Express function.
    private func onRootBus(_ type: UInt8?) throws -> Topology {
        var topology = try DoctorTests.topology("fine")
        topology.devices[1].address = "0000:00:07.0"
        topology.devices[1].parent = "pci0000:00"
        topology.nics[0].address = "0000:00:07.0"
        // The capability's flags: its version, and the type.
        if let type { topology.devices[1].config = [(at: 0x62, bytes: [type << 4 | 2])] }
        return topology
    }

    @Test func anIntegratedEndpointAsksNoRootPort() throws {
        let found = diagnosis(try onRootBus(nil))
        let finding = try #require(found.findings.first { $0.id == "hints.requester" })
        #expect(finding.what.contains("integrated into the root complex") && finding.what.contains("has enabled both"))
        #expect(found.findings.contains { $0.id == "nic.dmah" })
    }

    /// Any other function there has no root port, and the kernel takes that for one without hints.
    @Test func withoutARootPortThereAreNoHints() throws {
        let found = diagnosis(try onRootBus(0))
        let finding = try #require(found.findings.first { $0.id == "hints.no-root-port" })
        #expect(finding.state == .obstacle && !finding.next.isEmpty)
        #expect(found.findings.contains { $0.id == "nic.no-dmah" })
        #expect(stopping(try scenario("tph-register", found)).contains("hints.no-root-port"))
    }

    /// The model of the kernel holds to its command line as well.
    @Test func whatIsSwitchedOffIsNotSent() throws {
        var topology = try DoctorTests.topology("fine")
        topology.commandLine = "ro pci=noaer,notph"
        #expect(stopping(try scenario("tph-register", diagnosis(topology))) == ["hints.notph", "hints.not-enabled"])
    }

    /// Where no device can be read, none is lacking.
    @Test func whatIsHiddenIsNotLacking() throws {
        var topology = try DoctorTests.topology("fine")
        topology.hidden = ["/sys"]
        topology.nics = []
        let found = try scenario("tph-register", diagnosis(topology))
        #expect(found.verdict == .undecided && found.lacking?.contains("no sysfs at /sys") == true)
    }

    /// A port that cannot be read decides nothing, but what the driver enabled does.
    @Test func aPortThatCannotBeReadIsNotAbsent() throws {
        var topology = try DoctorTests.topology("fine")
        topology.denied = ["/sys/bus/pci/devices/0000:00:01.0/config"]
        #expect(diagnosis(topology).findings.contains { $0.id == "hints.requester" && $0.state == .fine })
        topology.nics[0].driver = .irdma
        let finding = try #require(diagnosis(topology).findings.first { $0.id == "hints.root-port-unread" })
        #expect(finding.state == .unread && finding.what.contains("0000:00:01.0"))
    }

    /// The bench does not say which port is above a device without a parent.
    @Test func aPortThatCannotBeSeenIsNotAbsent() throws {
        var topology = try DoctorTests.topology("fine")
        topology.devices[1].parent = nil
        topology.nics[0].driver = .irdma
        let finding = try #require(diagnosis(topology).findings.first { $0.id == "hints.root-port-unread" })
        #expect(finding.what.contains("which root port is above it cannot be seen"))
    }

    // MARK: Limits

    @Test func theLimitOfLockedMemoryIsTold() throws {
        var topology = try DoctorTests.topology("fine")
        topology.lockedMemory = 65536
        let found = diagnosis(topology)
        let finding = try #require(found.findings.first { $0.id == "limits.memlock-small" })
        #expect(finding.state == .note && finding.what == "RLIMIT_MEMLOCK is 64 KiB" && !finding.next.isEmpty)
        #expect(try scenario("tph-register", found).findings.contains { $0.id == "limits.memlock-small" })
    }
}
