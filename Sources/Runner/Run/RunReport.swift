import Bindings
import Kernel
import LuaKit
import Synchronization

/// The result of a run: collected, shown and passed on while the run proceeds.
final class RunReport {
    var result: ScenarioResult
    private let sinks: RunSinks
    private let deadline: Deadline?
    private let telling = Mutex(())

    /// For a run that has not begun.
    init(_ script: ScenarioScript) {
        let bench = script.context.bench
        result = ScenarioResult(
            file: script.context.library.shown(script.file), name: script.name, verdict: .pass, bench: bench.kind,
            bench_description: bench.description, simulated: bench.isSimulated)
        result.seed = script.state.seed
        result.sandbox = bench.sandbox
        sinks = script.context.sinks
        deadline = script.context.deadline
        expect(script.context.expected)
    }

    /// The result without its cases, which are passed on one by one.
    var head: ScenarioResult {
        var head = result
        head.cases = []
        return head
    }

    /// Adds failures that are expected of the run.
    func expect(_ failures: [ExpectedFailure]) {
        let all = (result.expected_failures ?? []) + failures
        result.expected_failures = all.isEmpty ? nil : all
    }

    /// Shows a line.
    func emit(_ line: String) { sinks.report(PrintableText.line(line)) }

    /// Passes an event on. Threads of roles do so too.
    func tell(_ event: RunEvent) {
        deadline?.take(event)
        telling.withLock { _ in sinks.events?(event) }
    }

    /// Adds a case's result, passes it on and shows it. `isCase`: whether it is one of the scenario's cases; `printed`:
    /// further lines of it, which are shown already.
    func add(_ one: CaseResult, isCase: Bool = true, printed: [String] = []) {
        var one = one
        one.judge(result.expected_failures ?? [], isCase: isCase)
        let lines = Report.lines(one, simulated: result.simulated)
        one.log = printed + one.log
        result.cases.append(one)
        tell(.ended(one))
        for line in lines { emit(line) }
    }

    /// Adds and shows a reason for which results are less reliable.
    func warn(_ text: String, as mark: String = "WARNING") {
        result.warnings.append(text)
        emit("  \(mark): \(text)")
    }

    /// Marks the whole scenario as skipped.
    func skip(_ reasons: [String]) {
        result.skipped = reasons
        result.verdict = .skip
        for reason in reasons { emit("  skip  \(reason)") }
    }

    /// Leaves out the whole scenario, as none of its cases is selected.
    func leaveOut(_ cases: [String], because reason: String = CaseSelection.reasonForAll) {
        tell(.loaded(head, cases: cases))
        for one in cases.map(CaseResult.init(notSelected:)) {
            result.cases.append(one)
            tell(.ended(one))
        }
        emit("  not run  \(reason)")
    }

    /// Adds and shows the values of the scenario's options.
    func keep(_ options: [OptionSchema], _ settings: [(name: String, value: String)], _ chosen: DeviceChoice) {
        var plainValues: [String: String] = [:]
        for option in options {
            guard let value = chosen.values[option.name] else { continue }
            let text = option.written(settings) ?? plainText(value)
            result.options[option.name] = text
            if let plain = option.plain(value), plain != text { plainValues[option.name] = plain }
        }
        result.option_values = plainValues.isEmpty ? nil : plainValues
        let words = result.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if !words.isEmpty { emit("  " + words.joined(separator: " ")) }
    }

    /// Shows the final lines, and passes the result on.
    func end() {
        for line in Report.ending(result) { emit(line) }
        tell(.over(head))
    }
}
