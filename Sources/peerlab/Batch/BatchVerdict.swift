import Batch
import Glibc
import LuaKit
import Results
import Runner

/// What a process's end means for its scenario.
struct BatchVerdict {
    /// The attempt, with its outcome.
    let attempt: Attempt
    /// The scenario's report; for a process that was ended, made of the events before.
    let report: ChildReport?

    init(_ ending: ProcessExit, _ task: BatchTask) {
        let story = ChildStory(ending.result)
        let (outcome, reason, kind) = BatchVerdict.end(ending, story.report, task)
        let death = RunProgress.Death(
            kind: kind, reason ?? outcome.word, verdict: outcome == .interrupted ? .interrupted : .fail)
        report = story.report ?? story.report(endedBy: death)
        // Where the running case is known, the attempt's reason names it, so that all formats agree.
        let isCut = story.report == nil && report != nil
        let isLate = outcome == .timeout && report?.outcome == .timeout
        // An end that was expected of the running case. What came after a report was expected of none.
        let isExpected =
            report?.outcome == .expectedFailure && (story.report == nil || outcome == .timeout || outcome == .output)
        attempt = Attempt(
            outcome: isExpected ? .expectedFailure : outcome,
            reason: isCut || isLate || isExpected ? report?.reason : reason, exit: ending.exit,
            signal: ending.signal.map(BatchVerdict.name), wall_ns: ending.wall)
    }

    /// The outcome, the reason, and the kind of the error that the running case gets.
    private static func end(
        _ ending: ProcessExit, _ report: ChildReport?, _ task: BatchTask
    ) -> (outcome: Outcome, reason: String?, kind: ErrorKind) {
        switch ending.reason {
        case .timeout:
            guard let limit = task.timeLimit else {
                return (.timeout, "it took longer than \(task.timeout) s", .timeout)
            }
            let stuck = report == nil ? ", and it could not be stopped" : ""
            return (.timeout, "its time is over: \(limit)\(stuck)", .timeout)
        case .memory: return (.memory, lackOfMemory(task), .memory)
        case .output: return (.output, "it printed more than \(task.output >> 20) MiB", .output)
        case .result:
            return (
                .output, "its results take more than \(task.result >> 20) MiB: it logs or measures too much", .output
            )
        case .interrupted: return (.interrupted, "interrupted", .interrupt)
        case nil: break
        }
        // The process may notice the limit before this one does.
        if report?.result?.cases.contains(where: { $0.error?.kind == .output }) == true {
            return (.output, "it printed more than \(task.output >> 20) MiB", .output)
        }
        if let signal = ending.signal { return (.crash, "its process was ended by \(name(signal))", .crash) }
        if ending.exit == ProcessExit.outOfMemory { return (.memory, lackOfMemory(task), .memory) }
        guard let report else {
            // 125: the process failed before it ran anything of the scenario.
            if ending.exit == 125, ending.output.total == 0 {
                return (
                    .error,
                    "its process could not be made ready: too few descriptors (ulimit -n), or a limit below what is used",
                    .crash
                )
            }
            return (.crash, "its process exited with \(ending.exit ?? -1) and without a result", .crash)
        }
        return (report.outcome ?? .error, report.reason, .script)
    }

    private static func lackOfMemory(_ task: BatchTask) -> String {
        guard let script = task.scriptMemory, task.memory > script else {
            return "not enough memory: its process got no more"
        }
        return
            "not enough memory: its process may have the \(script >> 20) MiB of its script (--memory, or the scenario's "
            + "own limit) and \((task.memory - script) >> 20) MiB more"
    }

    private static let names: [Int32: String] = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP",
        SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1",
        SIGSEGV: "SIGSEGV", SIGUSR2: "SIGUSR2", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM",
        SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGSYS: "SIGSYS",
    ]

    static func name(_ signal: Int32) -> String { names[signal] ?? "signal \(signal)" }
}
