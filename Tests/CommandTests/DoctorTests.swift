import CKernel
import Commands
import Devices
import FoundationEssentials
import Kernel
import LuaKit
import Runner
import SimKernel
import Testing

@testable import peerlab

/// What `peerlab doctor` finds on machines that are described, and what it concludes.
@Suite struct DoctorTests {
    private static let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
    private static let folder = TranscriptTests.folder + "/Benches/doctor"

    static func topology(_ bench: String) throws -> Topology {
        // In this process: one of its own would begin with the memory of all tests.
        guard case .table(let fields) = try library.table(of: "\(folder)/\(bench).lua") else { return Topology() }
        return try TopologyFile.topology(Fields(fields, at: ""))
    }

    private func diagnosis(_ bench: String) throws -> Diagnosis {
        let kernel = SimKernel(try DoctorTests.topology(bench))
        let diagnosis = Diagnosis(kernel: kernel, depth: .init(opensDevices: true))
        #expect(kernel.open == [], "\(bench): something is left open")
        return diagnosis
    }

    private func report(_ diagnosis: Diagnosis, _ scenario: ScenarioDiagnosis? = nil) -> DoctorReport {
        let bench = Bench(
            kind: "sim", description: "test", isSimulated: true, tph: .auto, makeKernel: { SimKernel(Topology()) })
        return DoctorReport(diagnosis, bench, scenario)
    }

    private func scenario(_ file: String, _ diagnosis: Diagnosis, _ settings: [(name: String, value: String)] = [])
        throws
        -> ScenarioDiagnosis
    {
        let path = TranscriptTests.root + "/scripts/scenarios/\(file).lua"
        let description = try ScenarioDescription(path, DoctorTests.library, isSimulated: true)
        return try ScenarioDiagnosis(try #require(description.scenario), settings, diagnosis)
    }

    /// Bench, the obstacles that it has beside the usual, words that they say, the exit code.
    static let machines: [(bench: String, obstacles: [String], words: [String], status: Int32)] = [
        ("fine", [], [], 0),
        (
            "acs-redirect", ["route.acs-redirect"],
            [
                "ACS redirects it to the host bridge", "switch port 0000:11:01.0 (ACS rr,cr)",
                "request redirect, completion redirect at 0000:11:01.0;0000:11:00.0", "pci0000:00",
                "pci=disable_acs_redir=0000:11:01.0;0000:11:00.0",
            ], 1
        ),
        ("no-completer", ["hints.no-completer"], ["0000:12:00.0", "no TPH completer"], 0),
        (
            "sibling", ["device.sibling"],
            ["0000:12:00.0", "group 20", "0000:12:00.1", "the driver nvme", "peerlab bind 0000:12:00.1"], 1
        ),
        ("no-iommufd", ["iommufd.missing"], ["/dev/iommu", "modprobe iommufd"], 1),
        ("no-odp", ["nic.registers-not"], ["mlx5_0", "page faults", "EOPNOTSUPP"], 1),
        ("two-sockets", ["route.none"], ["host bridge pci0000:80 and pci0000:00", "EINVAL"], 1),
        ("no-hints", ["nic.no-dmah", "hints.notph", "hints.root-port"], ["pci=notph", "DMA handle"], 0),
        ("unbound", ["vfio.no-device"], ["peerlab bind 0000:12:00.0"], 1),
    ]

    @Test(arguments: machines)
    func findsWhatIsInTheWay(_ machine: (bench: String, obstacles: [String], words: [String], status: Int32)) throws {
        let diagnosis = try diagnosis(machine.bench)
        let obstacles = diagnosis.findings.filter { $0.state == .obstacle }
        // Of a device that is no completer the kernel does not say which revision of the series it has.
        let all = obstacles.map(\.id).filter { $0 != "device.hints-unknown" }
        #expect(all == machine.obstacles)
        let said = obstacles.map { "\($0.subject) \($0.what) \($0.detail) \($0.why) \($0.next)" }.joined(
            separator: "\n")
        for word in machine.words { #expect(said.contains(word), "\(word) is not in: \(said)") }
        #expect(report(diagnosis).status == machine.status)
        // Whatever stands in the way says what to do, and what cannot be done.
        for finding in obstacles { #expect(!finding.next.isEmpty && !finding.stops.isEmpty, "\(finding.id)") }
    }

    /// The doctor's word on a route is what the model of the kernel then does.
    @Test(arguments: machines.map(\.bench))
    func saysOfARouteWhatARegistrationAnswers(_ bench: String) throws {
        var topology = try DoctorTests.topology(bench)
        topology.nics[0].odp = true
        topology.hasIOMMUFD = true
        topology.devices[0].driver = "vfio-pci"
        let drive = topology.devices[0]
        topology.devices.removeAll { $0.group == drive.group && $0.address != drive.address }
        let kernel = SimKernel(topology)
        let route = try #require(Diagnosis(kernel: kernel, depth: .init(opensDevices: false)).routes.first).route
        var device = try VFIODevice.open(try #require(PCIAddress("0000:12:00.0")), via: .present, kernel: kernel)
        let range = vfio_region_dma_range(offset: 0, length: 4096)
        let buffer = try device.exportDMABuf(region: 4, ranges: [range], openFlags: 2)
        var context = try RDMAContext("mlx5_0", kernel: kernel)
        var pd = try context.allocPD()
        let refusal = pd.refusal(ofBuffer: buffer.descriptor)
        #expect((refusal == nil) == (route.kind != .notSupported), "\(String(describing: refusal?.message))")
        try pd.close()
        try context.close()
    }

    @Test func namesTheHops() throws {
        let route = try #require(diagnosis("fine").routes.first)
        #expect(route.route.kind == .busAddress && route.route.common == "0000:10:00.0")
        #expect(route.route.hops == ["0000:13:00.0", "0000:11:01.0", "0000:10:00.0", "0000:11:00.0", "0000:12:00.0"])
        let finding = try #require(diagnosis("fine").findings.first { $0.id == "route.straight" })
        #expect(
            finding.detail.contains(
                "0000:13:00.0 - switch port 0000:11:01.0 - switch's upstream port 0000:10:00.0 - switch port 0000:11:00.0 - "
                    + "0000:12:00.0"))
    }

    // MARK: Scenarios

    @Test(arguments: [
        ("fine", "tph-register", ScenarioDiagnosis.Verdict.runs), ("no-completer", "tph-register", .doesNot),
        ("no-hints", "tph-register", .doesNot), ("acs-redirect", "tph-register", .doesNot),
        ("no-odp", "tph-register", .doesNot), ("fine", "iommufd-p2p", .doesNot),
    ])
    func tellsWhetherAScenarioWouldRun(_ bench: String, _ file: String, _ verdict: ScenarioDiagnosis.Verdict) throws {
        let diagnosis = try diagnosis(bench)
        let scenario = try scenario(file, diagnosis)
        #expect(scenario.verdict == verdict, "\(scenario.findings.map(\.line))")
        #expect(report(diagnosis, scenario).status == (verdict == .runs ? 0 : 1))
    }

    @Test func namesTheDevicesOfAScenario() throws {
        let scenario = try scenario("tph-register", diagnosis("fine"))
        #expect(scenario.devices.sorted() == ["exporter=0000:12:00.0", "nic=mlx5_0"] && scenario.lacking == nil)
        let other = try self.scenario("iommufd-p2p", diagnosis("unbound"))
        #expect(try #require(other.lacking).contains("no function of this machine is one"))
    }

    @Test func refusesADeviceThatIsNotThere() throws {
        let diagnosis = try diagnosis("fine")
        #expect(throws: ErrorValue.self) { try scenario("tph-register", diagnosis, [("exporter", "0000:99:00.0")]) }
        #expect(throws: ErrorValue.self) { try scenario("tph-register", diagnosis, [("exportr", "auto")]) }
    }

    // MARK: Forms

    @Test func itsJSONCanBeReadAgain() throws {
        let report = report(try diagnosis("acs-redirect"))
        let bytes = try JSONText(pretty: true).encode(report)
        let again = try JSONDecoder().decode(DoctorReport.self, from: Data(bytes))
        #expect(again.format.version == 1 && again.bench.simulated && again.findings.count == report.findings.count)
        #expect(again.routes.first?.redirecting == ["0000:11:01.0", "0000:11:00.0"])
    }

    /// A guest that says it is another machine is not believed.
    @Test(arguments: ["sim", "host", "lab"]) func theLabsFindingsAreTheLabs(_ kind: String) throws {
        let bench = Bench(
            kind: kind, description: "kernel 1 in a box", isSimulated: false, tph: .auto,
            makeKernel: { SimKernel(Topology()) })
        let report = DoctorReport(try diagnosis("fine"), bench, nil)
        let bytes = try JSONText().encode(report)
        #expect(throws: (any Error).self) { try DoctorReport(ofLab: bytes) }
        let lab = Bench(
            kind: "lab", description: "kernel 1 in \(LabOptions.insides[0])", isSimulated: false, tph: .auto,
            makeKernel: { SimKernel(Topology()) })
        let own = try JSONText().encode(DoctorReport(try diagnosis("fine"), lab, nil))
        #expect(try DoctorReport(ofLab: own).bench.kind == "lab")
    }

    @Test func thePictureEscapesWhatItShows() throws {
        var report = report(try diagnosis("acs-redirect"))
        var topology = report.topology
        topology[0].title = "<script>alert(1)</script>\u{1b}[2J"
        report.topology = topology
        let text = TopologyDrawing(report).text
        #expect(!text.contains("<script") && !text.contains("\u{1b}") && text.contains("&lt;script&gt;"))
        #expect(text.contains("simulated, not a hardware result"))
        #expect(text.contains("0000:11:01.0  (in the way)"))
    }
}
