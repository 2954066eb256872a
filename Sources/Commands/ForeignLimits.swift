public import ArgumentParser
import CKernel
import Glibc
import Kernel
import LuaKit
public import Runner

/// Limits of a command that works on a file of unknown origin: a record, a bundle, a journal or a store.
public struct ForeignLimits: ParsableArguments {
    /// The default limits.
    public init() {}

    /// `--timeout`
    @Option(help: ArgumentHelp("End it where it takes longer.", valueName: "30s"))
    public var timeout = "10m"

    /// `--memory`
    @Option(help: ArgumentHelp("How much memory it may have.", valueName: "256M"))
    public var memory = "2G"

    /// See `ParsableArguments`.
    public func validate() throws { _ = try Limits(timeout: timeout, memory: memory) }

    /// How far the kernel's limit lies above, bytes: the watching thread should notice first.
    private static let slack: UInt64 = 1 << 30

    /// Gives up what the command does not need, and watches time and memory, from here on. Call it while there is one thread,
    /// before anything of the file's text is understood. Where it is ended, nothing is left of `outputs`.
    public func hold(_ command: String, _ confinement: Confinement, outputs: [ResultFile] = []) throws -> Sandbox {
        let limits = try Limits(timeout: timeout, memory: memory)
        var confinement = confinement
        confinement.time = limits.timeout
        let most = limits.memory ?? .max
        let resident = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        // Before the limits are kept from being changed.
        let kernel = most.addingReportingOverflow(ForeignLimits.slack)
        if !kernel.overflow { _ = sandbox_limit(SANDBOX_MEMORY, kernel.partialValue) }
        let sandbox = confinement.apply()
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

    /// The same for a command that reads text alone. It reports what this kernel cannot enforce.
    public func hold(_ command: String, outputs: [ResultFile]) throws {
        process_count_signals()
        try hold(command, files: Confinement(reading: [], replaceable: outputs.compactMap(\.folder)), outputs: outputs)
    }

    /// The same for one that works on files alone.
    public func hold(_ command: String, files: Confinement, outputs: [ResultFile] = []) throws {
        let sandbox = try hold(command, files, outputs: outputs)
        if !sandbox.missing.isEmpty { print("peerlab: \(sandbox.line)", to: STDERR_FILENO) }
    }
}

extension Limits {
    /// `--timeout` and `--memory`.
    public init(timeout: String?, memory: String?) throws {
        self.init(
            timeout: timeout.flatMap(Limits.seconds), memory: memory.flatMap(parseSize).map { UInt64(clamping: $0) })
        guard timeout == nil || self.timeout != nil else {
            throw ValidationError("--timeout is 1ms to 100 days (2400h), such as 30s, 5m or 2h")
        }
        guard memory == nil || Limits.memories.contains(self.memory ?? 0) else {
            throw ValidationError("--memory is 32M to 1024T: a process that does nothing takes nearly as much")
        }
    }
}
