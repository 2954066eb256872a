import Commands
import ArgumentParser
import CKernel
import Dispatch
import Glibc
import Synchronization

/// `peerlab run --bench lab`: the same command with the host bench, inside the guest.
struct LabRun {
    /// What the guest's peerlab calls its bench.
    static let inside = "QEMU with emulated devices"

    private let on: BenchOptions
    private let command: [String]
    private let results: [(name: String, destination: String)]
    /// Whether the devices for vfio-pci are left to the guest's peerlab.
    private var bindsItself = false

    /// `command` is run in the guest; what it writes as `results` to its share goes where they say.
    init(_ on: BenchOptions, command: [String], results: [(name: String, destination: String)]) {
        self.on = on
        self.command = command
        self.results = results
    }

    /// `peerlab run`, in the guest.
    init(_ options: Run) {
        // Files are written to the job's share; the bench takes them from there to where the user wants them.
        var files: [(name: String, destination: String)] = []
        if let json = options.json { files.append(("results.json", LabRun.absolute(json))) }
        if let trace = options.trace, trace != "-" { files.append(("trace", LabRun.absolute(trace))) }
        if let record = options.record { files.append(("record", LabRun.absolute(record))) }
        self.init(options.on, command: LabRun.command(options), results: files)
        bindsItself = !options.bind.isEmpty
    }

    /// Boots, runs, brings results back. The result is what to exit with.
    func run() throws -> Int32 {
        let setup = try LabSetup(
            tph: on.labTph, importer: on.labImporter, fabric: on.labMachine, clock: on.labClock ?? .host,
            bindsItself: bindsItself, folder: LabRun.absolute(LabBench.builtModules))
        let kernel = on.labKernel ?? LabBench.builtKernel
        guard access(kernel, R_OK) == 0 else {
            throw ValidationError(
                "the lab bench has no kernel image at \(kernel): name one with --lab-kernel FILE or "
                    + "PEERLAB_LAB_KERNEL; scripts/lab/build-kernel makes one")
        }
        guard let guestInit = LabBench.installedGuestInit else {
            throw ValidationError("scripts/lab/guest-init is not beside this program")
        }
        // Before there is a second thread.
        let watch = process_watch()
        defer { if watch >= 0 { process_watch_end(Int32(truncatingIfNeeded: watch)) } }
        let bench = LabBench(
            kernel: LabRun.absolute(kernel), guestInit: guestInit, command: command,
            workingDirectory: LabRun.absolute("."),
            results: results, machine: setup.machine, watch: Int32(clamping: watch), modules: setup.modules)
        let signals = SignalCount()
        let verdict = waiting { await bench.run { signals.value } }
        switch verdict {
        case .finished(let code): return code
        case .interrupted:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.interrupted.rawValue
        case .noQEMU, .noKernel:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.usage.rawValue
        default:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.software.rawValue
        }
    }

    /// Only the lab needs concurrency, so the rest of the program starts without it. Nothing of the task runs on this
    /// thread, which therefore may wait.
    private func waiting(_ body: @escaping @Sendable () async -> LabVerdict) -> LabVerdict {
        let done = DispatchSemaphore(value: 0)
        let verdict = Mutex<LabVerdict>(.qemuFailed(stderr: "not started"))
        Task.detached {
            let value = await body()
            verdict.withLock { $0 = value }
            done.signal()
        }
        done.wait()
        return verdict.withLock { $0 }
    }

    private static func command(_ options: Run) -> [String] {
        // For scripts/lab/bench, which runs other programs beside this one in a guest.
        if let command = getenv("PEERLAB_LAB_COMMAND") { return ["/bin/sh", "-c", String(cString: command)] }
        var words = [StdlibFolders.program(), "run", "--bench", "host", "--inside-lab", LabRun.inside]
        words += ["--tph-abi", options.on.tphAbi]
        for setting in options.on.settings { words += ["--set", setting] }
        for effect in options.on.grants.deny { words += ["--deny", effect] }
        for folder in options.on.lib { words += ["--lib", folder] }
        if let trace = options.trace { words.append(trace == "-" ? "--trace=-" : "--trace=\(LabJob.share)/trace") }
        if options.record != nil {
            words += ["--record", "\(LabJob.share)/record", "--record-model", options.on.labModel]
        }
        for device in options.bind { words += ["--bind", device] }
        if let timeout = options.timeout { words += ["--timeout", timeout] }
        if let memory = options.memory { words += ["--memory", memory] }
        if let seed = options.seed { words += ["--seed=\(seed)"] }
        if options.json != nil { words += ["--json", "\(LabJob.share)/results.json"] }
        return words + ["--"] + options.files
    }

    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        guard let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return path == "." ? String(cString: folder) : String(cString: folder) + "/" + path
    }
}
