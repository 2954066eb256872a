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

    /// Bytes by which the kernel's limit exceeds the given one, so that the watching thread notices first and can say
    /// why.
    private static let slack: UInt64 = 1 << 30

    /// From here on the process has only the rights that the command needs, and its time and memory are watched. Call
    /// it while there is one thread, before any text of the file is parsed. Where a limit ends the process, `outputs`
    /// are discarded.
    public func hold(_ command: String, _ confinement: Confinement, outputs: [ResultFile] = []) throws -> Sandbox {
        let limits = try Limits(timeout: timeout, memory: memory)
        var confinement = confinement
        confinement.time = limits.timeout
        let most = limits.memory ?? .max
        let resident = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        // Set before apply(), which forbids changes of limits.
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

    /// As above, for a command that only reads text. Prints what this kernel cannot enforce.
    public func hold(_ command: String, outputs: [ResultFile]) throws {
        process_count_signals()
        try hold(command, files: Confinement(reading: [], replaceable: outputs.compactMap(\.folder)), outputs: outputs)
    }

    /// As above, for a command that only works on files.
    public func hold(_ command: String, files: Confinement, outputs: [ResultFile] = []) throws {
        let sandbox = try hold(command, files, outputs: outputs)
        if !sandbox.missing.isEmpty { print("peerlab: \(sandbox.line)", to: STDERR_FILENO) }
    }
}

extension Limits {
    /// Values of `--timeout` and `--memory`.
    public init(timeout: String?, memory: String?) throws {
        self.init(
            timeout: timeout.flatMap(Limits.seconds), memory: memory.flatMap(parseSize).map { UInt64(clamping: $0) })
        guard timeout == nil || self.timeout != nil else {
            throw ValidationError("--timeout is 1ms to 100 days (2400h), such as 30s, 5m or 2h")
        }
        guard memory == nil || Limits.memories.contains(self.memory ?? 0) else {
            throw ValidationError(
                "--memory is 32M to 1024T: a process that does nothing takes nearly as much"
                    + (memory.map(nearSize) ?? ""))
        }
    }
}
