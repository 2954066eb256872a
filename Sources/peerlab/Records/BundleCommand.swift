import ArgumentParser
import Batch
import Commands
import FoundationEssentials
import Glibc
import Kernel
import LabBench
import Records
import Runner

/// `peerlab bundle`
struct BundleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bundle", abstract: "Run a scenario and put all that shows its outcome into one text file.",
        discussion: """
            The bundle has the scenario, the modules of its folder that it loaded, options, environment, record and result; it is plain text \
            below 100 KB, for a mailing list. `peerlab run BUNDLE` runs it, `peerlab report BUNDLE` writes a mail. Exit codes: \
            0 the bundle is written, whether the scenario passed or failed, which is said, 2 it cannot be one, or the scenario \
            cannot be run, 70 a fault of peerlab's own or of the lab's guest, 130 interrupted.
            """)

    @OptionGroup var on: BenchOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("Write it to FILE; default: stdout.", valueName: "FILE"))
    var output: String?

    @Flag(help: "Take out names of hosts and users, network addresses and GUIDs, and say how many.")
    var redact = false

    @ArgumentParser.Argument(help: "A scenario, by file or name.", completion: .custom(Completions.scenarios))
    var file: String

    mutating func run() throws {
        file = try ShippedScenarios.path(file)
        var outputs = OutputFiles()
        outputs.read(scripts: [file])
        on.read(into: &outputs)
        let result = try outputs.write("--output", output ?? "-")
        let script = try RecordText.text(of: file, limit: InputFile.Limit.script)
        guard !Bundle.isBundle(script) else { throw ValidationError("\(file) is a bundle already") }
        try check()
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let code = try runScenario(folder)
        guard code == 0 || code == 1 || code == 4 else {
            print("peerlab: the scenario did not run; there is nothing to bundle", to: STDERR_FILENO)
            throw ExitCode(code)
        }
        var bundle = Bundle(header: header, files: try files(script, folder))
        if redact { try redact(&bundle) }
        leaveOut(&bundle)
        for file in bundle.files { print("goes in: \(file.name), \(file.text.utf8.count) bytes", to: STDERR_FILENO) }
        let text = bundle.text
        guard text.utf8.count <= Bundle.longest else {
            throw ValidationError(
                "the bundle would have \(text.utf8.count) bytes, and lists take \(Bundle.longest): bundle a smaller scenario"
            )
        }
        try result?.write(Array(text.utf8))
        let outcome = code == 0 ? "passed" : code == 4 ? "was skipped" : "failed"
        print("the scenario \(outcome); the bundle shows it", to: STDERR_FILENO)
    }

    /// Refuses names and values that could not be read back.
    private func check() throws {
        guard Bundle.isName(name(of: file)), file.hasSuffix(".lua") else {
            throw ValidationError(
                "a bundle's scenario is called NAME.lua, of letters, digits, '.', '-' and '_': rename \(file)")
        }
        for (key, value) in header where !Bundle.isValue(value) {
            throw ValidationError("\(key) '\(value)' has what no line of a mail carries")
        }
    }

    private var header: [(key: String, value: String)] {
        var header = [(key: "scenario", value: name(of: file)), ("bench", on.bench), ("peerlab", Peerlab.version)]
        for setting in on.settings { header.append(("set", setting)) }
        if on.tphAbi != "auto" { header.append(("tph-abi", on.tphAbi)) }
        if on.bench == "lab" {
            for (key, value) in on.lab.telling { header.append((key, value ?? "yes")) }
            header.append(("model", on.lab.model))
        }
        return header
    }

    private func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Runs the scenario, in a process of its own.
    private func runScenario(_ folder: TemporaryFolder) throws -> Int32 {
        var words = ["run", "--bench", on.bench, "--tph-abi", on.tphAbi]
        for setting in on.settings { words += ["--set", setting] }
        for place in on.lib { words += ["--lib", place] }
        for grant in on.grants.allow { words += ["--allow", grant] }
        for effect in on.grants.deny { words += ["--deny", effect] }
        if let rules = on.grants.rules { words += ["--rules", rules] }
        if let clock = on.lab.clock { words += ["--lab-clock", clock.rawValue] }
        if let accelerator = on.lab.accelerator { words += ["--lab-accel", accelerator.rawValue] }
        for (key, value) in on.lab.telling { words.append("--\(key)" + (value.map { "=\($0)" } ?? "")) }
        if let kernel = on.lab.kernel { words += ["--lab-kernel", kernel] }
        words += ["--record", folder.path("record"), "--json", folder.path("result.json"), "--", file]
        var ending: ProcessExit?
        var rest = [BatchTask(id: "run", index: 0, timeout: 3600)]
        let workers = Workers(jobs: 1) { _ in
            var arguments: [UnsafeMutablePointer<CChar>?] = ([ShippedFolders.program()] + words).map { strdup($0) }
            arguments.append(nil)
            execv(ShippedFolders.program(), arguments)
            return 127
        }
        try workers.run(next: { rest.popLast() }, finished: { ending = $1 })
        guard let ending else { return ExitStatus.software.rawValue }
        printRelayed(ending.output.text + ending.errors.text, to: STDERR_FILENO)
        return ending.exit ?? ExitStatus.software.rawValue
    }

    /// The scenario, modules of its folder that the run loaded, record and result; prints a line for each.
    private func files(_ script: String, _ folder: TemporaryFolder) throws -> [Bundle.File] {
        var files = [Bundle.File(name: name(of: file), text: script)]
        let place = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
        let loaded =
            (try? InputFile.bytes(of: folder.path("result.json"), limit: InputFile.Limit.results)).flatMap(
                Report.results)?
            .flatMap { $0.modules ?? [] } ?? []
        for module in loaded where !files.contains(where: { $0.name == module }) {
            do throws(Failure) {
                // Read in the same way as by the run's `require`.
                guard let bytes = try ModuleFile.bytes(of: module, in: place) else { continue }
                files.append(Bundle.File(name: module, text: String(decoding: bytes, as: UTF8.self)))
            } catch {
                throw ValidationError("the module \(module): \(error.message)")
            }
        }
        for (name, path) in [("record", folder.path("record")), ("result.json", folder.path("result.json"))]
        where access(path, R_OK) == 0 {
            files.append(Bundle.File(name: name, text: try RecordText.text(of: path)))
        }
        for file in files where !Bundle.isPlain(file.text) {
            throw ValidationError("\(file.name) has control characters, which no mail carries")
        }
        return files
    }

    private func redact(_ bundle: inout Bundle) throws {
        var names = utsname()
        uname(&names)
        let host = withUnsafeBytes(of: names.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let entry = getpwuid(getuid())
        let user = entry.map { String(cString: $0.pointee.pw_name) }
        let home = entry.map { String(cString: $0.pointee.pw_dir) }
        var redaction = Redaction(
            hosts: [host], users: [user, getenv("SUDO_USER").map { String(cString: $0) }].compactMap { $0 },
            folders: [home, LabRun.absolute(".")].compactMap { $0 }.filter { $0 != "/" })
        bundle.files = bundle.files.map { Bundle.File(name: $0.name, text: redaction.apply($0.text)) }
        bundle.header = bundle.header.map { ($0.key, redaction.apply($0.value)) }
        let taken = redaction.taken.isEmpty ? "nothing was found" : redaction.taken.joined(separator: ", ")
        bundle.header.append(("redacted", taken))
        print("redacted: \(taken)", to: STDERR_FILENO)
    }

    /// Leaves out a record that is too long for a mailing list; the bundle notes that.
    private func leaveOut(_ bundle: inout Bundle) {
        guard bundle.text.utf8.count > Bundle.longest, let record = bundle.file("record") else { return }
        bundle.files.removeAll { $0.name == "record" }
        let lines = record.split(separator: "\n").count
        bundle.header.append(("left out", "the record, of \(lines) lines and \(record.utf8.count) bytes"))
        print(
            "left out: the record has \(record.utf8.count) bytes; peerlab minimise makes records smaller",
            to: STDERR_FILENO)
    }
}

/// A folder that is removed with its files.
struct TemporaryFolder {
    let place: String

    init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/peerlab.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw ValidationError(
                "no folder for temporary files in \(base): \(Errno(errno).message) (\(Errno(errno).name))")
        }
        place = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func path(_ name: String) -> String { "\(place)/\(name)" }

    func remove() { try? FileManager.default.removeItem(atPath: place) }
}
