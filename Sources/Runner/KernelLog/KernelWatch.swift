import Kernel
import LuaKit

/// Judges the kernel's log during the cases of a run: a case during which the kernel complained fails, unless it
/// declared that.
final class KernelWatch {
    private let log: KernelLog?
    private let isSimulated: Bool
    private let state: LuaState
    /// News from between the cases.
    private var outside = KernelLog.News()

    /// `state` evaluates the script's patterns.
    init(_ context: RunContext, _ state: LuaState) {
        log = context.kernelLog
        isSimulated = context.bench.isSimulated
        self.state = state
    }

    /// Messages count from here on. Returns a warning where the log cannot be read.
    func begin() -> String? {
        guard let log else { return nil }
        log.begin()
        return log.unreadable.map {
            "the kernel's log cannot be read (\($0)), so whether it complained is not known; its taint flags are watched"
        }
    }

    /// Assigns news since the last case to no case.
    func leaveBetweenCases() {
        guard let news = log?.news() else { return }
        outside.reports += news.reports
        outside.taint |= news.taint
    }

    /// Adds the kernel's messages during a case; undeclared complaints and taint flags fail it.
    func judge(_ one: inout CaseResult) {
        var findings = one.kernel ?? KernelFindings()
        defer { one.kernel = findings.isEmpty ? nil : findings }
        guard let log, !isSimulated else {
            if !findings.expected.isEmpty || !findings.allowed.isEmpty {
                findings.unchecked =
                    isSimulated ? "the simulated bench has no kernel that logs" : "nobody watches it here"
            }
            return
        }
        let declared = findings.expected + findings.allowed
        var seen: Set<String> = []
        func isDeclared(_ line: String) -> Bool {
            let found = declared.filter { state.finds($0, in: line) }
            seen.formUnion(found)
            return !found.isEmpty
        }
        let news = log.news { line in if !declared.isEmpty { _ = isDeclared(line) } }
        let meant = news.reports.filter { $0.lines.contains(where: isDeclared) }
        let reports = news.reports.filter { !meant.contains($0) }
        // A declared complaint also excuses the taint flags that complaints set.
        let excused = meant.isEmpty ? 0 : Taint.ofReports
        let taint = (0..<64).map { UInt64(1) << $0 }.filter { bit in
            news.taint & bit & ~excused != 0 && !isDeclared("tainted: \(Taint.text(bit))")
        }.reduce(0, |)
        findings.lines = KernelFindings.kept(reports.flatMap(\.lines))
        if taint != 0 { findings.taint = Taint.text(taint) }
        if let reason = log.unreadable {
            if !findings.expected.isEmpty || !findings.allowed.isEmpty { findings.unchecked = reason }
        } else {
            findings.unseen = findings.expected.filter { !seen.contains($0) }
            if news.isCut { findings.unchecked = "lines were overwritten before they could be read" }
        }
        fail(&one, KernelWatch.complaint(reports, taint, findings))
    }

    /// Judges messages from before the first case, between cases, and from closing what was left open, as a case of its
    /// own; nil where there are none.
    func judgeOutside() -> CaseResult? {
        leaveBetweenCases()
        guard !outside.reports.isEmpty || outside.taint != 0 else { return nil }
        var one = CaseResult(name: "the kernel's log outside the cases", verdict: .pass, duration_ns: 0)
        var findings = KernelFindings()
        findings.lines = KernelFindings.kept(outside.reports.flatMap(\.lines))
        findings.taint = outside.taint == 0 ? nil : Taint.text(outside.taint)
        one.kernel = findings
        fail(&one, KernelWatch.complaint(outside.reports, outside.taint, findings))
        return one
    }

    private func fail(_ one: inout CaseResult, _ error: ErrorValue?) {
        // An earlier failure stays the case's failure.
        guard let error, one.verdict == .pass || one.verdict == .skip else { return }
        one.verdict = .fail
        one.message = error.message
        one.error = ErrorFields(error)
    }

    private static func complaint(
        _ reports: [KernelReports.Report], _ taint: UInt64, _ findings: KernelFindings
    ) -> ErrorValue? {
        if let first = reports.first {
            let more = reports.count > 1 ? ", and \(reports.count - 1) more" : ""
            return ErrorValue(kind: .kernelLog, "the kernel complained: \(first.title)\(more)")
        }
        if taint != 0 { return ErrorValue(kind: .kernelLog, "the kernel is tainted since: \(Taint.text(taint))") }
        guard let pattern = findings.unseen.first, findings.unchecked == nil else { return nil }
        return ErrorValue(
            kind: .kernelLog, "the kernel did not log what the case declared with t:expect_kernel_log: '\(pattern)'")
    }
}
