import ArgumentParser
import Commands
import FoundationEssentials
import Glibc
import Kernel
import LuaKit
import Results
import Runner
import Store

/// `peerlab results`: a program of its own, so that the one which runs scenarios starts without a database in it.
@main
struct ResultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", _superCommandName: "peerlab",
        abstract: "Show, export, compare and merge what batches have found.",
        discussion: """
            A batch is named by its number in the store, by its label there (of several that have it, the last one counts), or \
            by its journal's file.
            """,
        subcommands: [
            List.self, Show.self, Search.self, Label.self, Export.self, Compare.self, Merge.self, Keep.self,
            Manual.self,
        ])

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

        /// Whether a name is that of a journal's file: no number, and there is such a file, or it can be no label.
        static func isJournal(_ name: String) -> Bool {
            Int64(name) == nil && (access(name, F_OK) == 0 || !BatchLabel.isUsable(name))
        }

        /// From here on these batches are read, by number, label or journal, and files are written; nothing else.
        func hold(_ limits: ForeignLimits, _ batches: [String], outputs: [ResultFile] = []) throws {
            try ResultsCommand.hold(
                limits, journals: batches.filter(Place.isJournal),
                store: batches.allSatisfy(Place.isJournal) ? nil : try path(), outputs: outputs)
        }

        /// Refuses a store that nothing is read from: journals are read from their files.
        func check(for names: [String], or isNeeded: Bool = false) throws {
            guard store == nil || isNeeded || !names.allSatisfy(Place.isJournal) else {
                throw ValidationError(
                    "--store is where batches are that are named by number or label, and does nothing for journals")
            }
        }

        /// A batch by number, label or journal.
        func source(_ name: String) throws -> any RecordSource {
            if Place.isJournal(name) { return try JournalReader(name, keepsPlan: true) }
            let number = try Int64(name) ?? labelled(name)
            guard let batch = try open().batch(number) else {
                throw ValidationError("the store has no batch \(number); peerlab results list shows them")
            }
            return batch
        }

        /// The number of the last batch with a label.
        private func labelled(_ label: String) throws -> Int64 {
            let store = try open()
            let numbers = try store.numbers(of: label)
            guard let last = numbers.last else {
                let near = nearest(to: label, in: try store.labels()).map { "; did you mean '\($0)'?" } ?? ""
                throw ValidationError(
                    "'\(label)' is no journal's file, and no batch of the store has that label\(near)")
            }
            if numbers.count > 1 {
                let others = numbers.dropLast().map(String.init).joined(separator: ", ")
                print("'\(label)' is batch \(last); it was the label of \(others) too", to: STDERR_FILENO)
            }
            return last
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
                let isJournal = Place.isJournal(batch)
                if isJournal { all.read("the journal", batch) }
                if let store = place.store { all.read("the store", store) }
                let files = try output.files(&all)
                guard !files.isEmpty else {
                    throw ValidationError("name a form: --html FILE, --csv FILE, --junit FILE and so on")
                }
                for (_, file) in files { try file.open() }
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
