import ArgumentParser
import Commands
import Devices
import FoundationEssentials
import Glibc
import Kernel
import LabBench
import LuaKit
import Runner

/// `peerlab doctor`
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", _superCommandName: "peerlab",
        abstract: "Find out what stands in the way of peer-to-peer access on a machine, and what to do about it.",
        discussion: """
            Reads sysfs and procfs, asks the kernel, and changes nothing. What cannot be read is said to be so (?), and never \
            taken for absent. As root it can read more: of configuration space everybody else gets 64 bytes, without ACS and TPH.

            It opens /dev/iommu, /dev/vfio/vfio, the nodes of VFIO's devices and block devices that nothing is known to use, and \
            closes them at once. It opens RDMA devices, where it makes a protection domain, registers a page of its own memory and \
            a dma-buf that is none, and asks for a DMA handle; nothing of that stays. It opens no device of VFIO on this machine \
            unless --open is given, for the kernel resets a device that is opened; on the other benches it does so by itself.

            Exit codes: 0 nothing stands in the way, 1 something does, 3 nothing was found in the way, but something that decides \
            could not be read or was not tried. Without --for, hints (vfio.dma_buf_tph) and type1 do not count. 2 wrong usage.
            """)

    @Option(help: "host, lab, or sim[:NAME or FILE].")
    var bench = "host"

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("Only what this scenario needs, and whether it would run.", valueName: "SCENARIO"),
        completion: .custom(Completions.scenarios))
    var scenario: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Set an option of that scenario.", valueName: "option=value"))
    var settings: [String] = []

    @Option(
        name: .customLong("device"),
        help: ArgumentHelp(
            "Look at this device before others of its kind; of each kind 12 are looked at. May be given again.",
            valueName: "ADDRESS-OR-NAME"))
    var devices: [String] = []

    @Flag(help: "Open devices that VFIO has and nobody uses, and ask them too. The kernel resets them.")
    var open = false

    @Option(help: ArgumentHelp("Write the findings as JSON to FILE, - for standard output alone.", valueName: "FILE"))
    var json: String?

    @Option(help: ArgumentHelp("Write a picture of the topology as SVG to FILE.", valueName: "FILE"))
    var svg: String?

    /// Set by the lab bench for the peerlab in its guest: where its user has the lab's scripts.
    @Option(help: .hidden)
    var labScripts: String?

    @OptionGroup var on: RecordBench

    /// Taken only to say what is meant.
    @ArgumentParser.Argument(help: .hidden) var files: [String] = []

    func validate() throws {
        if let file = files.first {
            throw ValidationError("'\(file)': doctor takes a scenario by --for: doctor --for \(file)")
        }
        guard settings.isEmpty || scenario != nil else {
            throw ValidationError("--set is for options of a scenario: name one with --for")
        }
    }

    /// Time limit for loading a scenario's file, seconds.
    private static let timeout = 20.0

    mutating func run() throws {
        scenario = try scenario.map { try ShippedScenarios.path($0) }
        let outputs = try DoctorOutputs(self)
        let library = on.library
        let bench: Bench
        switch try BenchChoice(self.bench) {
        case .lab: throw ExitCode(try runInLab(outputs))
        case .host: bench = HostBench.make(insideLab: on.insideLab)
        case .sim(let name): bench = try SimBench.make(name, library: library)
        }
        let pairs = try settings.map { try BenchOptions.pair($0) }
        let diagnosis = Diagnosis(
            kernel: bench.makeKernel(), depth: .init(opensDevices: open || bench.kind != "host"), named: devices,
            labScripts: labScripts ?? ShippedFolders.lab)
        if let name = diagnosis.unknown.first {
            throw ValidationError(
                "--device \(name): no RDMA device, and no function that VFIO has or could have, is called so; `lspci -D` and "
                    + "`rdma link` list them")
        }
        let report = DoctorReport(diagnosis, bench, try judged(diagnosis, bench, library, pairs, outputs))
        if !outputs.takesStandardOutput { for line in report.lines { print(line, to: STDOUT_FILENO) } }
        try outputs.write(report)
        throw ExitCode(report.status)
    }

    /// The scenario's file is loaded once the machine was looked at, by a process that can no longer do anything to it.
    private func judged(
        _ diagnosis: Diagnosis, _ bench: Bench, _ library: Library, _ pairs: [(name: String, value: String)],
        _ outputs: DoctorOutputs
    ) throws -> ScenarioDiagnosis? {
        guard let file = scenario else { return nil }
        try outputs.open()
        _ = Confinement(
            simulated: [file], library, outputs: outputs.all, memory: Limits.defaultMemory + Confinement.modelMemory
        ).apply()
        ProcessLimits.watch(seconds: DoctorCommand.timeout, memory: .max, statm: -1) { _ in
            print("peerlab: doctor: loading \(file) does not end", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        do throws(ErrorValue) {
            let description = try ScenarioDescription(file, library, isSimulated: bench.isSimulated)
            if let error = description.error { throw error }
            guard let scenario = description.scenario else {
                throw ErrorValue(kind: .usage, "\(file) is a plain script, which does not say what it needs")
            }
            return try ScenarioDiagnosis(scenario, pairs, diagnosis)
        } catch { throw ValidationError(error.line) }
    }

    private func runInLab(_ outputs: DoctorOutputs) throws -> Int32 {
        var words = ["doctor", "--bench", "host", "--inside-lab", on.lab.inside]
        for folder in on.lib { words += ["--lib", LabRun.path(folder)] }
        for setting in settings { words += ["--set", setting] }
        for device in devices { words += ["--device", device] }
        words += ["--lab-scripts", ShippedFolders.lab]
        if let scenario { words += ["--for", LabRun.path(scenario)] }
        if !outputs.all.isEmpty { words += ["--json", GuestJob.result(0)] }
        var run = LabRun(on.lab, lib: on.lib, words)
        run.scripts = scenario.map { [$0] } ?? []
        run.isQuiet = outputs.takesStandardOutput
        if !outputs.all.isEmpty {
            run.results = [
                LabResult("the findings", .diagnosis) { try outputs.write(try DoctorReport(ofLab: $0)) }
            ]
        }
        return try run.run()
    }
}

/// The files that `peerlab doctor` writes.
struct DoctorOutputs {
    private let json: ResultFile?
    private let svg: ResultFile?
    /// Whether a file is standard output, which then has nothing else.
    let takesStandardOutput: Bool

    init(_ command: DoctorCommand) throws {
        var files = OutputFiles()
        if let scenario = command.scenario { files.read(scripts: [scenario]) }
        if command.bench.hasPrefix("sim:") { files.read("the bench", String(command.bench.dropFirst(4))) }
        command.on.read(into: &files)
        json = try files.write("--json", command.json)
        svg = try files.write("--svg", command.svg)
        takesStandardOutput = [command.json, command.svg].compactMap { $0 }.contains {
            ["-", "/dev/stdout"].contains($0)
        }
    }

    var all: [ResultFile] { [json, svg].compactMap { $0 } }

    /// Opens them, before the process may not.
    func open() throws(Failure) { for file in all { try file.open() } }

    func write(_ report: DoctorReport) throws {
        try json?.write(try JSONText(pretty: true).encode(report) + [10])
        try svg?.write(Array(TopologyDrawing(report).text.utf8))
    }
}

extension DoctorReport {
    /// What the lab's guest sends, which may say anything: it must at least say that it is a lab's.
    init(ofLab bytes: [UInt8]) throws {
        guard let report = try? JSONDecoder().decode(DoctorReport.self, from: Data(bytes)), report.format.version == 1
        else { throw LabResult.Objection(text: "they are no document of findings") }
        let bench = report.bench
        let isLab =
            bench.kind == "lab" && !bench.simulated && bench.description.hasPrefix("kernel ")
            && LabOptions.insides.contains { bench.description.hasSuffix(" in \($0)") }
            && bench.line == "bench: lab (\(bench.description))"
        guard isLab else { throw LabResult.Objection(text: "they are not the lab's") }
        self = report
    }
}
