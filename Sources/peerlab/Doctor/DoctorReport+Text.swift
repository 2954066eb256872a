import Devices

/// The report as lines of text.
extension DoctorReport {
    private static let titles: [String: String] = [
        "kernel": "kernel", "iommu": "IOMMU", "vfio": "VFIO and iommufd", "devices": "devices that VFIO has",
        "candidates": "devices that could be bound", "nics": "RDMA devices", "importer": "importer in the kernel",
        "routes": "ways from importer to exporter",
        "hints": "hints (TPH)", "limits": "limits",
    ]

    private static let words: [String: String] = [
        "ok": "ok   ", "note": "note ", "unread": "?    ", "obstacle": "NO   ",
    ]

    /// All lines.
    var lines: [String] {
        var lines = [bench.line]
        for area in Finding.Area.allCases.map(\.rawValue) {
            let own = findings.filter { $0.area == area }
            guard !own.isEmpty else { continue }
            lines.append(DoctorReport.titles[area] ?? area)
            for finding in own { lines += DoctorReport.lines(finding) }
        }
        if !topology.isEmpty {
            lines.append("topology")
            lines += TopologyTree.lines(topology).map { "  " + $0 }
        }
        lines.append(scenario == nil ? "what can be done" : "what \(scenario?.name ?? "") needs")
        lines += purposes.map { purpose in
            let word = DoctorReport.words[purpose.state] ?? "?    "
            let more = purpose.reasons.count > 1 ? " (and \(purpose.reasons.count - 1) more)" : ""
            let reason = purpose.reasons.first.map { ": \($0)\(more)" } ?? ""
            return "  \(word) \(purpose.need)\(reason)"
        }
        return lines + verdict
    }

    private static func lines(_ finding: One) -> [String] {
        let subject = finding.subject.isEmpty ? "" : "\(finding.subject): "
        var lines = ["  \(words[finding.state] ?? "?    ") \(subject)\(finding.what)"]
        if !finding.detail.isEmpty { lines.append("        way: \(finding.detail)") }
        if !finding.why.isEmpty { lines.append("        why: \(finding.why)") }
        for command in finding.next { lines.append("        next: \(command)") }
        return lines
    }

    private var verdict: [String] {
        let what =
            bench.simulated
            ? " (of a model; not a hardware result)" : bench.kind == "lab" ? " (of emulated devices)" : ""
        guard let scenario else {
            switch status {
            case 0:
                let others = purposes.filter { !$0.counts && $0.state != "ok" }.map(\.need)
                let but = others.isEmpty ? "" : ", but not all is there for \(others.joined(separator: " and "))"
                return ["nothing stands in the way\(but)\(what)"]
            case 1: return ["something stands in the way: see NO above\(what)"]
            default: return ["nothing was found in the way, but not all could be read or was tried: see ? above\(what)"]
            }
        }
        let devices = scenario.devices.isEmpty ? "" : " with \(scenario.devices.joined(separator: " "))"
        return ["\(scenario.name) \(scenario.verdict)\(devices)\(what)" + (scenario.lacking.map { ": \($0)" } ?? "")]
    }
}
