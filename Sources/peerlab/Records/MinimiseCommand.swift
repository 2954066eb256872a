import ArgumentParser
import Batch
import Commands
import FoundationEssentials
import Glibc
import Kernel
import LabBench
import Records
import Runner

/// `peerlab minimise`
struct MinimiseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "minimise", abstract: "Make a record smaller that still fails in the same way.",
        discussion: """
            The failure is the last answer for which --until holds; without it, the first that the script calls wrong, or else \
            the last that differs from the record, the first that failed the script, or of a plain script that did not fail the \
            last refusal, clean-up apart. Where the script finds an answer wrong that no single call gave, --until must name \
            one. It asks for \
            operation (a function, or an ioctl's request), errno (a name, or none), verdict \
            (same, differs, impossible), line, argument.NAME and output.NAME, with ==, !=, &&, ||, ! and parentheses: \
            'operation == IOMMU_IOAS_MAP_FILE && errno == EADDRINUSE && argument.length == 0x1000'. \
            The reason stays the same: on a simulated bench the check that refused. A real kernel does not tell that: there the \
            failing request keeps its arguments, and so does what made its objects, and calls that may have changed these stay. \
            Of a success all of them keep their arguments, and so they do where the right answer is a text of the script's, such \
            as "8192 bytes mapped". Calls before it are answered as they were. \
            Exit codes: 0 made smaller, 1 no such failure, 2 no usable record.
            """)

    @OptionGroup var on: RecordBench

    @Option(
        name: .customLong("on"),
        help: ArgumentHelp("sim (what the record names or describes), sim:NAME, lab, or host.", valueName: "BENCH"))
    var place = "sim"

    @Option(help: ArgumentHelp("Which answer is the failure.", valueName: "EXPRESSION"))
    var until: String?

    @Option(help: ArgumentHelp("Stop after so many seconds with what there is.", valueName: "SECONDS"))
    var budget = 300

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Write the smaller record to FILE; default: stdout.", valueName: "FILE")
    )
    var output: String?

    @ArgumentParser.Argument(help: "A record, as `run --record` writes it.") var file: String

    @OptionGroup(title: "Limits") var limits: ForeignLimits

    func run() throws {
        var expression: FailureExpression?
        if let until {
            do throws(RecordError) { expression = try FailureExpression(until) } catch {
                throw ValidationError("--until \(error.message)")
            }
        }
        let values = expression?.asksValues ?? false
        var files = OutputFiles()
        files.read("the record", file)
        on.read(into: &files)
        let result = try files.write("--output", output ?? "-")
        let choice = place == "sim" ? nil : try BenchChoice(place)
        if case .lab = choice {
            var words = ["minimise", "--on", "host", "--inside-lab", on.lab.inside, "--budget", String(budget)]
            if let until { words += ["--until", until] }
            words += limits.words
            words += ["-o", GuestJob.result(0)]
            var lab = LabRun(on.lab, words + ["--", LabRun.path(file)])
            lab.inputs = [file]
            lab.time = try limits.seconds
            lab.results = result.map { [LabResult($0, output ?? "the record", .record)] } ?? []
            throw ExitCode(try lab.run())
        }
        let text = try RecordText.text(of: file)
        let library = on.library
        try result?.open()
        if case .host = choice {
            // Each try runs in a confined process of its own; this process makes no call on the bench.
            let bench = HostBench.make(insideLab: on.insideLab)
            let record = try RecordText.record(text, file)
            let most = try Limits(timeout: limits.timeout, memory: limits.memory)
            let task = BatchTask(id: "replay", index: 0, timeout: 60, memory: most.memory ?? 0)
            throw ExitCode(
                minimise(record, expression, result, seconds: most.timeout, knowsChecks: false) {
                    MinimiseCommand.inProcess($0, bench, .devices(on, library), task, values)
                })
        }
        var named: Bench?
        if case .sim(let name) = choice { named = try SimBench.make(name, library: library) }
        let confinement = Confinement(simulated: [], library, outputs: [result].compactMap { $0 }, memory: 0)
        _ = try limits.hold("minimise", confinement)
        let record = try RecordText.record(text, file)
        let bench = try named ?? SimBench.make(for: record, library: library)
        throw ExitCode(
            minimise(record, expression, result, knowsChecks: true) { MinimiseCommand.answers($0, bench, values) })
    }

    private func minimise(
        _ record: Record, _ expression: FailureExpression?, _ result: ResultFile?, seconds: Double? = nil,
        knowsChecks: Bool,
        answers: @escaping (Record) -> [Answer]
    ) -> Int32 {
        let end = Date().addingTimeInterval(min(Double(budget), seconds ?? .infinity))
        let said = { (progress: Minimiser.Progress) in
            print("\(progress.operations) operations left after \(progress.tries) tries", to: STDERR_FILENO)
        }
        guard
            var minimiser = Minimiser(
                record, until: expression, knowsChecks: knowsChecks, answers: answers, isOver: { Date() >= end },
                report: said)
        else {
            let reason = until ?? MinimiseCommand.reasonForNone(record)
            print("peerlab: no answer of the record is the failure: \(reason)", to: STDERR_FILENO)
            return 1
        }
        let failure = minimiser.signature
        print(
            "the failure: line \(failure.line), \(failure.operation), errno \(failure.errno), verdict \(failure.verdict)",
            to: STDERR_FILENO)
        var smaller = minimiser.run()
        smaller.header.append((key: "failure", value: "\(failure.operation) \(failure.errno) \(failure.verdict)"))
        let text = smaller.text
        print(
            "\(record.operations.count) operations to \(smaller.operations.count), \(minimiser.progress.tries) tries",
            to: STDERR_FILENO)
        do throws(Failure) {
            try result?.write(Array(text.utf8))
        } catch {
            print("peerlab: cannot write the record: \(error.message)", to: STDERR_FILENO)
            return ExitStatus.software.rawValue
        }
        return 0
    }

    /// Why no answer is the failure that nobody named.
    private static func reasonForNone(_ record: Record) -> String {
        if let mark = record.wrongMarks.first {
            let told = mark.judgement
            let what = told.what.isEmpty ? "" : "\(told.what): "
            let text =
                "line \(record.entries[mark.entry].line) says \(what)'\(told.found)', where '\(told.right)' is right"
            guard mark.operation == nil else { return "\(text), but the call that it is about is not answered so here" }
            let example = mark.place.map { ", such as --until 'line == \(record.entries[$0].line)'" } ?? ""
            return "\(text), which no single call answered; name a call with --until\(example)"
        }
        if let failure = record.failures.last?.failure {
            return "the script failed otherwise (\(failure.message)); name an answer with --until"
        }
        guard record.isOfScenario else { return "no refusal, no difference" }
        return "no case failed, and no difference; name an answer with --until"
    }

    /// All answers of a record, replayed on a fresh kernel of the bench.
    private static func answers(_ record: Record, _ bench: Bench, _ values: Bool) -> [Answer] {
        let replay = Replay(on: bench.makeKernel(), isReal: !bench.isSimulated)
        return record.entries.compactMap { replay.answer($0, values: values) }
    }

    /// The same in a process of its own, whose end closes everything in a real kernel.
    private static func inProcess(
        _ record: Record, _ bench: Bench, _ confinement: Confinement, _ task: BatchTask, _ values: Bool
    ) -> [Answer] {
        var ending: ProcessExit?
        var rest = [task]
        let workers = Workers(jobs: 1) { _ in
            _ = confinement.apply()
            guard let data = try? JSONEncoder().encode(answers(record, bench, values)) else { return 1 }
            return ResultPipe.write(Array(data)) ? 0 : 1
        }
        do throws(Errno) {
            try workers.run(next: { rest.popLast() }, finished: { ending = $1 })
        } catch { return [] }
        return ending.flatMap { try? JSONDecoder().decode([Answer].self, from: Data($0.result)) } ?? []
    }
}

/// Descriptor 3 of a worker's process.
private enum ResultPipe {
    static func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(3, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
