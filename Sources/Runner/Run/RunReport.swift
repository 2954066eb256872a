import Bindings
import Kernel
import LuaKit
import Synchronization

/// The result of a run: kept, shown and told as it comes.
final class RunReport {
    var result: ScenarioResult
    private let sinks: RunSinks
    private let deadline: Deadline?
    private let telling = Mutex(())

    /// Of a run that has not begun.
    init(_ script: ScenarioScript) {
        let bench = script.context.bench
        result = ScenarioResult(
            file: script.context.library.shown(script.file), name: script.name, verdict: .pass, bench: bench.kind,
            bench_description: bench.description, simulated: bench.isSimulated)
        result.seed = script.state.seed
        result.sandbox = bench.sandbox
        sinks = script.context.sinks
        deadline = script.context.deadline
    }

    /// The result without its cases, which are told one by one.
    var head: ScenarioResult {
        var head = result
        head.cases = []
        return head
    }

    /// Shows a line.
    func emit(_ line: String) { sinks.report(PrintableText.line(line)) }

    /// Tells how the run goes on. Threads of roles tell, too.
    func tell(_ event: RunEvent) {
        deadline?.take(event)
        telling.withLock { _ in sinks.events?(event) }
    }

    /// Keeps a case's end, tells and shows it.
    func add(_ one: CaseResult) {
        result.cases.append(one)
        tell(.ended(one))
        for line in Report.lines(one, simulated: result.simulated) { emit(line) }
    }

    /// Keeps and shows what makes results worth less.
    func warn(_ text: String, as mark: String = "WARNING") {
        result.warnings.append(text)
        emit("  \(mark): \(text)")
    }

    /// The whole scenario cannot be tried here.
    func skip(_ reasons: [String]) {
        result.skipped = reasons
        result.verdict = .skip
        for reason in reasons { emit("  skip  \(reason)") }
    }

    /// Keeps what the scenario's options were, and says it.
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

    /// Shows the end, and tells it.
    func end() {
        for line in Report.ending(result) { emit(line) }
        tell(.over(head))
    }
}
