import ArgumentParser
import Commands
import Glibc
import Kernel
import LiveKernel
import Records
import Runner
import SimKernel

/// `peerlab replay`
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Make a record's calls again and compare the answers.",
        discussion: """
            Without --bench, the simulated bench that the record names, or one made of the machine that it describes. Stops at the first answer that differs. A record whose last line does not say \
            that it is whole was cut off, or is older: that is said, and what there is counts. Exit \
            codes: 0 all answers are the recorded ones, 1 one differs, 2 no usable record.
            """)

    @Option(help: "sim[:NAME or FILE], lab, or host.")
    var bench: String?

    @OptionGroup var on: RecordBench

    @Flag(help: "Go on behind answers that differ, and show them all.")
    var loose = false

    @Option(
        name: .customLong("path"),
        help: ArgumentHelp("Open NEW where the record opened OLD, such as a device's node.", valueName: "OLD=NEW"))
    var paths: [String] = []

    @ArgumentParser.Argument(help: "A record, as `run --record` writes it.") var file: String

    @OptionGroup(title: "Limits") var limits: ForeignLimits

    func run() throws {
        var renamed: [String: String] = [:]
        for path in paths {
            let pair = try BenchOptions.pair(path, of: "--path", form: "OLD=NEW")
            guard renamed.updateValue(pair.value, forKey: pair.name) == nil else {
                throw ValidationError("--path names '\(pair.name)' twice")
            }
        }
        let choice = try bench.map(BenchChoice.init)
        if case .lab = choice {
            let words = ["replay", "--bench", "host", "--inside-lab", on.lab.inside]
            let more = (loose ? ["--loose"] : []) + paths.flatMap { ["--path", $0] } + limits.words
            var lab = LabRun(on.lab, words + more + ["--", LabRun.path(file)])
            lab.inputs = [file]
            lab.time = try limits.seconds
            throw ExitCode(try lab.run())
        }
        let text = try RecordText.text(of: file)
        let library = on.library
        var bench: Bench
        let record: Record
        switch choice {
        case .host:
            bench = HostBench.make(insideLab: on.insideLab)
            bench.sandbox = try limits.hold("replay", .devices(on, library))
            record = try RecordText.record(text, file)
        case .sim(let name):
            bench = try SimBench.make(name, library: library)
            bench.sandbox = try limits.hold("replay", Confinement(simulated: [], library, memory: 0))
            record = try RecordText.record(text, file)
        default:
            let sandbox = try limits.hold("replay", Confinement(simulated: [], library, memory: 0))
            record = try RecordText.record(text, file)
            bench = try SimBench.make(for: record, library: library)
            bench.sandbox = sandbox
        }
        try check(renamed, in: record)
        throw ExitCode(try replay(record, bench, renamed))
    }

    /// Refuses a path that the record does not open: it must be a mistake.
    private func check(_ renamed: [String: String], in record: Record) throws {
        let paths = record.paths
        guard let wrong = renamed.keys.sorted().first(where: { !paths.contains($0) }) else { return }
        let known = paths.isEmpty ? "no path at all" : paths.sorted().joined(separator: ", ")
        throw ValidationError("--path: the record does not open '\(wrong)'; it opens \(known)")
    }

    private func replay(_ record: Record, _ bench: Bench, _ paths: [String: String]) throws -> Int32 {
        guard record.operations.contains(where: { !$0.operation.isInjected }) else {
            throw ValidationError(
                "\(file): each call of the record was refused by --inject: there is none to make again")
        }
        print(bench.line, to: STDOUT_FILENO)
        if !record.isWhole {
            print("the record does not say where it ends: more may have been called", to: STDOUT_FILENO)
        }
        let replay = Replay(on: bench.makeKernel(), isReal: !bench.isSimulated, paths: paths)
        var count = 0, refused = 0
        var differences = 0
        for entry in record.entries {
            do throws(Replay.Impossible) {
                if case .operation(let operation) = entry.kind {
                    if operation.isInjected { refused += 1 } else { count += 1 }
                }
                guard let difference = try replay.step(entry) else { continue }
                differences += 1
                print("line \(difference.line) differs:", to: STDOUT_FILENO)
                print("  recorded: \(difference.recorded)", to: STDOUT_FILENO)
                print("  answered: \(difference.answered)", to: STDOUT_FILENO)
            } catch {
                differences += 1
                print("line \(entry.line) cannot be made: \(error.message)", to: STDOUT_FILENO)
            }
            if differences > 0, !loose { break }
        }
        let summary = differences == 0 ? "all as recorded" : "\(differences) not as recorded"
        let left =
            replay.notCompared > 0 ? "; data of \(replay.notCompared) not compared, as records keep no long data" : ""
        let injected = refused > 0 ? "; \(refused) not made, as --inject had refused them" : ""
        print("\(count) operations: \(summary)\(left)\(injected)", to: STDOUT_FILENO)
        return differences == 0 ? 0 : 1
    }
}

/// Reads records from files.
enum RecordText {
    /// The record in a text, which may be a bundle; `path` is for messages.
    static func record(_ text: String, _ path: String) throws -> Record {
        do {
            var text = text
            if Bundle.isBundle(text) {
                guard let record = try Bundle(parsing: text).file("record") else {
                    throw ValidationError("\(path): the bundle has no record")
                }
                text = record
            }
            let record = try Record(parsing: text)
            guard !record.operations.isEmpty else { throw ValidationError("\(path): the record has no calls") }
            return record
        } catch let error as RecordError {
            throw ValidationError("\(path): \(error.text)")
        }
    }

    static func text(of path: String, limit: Int = InputFile.Limit.record) throws -> String {
        do throws(Failure) { return try InputFile.text(of: path, limit: limit, mayBeStream: true) } catch {
            throw ValidationError(
                "\(path): \(error.errno.message) (\(error.errno.name))\(error.hint.map { ": \($0)" } ?? "")")
        }
    }
}
