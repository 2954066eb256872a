import Bindings
import Kernel
public import LuaKit

/// Lines of Lua that a user types, run on a bench one after the other. Objects stay open from line to line, and are
/// closed at the end.
public final class InteractiveRun {
    private let script: ScenarioScript
    /// Runs the lines.
    public let session: Session

    /// Prepares a bench. `context` has it, and the receiver of what the lines print.
    public init(in context: RunContext) throws(ErrorValue) {
        script = try ScenarioScript("./repl", text: [], in: context, kernel: RunKernels(context).first)
        session = try Session(in: script.state, support: "repl", modules: modules.map(\.name))
    }

    /// Runs a text, which begins on a line of all that was typed. Ctrl-C stops it, and the next one runs.
    public func run(_ text: String, from line: Int) throws(ErrorValue) -> Session.Outcome {
        try stoppable { () throws(ErrorValue) in try session.run(text, name: "line", from: line) }
    }

    /// What an expression's first value is; nil where it is nil.
    public func kind(of expression: String) throws(ErrorValue) -> Session.Kind? {
        try stoppable { () throws(ErrorValue) in try session.kind(of: expression) }
    }

    /// Runs something that Ctrl-C stops, with the output that one line may have.
    private func stoppable<Result>(_ body: () throws(ErrorValue) -> Result) throws(ErrorValue) -> Result {
        script.host.printed = 0
        script.state.stopOnSignals()
        defer {
            script.state.ignoreSignals()
            session.goOn()
        }
        return try body()
    }

    /// What `t:log` has added since the last call, and what went wrong while objects that no variable has any more were
    /// closed.
    public func takeNotes() -> (log: [String], failures: [ErrorValue]) {
        // Finalizers run, which may not end.
        try? stoppable { () throws(ErrorValue) in script.state.collect() }
        defer { script.host.log = [] }
        _ = script.state.takeFailuresOfClosing()
        let finalizers = script.state.takeFailuresOfFinalizers().map(\.error)
        return (script.host.log, script.state.takeFailuresOfCollecting() + finalizers)
    }

    /// Closes what is open, the kernel's objects too; returns what went wrong.
    public func close() -> [ErrorValue] {
        script.host.printed = 0
        script.state.stopOnSignals()
        script.state.close()
        script.state.ignoreSignals()
        return script.state.takeFailuresOfCollecting() + script.state.takeFailuresOfFinalizers().map(\.error)
    }
}
