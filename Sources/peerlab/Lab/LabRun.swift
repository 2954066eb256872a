import ArgumentParser
import Commands
import Glibc
import Kernel
import LabBench
import Runner

/// A command of this program, or of an image of the user's, in the lab's guest.
struct LabRun {
    /// Seconds that a guest has, beside its command, to load modules, bind devices and end.
    static let setup = 15.0
    /// The most of a file or an archive that a guest is given, bytes.
    private static let longestInput = 1 << 30
    /// Seconds that a command has which says nothing of it.
    static let defaultTime = 3600.0

    /// The words behind the program's name, or a whole command where `program` is set.
    let command: [String]
    private let lab: LabOptions
    /// Further folders of Lua modules.
    private let lib: [String]
    /// A program of the user's image to run instead of this one.
    var program: String?
    /// Scenarios: each comes with the Lua files of its folder.
    var scripts: [String] = []
    /// Other files that the command reads, at the same paths in the guest.
    var inputs: [String] = []
    /// Files that are only the guest's: where, and what is in them.
    var made: [(place: String, contents: [UInt8])] = []
    /// Archives of the user's own, whose programs are in the guest too.
    var images: [String] = []
    /// What the command writes to `GuestJob.result(_:)`, and what becomes of it here.
    var results: [LabResult] = []
    /// Seconds that the command has.
    var time = LabRun.defaultTime
    /// Whether the devices for vfio-pci are left to the guest's peerlab.
    var bindsItself = false
    /// Whether what the command prints, beside errors, is not shown.
    var isQuiet = false
    /// Of `peerlab run`, what the guest tells of its scenarios.
    private var story: RunStory?
    /// Takes what programs tell by `GuestLine`.
    var told: (([UInt8]) -> Void)?

    /// `command` are words for the guest.
    init(_ lab: LabOptions, lib: [String] = [], _ command: [String]) {
        self.lab = lab
        self.lib = lib
        self.command = command
    }

    /// Boots, runs, brings results back. The result is what to exit with.
    func run() throws -> Int32 {
        let (verdict, isTold, problems) = try boot()
        let code = status(verdict, isTold: isTold)
        // What the guest says of its end is not to hide that something is missing.
        return code == ExitStatus.pass.rawValue && !problems.isEmpty ? ExitStatus.software.rawValue : code
    }

    /// The same, for who judges the guest's end for himself. `isTold` is whether the end of a guest that died stands in the report.
    func boot() throws -> (verdict: LabVerdict, isTold: Bool, problems: [String]) {
        let kernel = try LabKernel(lab.kernel)
        let setup = try LabSetup(lab, bindsItself: bindsItself, kernel: kernel)
        try kernel.check()
        for note in setup.notes { print("peerlab: \(note)", to: STDERR_FILENO) }
        let spools = try LabSpools(results)
        let image = try image(setup)
        var bench = LabBench(
            kernel: kernel.image, machine: setup.machine, emulator: try setup.emulator(),
            timeLimit: time + LabRun.setup, files: results.count)
        bench.server = setup.server
        let signals = SignalCount()
        let guestOutput = GuestOutput(), guestErrors = GuestOutput()
        let show = { (isError: Bool, bytes: [UInt8]) in
            if isError || !isQuiet {
                (isError ? guestErrors : guestOutput).add(bytes, to: isError ? STDERR_FILENO : STDOUT_FILENO)
            }
        }
        let verdict = bench.run(
            image: image, interrupts: { signals.value }, output: show, file: { spools.add($0.number, $0.bytes) },
            told: { bytes in
                story?.add(bytes)
                told?(bytes)
            }, again: { print("peerlab: \($0)", to: STDERR_FILENO) })
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
        // exit(3) takes eight bits, and 256 is not 0.
        case .finished(let code):
            // A signal ended the command, of which the shell's way to tell is no verdict.
            if story?.hasBegun == true, LabRun.isSignal(code) { return ExitStatus.fail.rawValue }
            return (0...255).contains(code) ? code : ExitStatus.software.rawValue
        case .interrupted, .timedOut:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            if case .timedOut = verdict { return ExitStatus.fail.rawValue }
            return ExitStatus.interrupted.rawValue
        case .noQEMU, .noKernel:
            print("peerlab: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.usage.rawValue
        case .refused:
            print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO)
            return ExitStatus.fail.rawValue
        case .panicked, .hung:
            if !isTold { print("peerlab: lab bench: \(verdict)", to: STDERR_FILENO) }
            // A kernel that dies or hangs while a scenario or a program of the user's runs is what that has found.
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

    /// Whether a command that ended so was ended by a signal, but for Ctrl-C, of which it tells itself.
    static func isSignal(_ code: Int32) -> Bool {
        (129...255).contains(code) && code != ExitStatus.interrupted.rawValue
    }

    /// What the guest is to have of this machine.
    private func image(_ setup: LabSetup) throws -> [[UInt8]] {
        do throws(Failure) {
            var image = try GuestImage(stdlib: StdlibFolders.all(extra: []))
            for folder in lib { image.addModules(of: folder, at: LabRun.place(folder)) }
            for file in scripts {
                image.addModules(of: LabRun.folder(of: file), at: LabRun.folder(of: LabRun.place(file)))
                let text = try InputFile.bytes(of: file, limit: InputFile.Limit.script, mayBeStream: true)
                image.add(text, at: LabRun.place(file))
            }
            for file in inputs {
                image.add(try InputFile.bytes(of: file, limit: LabRun.longestInput), at: LabRun.place(file))
            }
            for (place, contents) in made { image.add(contents, at: place) }
            for archive in (setup.libraries.map { [$0] } ?? []) + images {
                try image.append(archive: try InputFile.bytes(of: archive, limit: LabRun.longestInput), from: archive)
            }
            for module in setup.drivers + setup.modules {
                image.add(try InputFile.bytes(of: module.file, limit: LabRun.longestInput), at: module.path)
            }
            for note in image.notes { print("peerlab: \(note)", to: STDERR_FILENO) }
            return try image.bytes(
                GuestJob(
                    command: program.map { [$0] + command } ?? [GuestImage.program] + command,
                    environment: image.environment + LabRun.environment, directory: LabRun.directory(),
                    drivers: setup.drivers.map(\.path),
                    modules: setup.modules.map {
                        GuestJob.Module(path: $0.path, parameters: $0.parameters, unless: $0.sign)
                    },
                    bindings: setup.machine.devices.compactMap { device in
                        device.driver.map { GuestJob.Binding(identity: device.identity, driver: $0) }
                    }, files: results.count))
        } catch { throw ValidationError(error.message) }
    }

    /// Of our own variables those that say how to write for the user.
    private static var environment: [String] {
        ["TERM", "LANG", "LC_ALL", "LC_CTYPE", "NO_COLOR"].compactMap { (name: String) in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
    }

    /// The folder of the guest in which the command runs: the same as here, but for those that its kernel makes.
    private static func directory() -> String {
        let folder = absolute(".")
        return isKernels(folder) ? "/root" : folder
    }

    /// Where a file of this machine is in the guest.
    static func place(_ path: String) -> String {
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
    /// `peerlab run`, in the guest. `read` takes the JSON of its results, where somebody wants that.
    init(
        _ options: Run, _ limits: Limits, _ outputs: RunOutputs? = nil, results read: (([UInt8]) -> Void)? = nil
    ) throws {
        var results: [LabResult] = []
        /// The path in the guest of what goes to a file here.
        func result(_ file: ResultFile, _ name: String, _ kind: LabResult.Kind) -> String {
            results.append(LabResult(file, name, kind))
            return GuestJob.result(results.count - 1)
        }
        let on = options.on
        var words = ["run", "--bench", "host", "--inside-lab", on.lab.inside, "--tph-abi", on.tphAbi]
        for setting in on.settings { words += ["--set", setting] }
        words += try on.grants.words().flatMap { ["--\($0.word)", $0.value] }
        for folder in on.lib { words += ["--lib", LabRun.place(folder)] }
        if options.trace == "-" {
            words.append("--trace=-")
        } else if let trace = outputs?.trace {
            words.append("--trace=" + result(trace, "--trace", .text))
        }
        if options.tlp == "-" {
            words.append("--tlp=-")
        } else if let tlp = outputs?.tlp {
            words.append("--tlp=" + result(tlp, "--tlp", .text))
        }
        if let record = outputs?.record {
            words += ["--record", result(record, "--record", .record), "--record-model", on.lab.model]
        }
        for device in options.bind { words += ["--bind", device] }
        if let timeout = options.timeout { words += ["--timeout", timeout] }
        if let memory = options.memory { words += ["--memory", memory] }
        if let seed = options.seed { words += ["--seed=\(seed)"] }
        if let json = outputs?.json { words += ["--json", result(json, "--json", .results)] }
        if let read {
            results.append(LabResult("the results", .results, read: read))
            words += ["--json", GuestJob.result(results.count - 1)]
        }
        self.init(
            on.lab, lib: on.lib, words + ["--"] + options.files.map { LabRun.isKernels($0) ? LabRun.place($0) : $0 })
        self.results = results
        scripts = options.files
        story = RunStory(
            options.files.map { LabRun.isKernels($0) ? LabRun.place($0) : $0 }, accepts: LabResult.areLabs)
        bindsItself = !options.bind.isEmpty
        time = (limits.timeout ?? LabRun.defaultTime) * Double(options.files.count)
    }
}
