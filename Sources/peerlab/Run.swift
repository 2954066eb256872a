import ArgumentParser
import Devices
import FoundationEssentials
import Glibc
import Kernel
import LuaKit
import Runner
import Synchronization

/// `peerlab run`
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run scenarios or scripts.",
        discussion: """
            Benches: sim[:NAME or FILE] is a model of kernel, PCIe and NIC inside this process and needs nothing; lab \
            boots a real kernel in QEMU with emulated devices; host uses this machine's devices.
            """)

    @Option(help: "sim[:NAME or FILE], lab, or host.")
    var bench = "sim"

    @Option(name: .customLong("set"), help: ArgumentHelp("Set a scenario's option.", valueName: "option=value"))
    var settings: [String] = []

    @Option(help: ArgumentHelp("Print every ioctl and verb, decoded, to FILE or to stderr.", valueName: "FILE"))
    var trace: String?

    @Option(help: ArgumentHelp("Write the results to FILE.", valueName: "FILE"))
    var json: String?

    @Option(
        help: ArgumentHelp(
            "Which DMA_BUF_TPH ABI the kernel has: auto identifies it or refuses.", valueName: "NAME[@NUMBER]|auto|off")
    )
    var tphAbi = "auto"

    @Option(
        help: ArgumentHelp(
            "Kernel image for the lab bench; default: PEERLAB_LAB_KERNEL, or what scripts/lab/build-kernel made.",
            valueName: "FILE"))
    var labKernel: String?

    @Option(
        help: ArgumentHelp(
            "Give the lab's kernel DMA_BUF_TPH (scripts/lab/build-modules): v2 or v6, by default at number 13.",
            valueName: "v2|v6[@NUMBER]"))
    var labTph: String?

    @Flag(help: "Give the lab's engine to an in-kernel importer of dma-bufs (engines.edu_importer) instead of VFIO.")
    var labImporter = false

    @Option(
        help: ArgumentHelp(
            """
            What is between the lab's devices: a host bridge that Linux knows to pass peer-to-peer requests on, one that \
            it does not know, or a switch. Default: bridge with --lab-importer, else no-route.
            """, valueName: "MACHINE"))
    var labMachine: LabMachine.Fabric?

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    /// Set by the lab bench for the peerlab in its guest: what to call the bench.
    @Option(help: .hidden)
    var insideLab: String?

    @ArgumentParser.Argument(help: "Scenario files.")
    var files: [String]

    mutating func run() throws {
        do {
            let tph = try TPHChoice(tphAbi)
            let pairs = try settings.map(Run.pair)
            if bench != "lab", labTph != nil || labImporter || labMachine != nil {
                throw ValidationError("--lab-tph, --lab-importer and --lab-machine are for --bench lab")
            }
            let output = try json.map { path throws(Failure) in try ResultFile(path) }
            let library = Library(stdlib: StdlibFolders.all(extra: lib))
            switch try BenchChoice(bench) {
            case .lab:
                throw ExitCode(try LabRun(self).run())
            case .host:
                throw ExitCode(runHere(HostBench.make(tph: tph, insideLab: insideLab), pairs, library, output))
            case .sim(let name):
                let bench = try SimBench.make(name, tph: tph, library: library)
                throw ExitCode(runHere(bench, pairs, library, output))
            }
        } catch let error as TPHChoiceError {
            throw ValidationError(error.message)
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        } catch let error as Failure {
            throw ValidationError("cannot write the results: \(error.message)")
        }
    }

    static func pair(_ text: String) throws -> (name: String, value: String) {
        guard let equals = text.firstIndex(of: "=") else {
            throw ValidationError("--set takes option=value, not '\(text)'")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    private func runHere(
        _ bench: Bench, _ settings: [(name: String, value: String)], _ library: Library, _ output: ResultFile?
    ) -> Int32 {
        print(bench.line, to: STDOUT_FILENO)
        var results: [ScenarioResult] = []
        var unusable = 0
        guard let traceFile = TraceFile(trace) else {
            print("peerlab: cannot write \(trace ?? "")", to: STDERR_FILENO)
            return ExitStatus.usage.rawValue
        }
        for file in files {
            do {
                results.append(try run(file, bench, settings, library, traceFile))
            } catch {
                print("peerlab: \(error.line)", to: STDERR_FILENO)
                unusable += 1
            }
            if results.last?.verdict == .interrupted { break }
        }
        print(Report.summary(results, unusable: unusable), to: STDOUT_FILENO)
        if let output, !writeJSON(results, to: output) { return ExitStatus.software.rawValue }
        let lost = lostOutput.load(ordering: .relaxed)
        guard lost == 0 else {
            let reason = Errno(lost)
            print("peerlab: cannot write to standard output: \(reason.message) (\(reason.name))", to: STDERR_FILENO)
            return ExitStatus.software.rawValue
        }
        return Run.status(results, unusable: unusable > 0).rawValue
    }

    private func run(
        _ file: String, _ bench: Bench, _ settings: [(name: String, value: String)], _ library: Library,
        _ traceFile: TraceFile
    ) throws(ErrorValue) -> ScenarioResult {
        let kernel = bench.makeKernel()
        let tracing = trace.map { _ in TracingKernel(kernel) { traceFile.write($0) } }
        let run = try ScenarioRun(
            file: file, bench: bench, kernel: tracing ?? kernel, library: library, settings: settings,
            featureFound: { feature in tracing?.decoder.features[feature.number] = feature },
            note: { tracing?.note($0) }, emit: { print($0, to: STDOUT_FILENO) })
        return try run.run()
    }

    private func writeJSON(_ results: [ScenarioResult], to output: ResultFile) -> Bool {
        do {
            try output.write(try Report.json(results, version: Peerlab.version))
            return true
        } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            print("peerlab: cannot write the results: \(reason)", to: STDERR_FILENO)
            return false
        }
    }

    static func status(_ results: [ScenarioResult], unusable: Bool) -> ExitStatus {
        let verdicts = results.map(\.verdict)
        if verdicts.contains(.interrupted) { return .interrupted }
        if unusable { return .usage }
        if verdicts.contains(.fail) { return .fail }
        return verdicts.contains(.pass) ? .pass : .skipped
    }
}

extension LabMachine.Fabric: ExpressibleByArgument {}

/// Where trace lines go.
struct TraceFile {
    private let descriptor: Int32

    /// "-" is stderr, nil nowhere; nil where the file cannot be written.
    init?(_ path: String?) {
        guard let path else {
            descriptor = -1
            return
        }
        descriptor = path == "-" ? STDERR_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        if descriptor < 0 { return nil }
    }

    func write(_ line: String) { print(line, to: descriptor) }
}
