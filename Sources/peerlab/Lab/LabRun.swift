import ArgumentParser
import Commands
import Glibc
import Kernel
import LabBench
import Runner

/// Runs a command of this program, or of a user's image, in the lab's guest.
struct LabRun {
    /// Most bytes of a file or an archive for the guest.
    private static let longestInput = 1 << 30
    /// Default time limit of a command, seconds.
    static let defaultTime = 3600.0

    /// Arguments of this program, or a whole command line where `program` is set.
    let command: [String]
    private let lab: LabOptions
    /// Further folders of Lua modules.
    private let lib: [String]
    /// A program of the user's image to run instead of this one.
    var program: String?
    /// Scenarios; the Lua files of each one's folder are copied too.
    var scripts: [String] = []
    /// Other files that the command reads, at the same paths in the guest.
    var inputs: [String] = []
    /// Files that exist only in the guest: path and content.
    var made: [(path: String, contents: [UInt8])] = []
    /// The user's archives, whose programs are unpacked in the guest.
    var images: [String] = []
    /// Files that the command writes to `GuestJob.result(_:)`, and their destinations here.
    var results: [LabResult] = []
    /// Time limit of the command, seconds.
    var time = LabRun.defaultTime
    /// Whether the guest's peerlab binds devices to vfio-pci itself.
    var bindsItself = false
    /// Whether the command's standard output is hidden; errors are shown.
    var isQuiet = false
    /// For `peerlab run`: progress of the scenarios, as the guest reports it.
    private var story: RunStory?
    /// Gets messages that programs send by `GuestLine`.
    var told: (([UInt8]) -> Void)?

    /// `command`: the command line in the guest.
    init(_ lab: LabOptions, lib: [String] = [], _ command: [String]) {
        self.lab = lab
        self.lib = lib
        self.command = command
    }

    /// Boots the guest, runs the command and fetches the results. Returns the exit code.
    func run() throws -> Int32 {
        let (verdict, isTold, problems) = try boot()
        let code = status(verdict, isTold: isTold)
        // A missing file turns a pass into a failure.
        return code == ExitStatus.pass.rawValue && !problems.isEmpty ? ExitStatus.software.rawValue : code
    }

    /// The same, for callers that judge the guest's end themselves. `isTold`: the report already contains the guest's
    /// death.
    func boot() throws -> (verdict: LabVerdict, isTold: Bool, problems: [String]) {
        let kernel = try LabKernel(lab.kernel)
        let setup = try LabSetup(lab, bindsItself: bindsItself, kernel: kernel)
        try kernel.check()
        for note in setup.notes { print("peerlab: \(note)", to: STDERR_FILENO) }
        let spools = try LabSpools(results)
        var bench = LabBench(kernel: kernel.image, machine: setup.machine, emulator: try setup.emulator())
        bench.server = setup.server
        let command = try guestCommand(setup)
        let signals = SignalCount()
        let progress = BootProgress()
        let guestOutput = GuestOutput(), guestErrors = GuestOutput()
        let show = { (isError: Bool, bytes: [UInt8]) in
            progress.hear()
            if isError || !isQuiet {
                (isError ? guestErrors : guestOutput).add(bytes, to: isError ? STDERR_FILENO : STDOUT_FILENO)
            }
        }
        let verdict: LabVerdict
        do throws(Failure) {
            // What it has of files is not kept while the guest runs.
            verdict = try bench.run(
                command: consume command,
                note: {
                    progress.clear()
                    print("peerlab: \($0)", to: STDERR_FILENO)
                },
                interrupts: {
                    progress.tick()
                    return signals.value
                }, output: show, file: { spools.add($0.number, $0.bytes) },
                told: { bytes in
                    progress.hear()
                    story?.add(bytes)
                    told?(bytes)
                },
                again: {
                    progress.clear()
                    print("peerlab: \($0)", to: STDERR_FILENO)
                })
        } catch {
            progress.clear()
            throw ValidationError(error.message)
        }
        progress.clear()
        guestOutput.end(to: STDOUT_FILENO)
        guestErrors.end(to: STDERR_FILENO)
        var isTold = false
        if let story, !spools.hasResults,
            let lost = story.results(endedBy: { RunProgress.Death.of(verdict, in: $0) })
        {
            let lines = story.lines(of: lost)
            isTold = !lines.isEmpty
            for line in lines { printRelayed(line, to: STDOUT_FILENO) }
            spools.replaceResults(try Report.json(lost, version: Peerlab.version))
        }
        let problems = spools.finish()
        for problem in problems { print("peerlab: \(problem)", to: STDERR_FILENO) }
        return (verdict, isTold, problems)
    }

    private func status(_ verdict: LabVerdict, isTold: Bool) -> Int32 {
        switch verdict {
        // exit(3) keeps eight bits: 256 would become 0, so such a code is an error.
        case .finished(let code):
            // A signal ended the command. Codes above 128 are the shell's notation, not one of our exit codes.
            if story?.hasBegun == true, LabRun.isSignal(code) { return ExitStatus.fail.rawValue }
            return (0...255).contains(code) ? code : ExitStatus.software.rawValue
        case .interrupted, .timedOut:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            if case .timedOut = verdict { return ExitStatus.fail.rawValue }
            return ExitStatus.interrupted.rawValue
        case .noQEMU, .noKernel:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.usage.rawValue
        // Not 70, which scripts try again: a crash of this program's own devices is never bad luck.
        case .refused, .devicesFailed:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.fail.rawValue
        case .panicked, .hung:
            if !isTold { print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO) }
            // A crash or hang during a scenario or a user's program is a finding (1), otherwise a fault of the lab
            // (70).
            let isFinding = story?.hasBegun ?? (program != nil)
            return isFinding ? ExitStatus.fail.rawValue : ExitStatus.software.rawValue
        default:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            if case .neverBooted = verdict, lab.accelerator == .kvm {
                print(
                    "peerlab: this machine's KVM may not be able to run it: leave out --lab-accel kvm",
                    to: STDERR_FILENO)
            }
            return ExitStatus.software.rawValue
        }
    }

    /// Whether an exit code means that a signal ended the command. SIGINT does not count: the command reports that
    /// itself.
    static func isSignal(_ code: Int32) -> Bool {
        (129...255).contains(code) && code != ExitStatus.interrupted.rawValue
    }

    /// The command with all that the guest is to have of this machine.
    private func guestCommand(_ setup: LabSetup) throws -> GuestCommand {
        do throws(Failure) {
            let input = { (path: String) throws(Failure) in
                try InputFile.bytes(of: path, limit: LabRun.longestInput)
            }
            var guest = GuestCommand([program ?? GuestImage.program] + command, time: time)
            guest.environment = LabRun.environment
            guest.directory = LabRun.directory()
            guest.results = results.count
            guest.stdlib = ShippedFolders.stdlib(extra: [])
            guest.modules = lib.map { ($0, LabRun.path($0)) }
            for file in scripts {
                guest.modules.append((LabRun.folder(of: file), LabRun.folder(of: LabRun.path(file))))
                let text = try InputFile.bytes(of: file, limit: InputFile.Limit.script, mayBeStream: true)
                guest.files.append((LabRun.path(file), text))
            }
            for file in inputs { guest.files.append((LabRun.path(file), try input(file))) }
            guest.files += made
            for archive in images { guest.archives.append((try input(archive), archive)) }
            if let libraries = setup.libraries { guest.libraries = (try input(libraries), libraries) }
            let module = { (one: LabModule) throws(Failure) in
                GuestModule(
                    path: one.path, contents: try input(one.file), parameters: one.parameters, unless: one.sign)
            }
            for one in setup.drivers { guest.drivers.append(try module(one)) }
            for one in setup.modules { guest.kernelModules.append(try module(one)) }
            return guest
        } catch { throw ValidationError(error.message) }
    }

    /// Variables about language and terminal, which are passed on to the guest.
    private static var environment: [String] {
        ["TERM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR"].compactMap { (name: String) in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
    }

    /// The working folder in the guest: the same path as here, except for folders of virtual file systems.
    private static func directory() -> String {
        let folder = absolute(".")
        return isKernels(folder) ? "/root" : folder
    }

    /// The guest's path of a file of this machine.
    static func path(_ path: String) -> String {
        let path = absolute(path)
        guard isKernels(path) else { return path }
        return "/root/" + (path.split(separator: "/").last.map(String.init) ?? "file")
    }

    private static func isKernels(_ path: String) -> Bool {
        ["/dev", "/proc", "/sys"].contains { path == $0 || path.hasPrefix($0 + "/") }
    }

    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }

    static func absolute(_ path: String) -> String {
        let absolute = FormOptions.absolute(path)
        guard absolute.hasSuffix("/.") else { return absolute }
        return absolute == "/." ? "/" : String(absolute.dropLast(2))
    }
}

extension LabRun {
    /// `peerlab run` for scenarios in the guest. `words`: further options; `results`: files that those options write.
    static func scenarios(
        _ files: [String], _ on: BenchOptions, settings: [String], _ words: [String] = [], results: [LabResult],
        timeout: Double? = nil
    ) throws -> LabRun {
        var all = ["run", "--bench", "host", "--inside-lab", on.lab.inside, "--tph-abi", on.tphAbi]
        for setting in settings { all += ["--set", setting] }
        all += try on.grants.words().flatMap { ["--\($0.word)", $0.value] }
        for folder in on.lib { all += ["--lib", LabRun.path(folder)] }
        let paths = files.map { LabRun.isKernels($0) ? LabRun.path($0) : $0 }
        var run = LabRun(on.lab, lib: on.lib, all + words + ["--"] + paths)
        run.results = results
        run.scripts = files
        run.story = RunStory(paths, accepts: LabResult.areLabs)
        run.time = (timeout ?? LabRun.defaultTime) * Double(files.count)
        return run
    }

    /// From the options of `peerlab run`.
    init(_ options: Run, _ limits: Limits, _ outputs: RunOutputs) throws {
        var results: [LabResult] = []
        /// The guest's path for a result that is written to a file here.
        func result(_ file: ResultFile, _ name: String, _ kind: LabResult.Kind) -> String {
            results.append(LabResult(file, name, kind))
            return GuestJob.result(results.count - 1)
        }
        var words: [String] = []
        if options.trace == "-" {
            words.append("--trace=-")
        } else if let trace = outputs.trace {
            words.append("--trace=" + result(trace, "--trace", .text))
        }
        if options.tlp == "-" {
            words.append("--tlp=-")
        } else if let tlp = outputs.tlp {
            words.append("--tlp=" + result(tlp, "--tlp", .text))
        }
        if let record = outputs.record {
            words += ["--record", result(record, "--record", .record), "--record-model", options.on.lab.model]
        }
        for device in options.bind { words += ["--bind", device] }
        if let timeout = options.timeout { words += ["--timeout", timeout] }
        if let memory = options.memory { words += ["--memory", memory] }
        if let seed = options.seed { words += ["--seed=\(seed)"] }
        words += options.cases.words
        if let path = options.expect.path { words += ["--expect", LabRun.path(path)] }
        if let json = outputs.json { words += ["--json", result(json, "--json", .results)] }
        self = try LabRun.scenarios(
            options.files, options.on, settings: options.on.settings, words, results: results, timeout: limits.timeout)
        inputs = [options.expect.path].compactMap { $0 }
        bindsItself = !options.bind.isEmpty
    }

    /// For one scenario; `read` gets its result as JSON.
    init(
        _ file: String, _ on: BenchOptions, settings: [(name: String, value: String)],
        read: @escaping ([UInt8]) -> Void
    ) throws {
        self = try LabRun.scenarios(
            [file], on, settings: settings.map { "\($0.name)=\($0.value)" }, ["--json", GuestJob.result(0)],
            results: [LabResult("the results", .results, read: read)])
    }
}
