public import Devices
public import LuaKit

/// Whether a scenario would run on a machine that was looked at: by its `needs` and its devices.
public struct ScenarioDiagnosis {
    /// How it would end.
    public enum Verdict: String, Sendable, Codable {
        /// Nothing that was looked at stands in its way.
        case runs = "would run"
        /// Something does: it would be skipped, or what it tries would be refused.
        case doesNot = "would be skipped or fail"
        /// Something that decides could not be read, or was not tried.
        case undecided = "cannot be told"
    }

    /// The scenario's name.
    public let name: String
    /// Its needs.
    public let needs: [Need]
    /// The devices that its options would get: "exporter=0000:01:00.0".
    public private(set) var devices: [String] = []
    /// Why an option gets no device; nil where all do.
    public private(set) var lacking: String?
    /// The findings that concern it.
    public private(set) var findings: [Finding] = []
    /// See ``Verdict``.
    public private(set) var verdict = Verdict.runs

    /// Throws a "usage" error where a setting is wrong, or names a device that is not there.
    public init(_ scenario: Scenario, _ settings: [(name: String, value: String)], _ diagnosis: Diagnosis)
        throws(ErrorValue)
    {
        name = scenario.name
        needs = scenario.needs
        let values = try scenario.values(settings)
        let addresses = Set(diagnosis.functions.map { "\($0.address)" })
        for option in scenario.options {
            guard case .pci = option.kind, case .string(let text)? = values[option.name],
                let address = PCIAddress(text), !addresses.contains("\(address)")
            else { continue }
            throw ErrorValue(kind: .usage, "option '\(option.name)': this machine has no PCI function \(address)")
        }
        var used: Set<String> = []
        do throws(SkipReason) {
            let chosen = try DeviceChoice(
                scenario.options, needs: scenario.needs, from: diagnosis.exporters, values,
                DeviceChoice.Machine(
                    nics: {
                        let names = diagnosis.nics.map(\.name)
                        let unread = diagnosis.findings.first { $0.id == "nic.unread" }?.line
                        return (names, names.isEmpty ? unread ?? "this machine has no RDMA device" : "")
                    }, advice: { diagnosis.advice(onBinding: $0) }))
            for option in scenario.options where option.isDevice {
                guard case .string(let text)? = chosen.values[option.name] else { continue }
                devices.append("\(option.name)=\(text)")
                used.insert(PCIAddress(text).map { "\($0)" } ?? text)
            }
            if let device = chosen.subjects.device { used.insert("\(device)") }
            if let nic = chosen.subjects.nic { used.insert(nic) }
        } catch {
            lacking = error.reason
        }
        var purposes = Set(needs.map(\.purpose))
        if purposes.contains(.handles) { purposes.insert(.rdma) }
        if purposes.contains(.importer) { used.insert(KernelImporter.driver) }
        for option in scenario.options {
            switch option.kind {
            case .pci: purposes.insert(.vfio)
            case .rdma: purposes.insert(.rdma)
            default: continue
            }
        }
        judge(diagnosis, used, purposes)
    }

    private mutating func judge(_ diagnosis: Diagnosis, _ used: Set<String>, _ purposes: Set<Finding.Purpose>) {
        let all = used.union(diagnosis.nics.filter { used.contains($0.name) }.compactMap { $0.address.map { "\($0)" } })
        let usesNIC = !purposes.isDisjoint(with: [.rdma, .registration]), usesImporter = purposes.contains(.importer)
        var found = diagnosis.findings + diagnosis.unexamined(all)
        if usesImporter, diagnosis.importerNode.state == .obstacle, !found.contains(diagnosis.importerNode) {
            found.append(diagnosis.importerNode)
        }
        let concerned = found.filter { finding in
            guard finding.area != .candidates else { return false }
            // Where no device is chosen, all of them are of interest.
            let subjects = finding.subject.split(separator: " ").map(String.init).filter { $0 != "->" }
            guard lacking != nil || subjects.allSatisfy(all.contains) else { return false }
            guard usesNIC || finding.area != .nics else { return false }
            guard usesNIC || usesImporter || finding.area != .routes else { return false }
            guard !purposes.isDisjoint(with: [.hints, .handles]) || finding.area != .hints else { return false }
            return finding.stops.isEmpty ? finding.state != .unread : !finding.stops.isDisjoint(with: purposes)
        }
        findings = concerned.map(\.ofUsed)
        // A device that could not be read may be there.
        let isUnread = found.contains { ["pci.unread", "nic.unread"].contains($0.id) }
        if (lacking != nil && !isUnread) || findings.contains(where: { $0.state == .obstacle }) {
            verdict = .doesNot
        } else if lacking != nil || findings.contains(where: { $0.state == .unread }) {
            verdict = .undecided
        }
    }
}
