import ArgumentParser
import CKernel
import Commands
import Glibc
import Kernel
import Runner

/// What a command may take that works on a file which came from elsewhere: a record or a bundle.
struct ForeignLimits: ParsableArguments {
    @Option(help: ArgumentHelp("End it where it takes longer.", valueName: "30s"))
    var timeout = "10m"

    @Option(help: ArgumentHelp("How much memory it may have.", valueName: "256M"))
    var memory = "2G"

    func validate() throws { _ = try Limits(timeout: timeout, memory: memory) }

    /// The same options, for the program in the lab's guest.
    var words: [String] { ["--timeout", timeout, "--memory", memory] }

    /// `--timeout`, seconds.
    var seconds: Double { get throws { try Limits(timeout: timeout, memory: memory).timeout ?? LabRun.defaultTime } }

    /// What the kernel lets it have beyond, until the watching thread has noticed, bytes.
    private static let slack: UInt64 = 1 << 30

    /// Gives up what the command does not need, and watches time and memory, from here on. Call it while there is one thread,
    /// before anything of the file's text is understood.
    /// Of `outputs` nothing is left where it is ended.
    func hold(_ command: String, _ confinement: Confinement, outputs: [ResultFile] = []) throws -> Sandbox {
        let limits = try Limits(timeout: timeout, memory: memory)
        var confinement = confinement
        confinement.time = limits.timeout
        let most = limits.memory ?? .max
        let resident = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        let sandbox = confinement.apply()
        _ = sandbox_limit(SANDBOX_MEMORY, most.addingReportingOverflow(ForeignLimits.slack).partialValue)
        let (time, size) = (timeout, memory)
        ProcessLimits.watch(seconds: limits.timeout, memory: most, statm: resident) { reason in
            for output in outputs { output.discard() }
            guard reason != .signal else { _exit(ExitStatus.interrupted.rawValue) }
            let option = reason == .time ? "longer than --timeout \(time)" : "more memory than --memory \(size)"
            print("peerlab: \(command) takes \(option), and was ended", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        return sandbox
    }

    /// The same for a command that works on text alone; what is not enforced it says.
    func hold(_ command: String, outputs: [ResultFile]) throws {
        process_count_signals()
        let sandbox = try hold(
            command, Confinement(simulated: [], Library(stdlib: []), outputs: outputs, memory: 0), outputs: outputs)
        if !sandbox.missing.isEmpty { print("peerlab: \(sandbox.line)", to: STDERR_FILENO) }
    }
}
