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
            Without --bench, the simulated bench that the record names, or one made of the machine that it describes. Stops at the first answer that differs. Exit \
            codes: 0 all answers are the recorded ones, 1 one differs, 2 no usable record.
            """)

    @OptionGroup var on: BenchOptions

    @Flag(help: "Go on behind answers that differ, and show them all.")
    var loose = false

    @Option(
        name: .customLong("path"),
        help: ArgumentHelp("Open NEW where the record opened OLD, such as a device's node.", valueName: "OLD=NEW"))
    var paths: [String] = []

    @ArgumentParser.Argument(help: "A record, as `run --record` writes it.") var file: String

    func run() throws {
        let record = try RecordText.load(file)
        try on.check()
        var renamed: [String: String] = [:]
        for path in paths {
            let pair = try BenchOptions.pair(path)
            renamed[pair.name] = pair.value
        }
        let named = CommandLine.arguments.contains { $0 == "--bench" || $0.hasPrefix("--bench=") }
        guard named else {
            let bench = try SimBench.make(for: record, tph: try on.tph(), library: on.library)
            throw ExitCode(replay(record, bench, renamed))
        }
        switch try BenchChoice(on.bench) {
        case .lab:
            let words = [StdlibFolders.program(), "replay", "--bench", "host", "--inside-lab", LabRun.inside]
            let more = (loose ? ["--loose"] : []) + paths.flatMap { ["--path", $0] }
            throw ExitCode(try LabRun(on, command: words + more + ["--", LabRun.absolute(file)], results: []).run())
        case .host:
            let bench = HostBench.make(tph: try on.tph(), insideLab: on.insideLab)
            throw ExitCode(replay(record, bench, renamed))
        case .sim(let name):
            let bench = try SimBench.make(name, tph: try on.tph(), library: on.library)
            throw ExitCode(replay(record, bench, renamed))
        }
    }

    private func replay(_ record: Record, _ bench: Bench, _ paths: [String: String]) -> Int32 {
        print(bench.line, to: STDOUT_FILENO)
        let replay = Replay(on: bench.makeKernel(), isReal: !bench.isSimulated, paths: paths)
        var count = 0
        var differences = 0
        for entry in record.entries {
            do throws(Replay.Impossible) {
                if case .operation = entry.kind { count += 1 }
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
        print("\(count) operations: \(summary)\(left)", to: STDOUT_FILENO)
        return differences == 0 ? 0 : 1
    }
}

/// Records from files.
enum RecordText {
    /// A record, or that of a bundle.
    static func load(_ path: String) throws -> Record {
        do {
            let text = try text(of: path)
            guard Bundle.isBundle(text) else { return try Record(parsing: text) }
            guard let record = try Bundle(parsing: text).file("record") else {
                throw ValidationError("\(path): the bundle has no record")
            }
            return try Record(parsing: record)
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
