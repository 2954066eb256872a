import ArgumentParser
import Commands
import FoundationEssentials
import Glibc
import Kernel
import Results
import Runner
import Store

/// `peerlab results`: a program of its own, so that the one which runs scenarios starts without a database in it.
@main
struct ResultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", _superCommandName: "peerlab",
        abstract: "Show, export, compare and merge what batches have found.",
        discussion: "A batch is named by its number in the store, or by its journal's file.",
        subcommands: [List.self, Show.self, Export.self, Compare.self, Merge.self, Keep.self, Manual.self])

    static func main() { CommandLineProgram.run(Self.self, Array(CommandLine.arguments.dropFirst())) }

    struct Place: ParsableArguments {
        @Option(help: ArgumentHelp("The store; default: below XDG_DATA_HOME.", valueName: "FILE"))
        var store: String?

        /// Where it is.
        func path() throws(Failure) -> String {
            guard let store else { return try Folders.store() }
            // A name that is mistyped is no new store.
            guard access(store, F_OK) == 0 else { throw Failure("open", Errno(errno), object: store) }
            return store
        }

        func open() throws(Failure) -> Store { try Store(reading: try path()) }

        /// From here on these batches are read, by number or journal, and nothing else.
        func hold(_ limits: ForeignLimits, _ batches: [String]) throws {
            try ResultsCommand.hold(
                limits, journals: batches.filter { Int64($0) == nil },
                store: batches.contains { Int64($0) != nil } ? try path() : nil)
        }

        /// Refuses a store that nothing is read from: journals are read from their files.
        func check(for names: [String], or isNeeded: Bool = false) throws {
            guard store == nil || isNeeded || names.contains(where: { Int64($0) != nil }) else {
                throw ValidationError(
                    "--store is where batches are that are named by number, and does nothing for journals")
            }
        }

        /// A batch by number or journal.
        func source(_ name: String) throws -> any RecordSource {
            guard let number = Int64(name) else { return try JournalReader(name, keepsPlan: true) }
            guard let batch = try open().batch(number) else {
                throw ValidationError("the store has no batch \(number); peerlab results list shows them")
            }
            return batch
        }
    }

    /// From here on a command reads these journals and this store, to which it adds where it `keeps`, and writes what is
    /// open; `output` is a journal that is.
    static func hold(
        _ limits: ForeignLimits, journals: [String] = [], store: String?, keeps: Bool = false,
        outputs: [ResultFile] = [], output: String? = nil
    ) throws {
        let store = try store.map { path throws(Failure) in [try Store.folder(of: path)] } ?? []
        let output = output.map { [$0] } ?? []
        let folders = output.map { path in path.lastIndex(of: "/").map { String(path[...$0]) } ?? "." }
        try limits.hold(
            "results",
            files: Confinement(
                reading: journals + output + store + ["/dev/urandom"], writable: keeps ? store : [],
                replaceable: outputs.compactMap(\.folder) + folders))
    }

    /// Says what is missing of batches that were used; the result is whether anything is.
    @discardableResult
    static func tell(_ batches: [(name: String, source: any RecordSource)]) -> Bool {
        let complaints = batches.flatMap { batch in
            [batch.source.complaint, batch.source.shortfall].compactMap { $0 }.map { "\(batch.name): \($0)" }
        }
        for complaint in complaints { print("peerlab: \(complaint)", to: STDERR_FILENO) }
        return !complaints.isEmpty
    }

    /// Runs a command, whose failures are said in one line.
    static func saying<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let error as Failure { throw ValidationError(error.message) }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The store's batches, oldest first.")
        @OptionGroup var place: Place
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func run() throws {
            try ResultsCommand.saying {
                try ResultsCommand.hold(limits, store: try place.path())
                try place.open().batches { batch in
                    let complete = batch.isComplete ? "" : ", not complete"
                    let line = "\(batch.header.started)  \(batch.totals.text)\(complete)  (\(batch.header.bench))"
                    print("\(batch.number)  \(line)", to: STDOUT_FILENO)
                }
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "A batch's runs; one of them with all that is known.")
        @OptionGroup var place: Place
        @ArgumentParser.Argument(help: "The batch.") var batch: String
        @ArgumentParser.Argument(help: "A run's name.") var name: String?
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws { try place.check(for: [batch]) }

        func run() throws {
            let source = try ResultsCommand.saying {
                try place.hold(limits, [batch])
                return try place.source(batch)
            }
            print(source.header.bench, to: STDOUT_FILENO)
            var found = false
            source.each { record in
                if let name, record.id != name { return }
                found = true
                let reason = record.reason.map { ": \($0)" } ?? ""
                print(
                    "\(record.flaky ? "flaky" : record.outcome.rawValue)  \(record.id)\(reason)", to: STDOUT_FILENO)
                if name != nil { ResultsText.details(record).forEach { print($0, to: STDOUT_FILENO) } }
            }
            if let name, !found { throw ValidationError("the batch has no run '\(name)'") }
            if name == nil { print(source.totals.text, to: STDOUT_FILENO) }
            ResultsCommand.tell([(batch, source)])
        }
    }

    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write a batch in other forms.")
        @OptionGroup var place: Place
        @OptionGroup(title: "Forms") var output: FormOptions
        @OptionGroup(title: "Limits") var limits: ForeignLimits
        @ArgumentParser.Argument(help: "The batch.") var batch: String

        func validate() throws { try place.check(for: [batch], or: output.html != nil) }

        func run() throws {
            try ResultsCommand.saying {
                var all = OutputFiles()
                if Int64(batch) == nil { all.read("the journal", batch) }
                if let store = place.store { all.read("the store", store) }
                let files = try output.files(&all)
                guard !files.isEmpty else {
                    throw ValidationError("name a form: --html FILE, --junit FILE, --tap FILE and so on")
                }
                for (_, file) in files { try file.open() }
                let isJournal = Int64(batch) == nil
                let store = output.html != nil || !isJournal ? try storePath(isNeeded: !isJournal) : nil
                try ResultsCommand.hold(
                    limits, journals: isJournal ? [batch] : [], store: store, outputs: files.map(\.file))
                let source = try place.source(batch)
                let history = output.html == nil ? [:] : past(source, store)
                for (form, file) in files { try form.write(source, history: history, to: file) }
                ResultsCommand.tell([(batch, source)])
            }
        }

        /// The store, where it can be used at all or is needed.
        private func storePath(isNeeded: Bool) throws(Failure) -> String? {
            do throws(Failure) {
                let path = try place.path()
                _ = try Store.folder(of: path)
                return path
            } catch {
                guard !isNeeded else { throw error }
                print("peerlab: the page has no history: \(error.message)", to: STDERR_FILENO)
                return nil
            }
        }

        /// What became of the runs before; a store that cannot be read takes no form away.
        private func past(_ source: any RecordSource, _ store: String?) -> [String: [PastRun]] {
            guard let store else { return [:] }
            do throws(Failure) { return try Store(reading: store).history(of: source) } catch {
                print("peerlab: the page has no history: \(error.message)", to: STDERR_FILENO)
                return [:]
            }
        }
    }

    struct Compare: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compare how two batches ended and what they measured.",
            discussion: """
                Runs that were repeated (--repeat) are the sample; how often does not matter. Of several values that one run \
                has of a measurement the median counts. Mann-Whitney's U, exact, corrected for the number of measurements \
                (Holm, Tarone); percentages are of medians. Units of one kind (ns, us; B/s, GB/s) are converted. Processor time \
                is shown and decides nothing. Exit codes: 0 nothing is worse, 1 something is worse: a measurement, or a run or \
                one of its cases that fails, is flaky, skipped or missing now, or what is no longer measured, 3 nothing is \
                worse but something cannot be decided: a measurement, a batch that is not complete, or a journal with lines \
                that cannot be read.
                """)
        @OptionGroup var place: Place
        @ArgumentParser.Argument(help: "The batch before.") var before: String
        @ArgumentParser.Argument(help: "The batch after.") var after: String
        @Flag(help: "Show what has not changed too.") var all = false
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws { try place.check(for: [before, after]) }

        func run() throws {
            let (one, other) = try ResultsCommand.saying {
                try place.hold(limits, [before, after])
                return (try place.source(before), try place.source(after))
            }
            guard one.header.simulated == other.header.simulated else {
                throw ValidationError("one is of a simulated bench and the other is not: there is nothing to compare")
            }
            if one.header.simulated { print("simulated: these are no hardware results", to: STDOUT_FILENO) }
            let comparison = BatchComparison(one, other)
            for line in comparison.differences { print("differs: \(line)", to: STDOUT_FILENO) }
            for run in comparison.runs where all || run.kind != .new {
                print(ResultsText.line(run), to: STDOUT_FILENO)
            }
            for name in comparison.unmeasured { print("not measured now: \(name.text)", to: STDOUT_FILENO) }
            for name in comparison.measuredAnew where all {
                print("not measured before: \(name.text)", to: STDOUT_FILENO)
            }
            for change in comparison.changes where all || change.isWorthALine {
                print(ResultsText.line(change), to: STDOUT_FILENO)
            }
            print(ResultsText.summary(comparison), to: STDOUT_FILENO)
            // Of a run whose line is lost nobody knows how it ended.
            let isLost = ResultsCommand.tell([(before, one), (after, other)])
            let isOpen = isLost || comparison.isUndecided
            let status: ExitStatus = comparison.isWorse ? .fail : isOpen ? .undecided : .pass
            throw ExitCode(status.rawValue)
        }
    }

    struct Merge: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Gather the journals of a batch's parts in one; of a run that several have, the last one's counts.")
        @Option(name: .shortAndLong, help: ArgumentHelp("The journal to write.", valueName: "FILE")) var output: String
        @Flag(help: "Keep the whole in the store.") var keep = false
        @OptionGroup(title: "Forms") var forms: FormOptions
        @OptionGroup var place: Place
        @OptionGroup(title: "Limits") var limits: ForeignLimits
        @ArgumentParser.Argument(help: "Journals.") var journals: [String]

        func validate() throws { try place.check(for: [], or: keep) }

        func run() throws {
            let merged = try ResultsCommand.saying {
                var all = OutputFiles()
                for journal in journals { all.read("the journal", journal) }
                if let store = place.store { all.read("the store", store) }
                try all.append("--output", output)
                let files = try forms.files(&all)
                for (_, file) in files { try file.open() }
                let whole = try BatchJournal(opening: output)
                let store = keep ? try place.path() : nil
                try ResultsCommand.hold(
                    limits, journals: journals, store: store, keeps: keep, outputs: files.map(\.file), output: output)
                let readers = try journals.map { path throws(Failure) in try JournalReader(path, keepsPlan: true) }
                try BatchJournal.merge(readers, into: whole)
                ResultsCommand.tell(zip(journals, readers).map { ($0, $1) })
                let missing = BatchJournal.missingParts(readers)
                if !missing.isEmpty {
                    print("peerlab: parts are missing: \(missing.joined(separator: ", "))", to: STDERR_FILENO)
                }
                let directories = Set(readers.map(\.header.bench))
                if directories.count > 1 {
                    print(
                        "peerlab: the parts ran on different benches: \(directories.sorted().joined(separator: "; "))",
                        to: STDERR_FILENO)
                }
                let merged = try JournalReader(output)
                for (form, file) in files { try form.write(merged, to: file) }
                if let store { _ = try Store(store).add(merged) }
                return merged
            }
            print(merged.totals.text + (merged.isEnded ? "" : "; some parts are not complete"), to: STDOUT_FILENO)
            throw ExitCode(
                merged.totals.bad > 0 || !merged.isEnded ? ExitStatus.fail.rawValue : ExitStatus.pass.rawValue)
        }
    }

    /// What `peerlab batch` asks at its end.
    struct Keep: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell the history of a journal's runs, and keep the journal.", shouldDisplay: false)
        @OptionGroup var place: Place
        @Flag var add = false
        @Flag var history = false
        @OptionGroup var limits: ForeignLimits
        @ArgumentParser.Argument var journal: String

        func run() throws {
            let answer = try ResultsCommand.saying {
                let path = try place.store ?? Folders.store()
                try ResultsCommand.hold(limits, journals: [journal], store: path, keeps: add)
                let reader = try JournalReader(journal)
                let store = try add ? Store(path) : Store(reading: path)
                let history = history ? try store.history(of: reader) : [:]
                let number = add ? try store.add(reader) : nil
                return KeptBatch(number: number, store: store.path, history: history)
            }
            printDocument(String(decoding: try RunRecord.encoder.encode(answer), as: UTF8.self), to: STDOUT_FILENO)
        }
    }
}
