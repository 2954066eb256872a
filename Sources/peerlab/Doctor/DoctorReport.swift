import Devices
import Kernel
import Runner

/// What `peerlab doctor --json` writes. A later version adds keys; one that changes the meaning of a key has another `version`.
struct DoctorReport: Codable {
    /// Says what it is.
    struct Format: Codable {
        var name = "peerlab doctor"
        var version = 1
    }

    struct Machine: Codable {
        /// "sim", "lab" or "host".
        let kind: String
        let description: String
        /// Whether a model answered.
        let simulated: Bool
        /// The first line of the report.
        let line: String
    }

    struct One: Codable {
        let id: String
        let area: String
        let subject: String
        let state: String
        let what: String
        let detail: String
        let why: String
        let next: [String]
        /// What cannot be done because of it, by the words of a scenario's `needs`.
        let stops: [String]

        init(_ finding: Finding) {
            id = finding.id
            area = finding.area.rawValue
            subject = finding.subject
            state = finding.state.rawValue
            what = finding.what
            detail = finding.detail
            why = finding.why
            next = finding.next
            stops = finding.stops.map(\.rawValue).sorted()
        }
    }

    struct Way: Codable {
        let importer: String
        let exporter: String
        /// nil where what decides could not be read.
        let route: String?
        let hops: [String]
        let redirecting: [String]
        let unread: [String]
    }

    struct Purpose: Codable {
        let need: String
        /// "ok", "obstacle" or "unread".
        let state: String
        /// Whether it counts for the exit code where no scenario is named.
        let counts: Bool
        /// What stands in the way, or could not be read.
        let reasons: [String]
    }

    struct ScenarioVerdict: Codable {
        let name: String
        let needs: [String]
        let devices: [String]
        let lacking: String?
        let verdict: String
    }

    var format = Format()
    let bench: Machine
    /// All of them; with `--for` those that concern the scenario.
    let findings: [One]
    let routes: [Way]
    var topology: [TopologyTree.Node]
    let purposes: [Purpose]
    let scenario: ScenarioVerdict?

    init(_ diagnosis: Diagnosis, _ bench: Bench, _ scenario: ScenarioDiagnosis?) {
        self.bench = Machine(
            kind: bench.kind, description: bench.description, simulated: bench.isSimulated, line: bench.line)
        findings = (scenario?.findings ?? diagnosis.findings).map(One.init)
        routes = diagnosis.routes.map {
            Way(
                importer: "\($0.client)", exporter: "\($0.provider)", route: $0.route.kind?.rawValue,
                hops: $0.route.hops, redirecting: $0.route.redirecting, unread: $0.route.unread)
        }
        topology = TopologyTree(diagnosis).roots
        let needed = scenario.map { Set($0.needs.map(\.rawValue)) }
        // The lab's importer is of no interest where there is none and nobody asks.
        let hasImporter = diagnosis.findings.contains { $0.area == .importer }
        purposes = Finding.Purpose.allCases.filter {
            needed?.contains($0.rawValue) ?? ($0 != .importer || hasImporter)
        }.map { DoctorReport.purpose($0, scenario?.findings ?? diagnosis.findings) }
        self.scenario = scenario.map {
            ScenarioVerdict(
                name: $0.name, needs: $0.needs.map(\.rawValue), devices: $0.devices, lacking: $0.lacking,
                verdict: $0.verdict.rawValue)
        }
    }

    /// Hints need a kernel that nobody ships yet, handles are a NIC's own, type1 is the older of two ways, and the importer is the
    /// lab's.
    private static let optional: Set<Finding.Purpose> = [.hints, .handles, .type1, .importer]

    private static func purpose(_ purpose: Finding.Purpose, _ findings: [Finding]) -> Purpose {
        let concerned = findings.filter { $0.stops.contains(purpose) }
        let obstacles = concerned.filter { $0.state == .obstacle }, unread = concerned.filter { $0.state == .unread }
        let reasons = (obstacles.isEmpty ? unread : obstacles).map(\.line)
        return Purpose(
            need: purpose.rawValue, state: obstacles.isEmpty ? unread.isEmpty ? "ok" : "unread" : "obstacle",
            counts: !optional.contains(purpose), reasons: reasons)
    }

    /// 0: nothing stands in the way; 1: something does; 3: something that decides could not be read, or was not tried.
    var status: Int32 {
        if let scenario {
            switch ScenarioDiagnosis.Verdict(rawValue: scenario.verdict) {
            case .runs: return 0
            case .doesNot: return 1
            default: return 3
            }
        }
        let states = purposes.filter(\.counts).map(\.state)
        return states.contains("obstacle") ? 1 : states.contains("unread") ? 3 : 0
    }
}
