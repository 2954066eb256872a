import ArgumentParser
import Commands
import Glibc
import Kernel
import LuaKit
import Results
import Runner
import Store

extension ResultsCommand {
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The store's batches, oldest first.")
        @OptionGroup var place: Place
        @Option(help: ArgumentHelp("Only those with this label.", valueName: "NAME")) var label: String?
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func run() throws {
            try ResultsCommand.saying {
                try ResultsCommand.hold(limits, store: try place.path())
                var count = 0
                let store = try place.open()
                try store.batches { batch in
                    guard label == nil || batch.header.label == label else { return }
                    count += 1
                    let complete = batch.isComplete ? "" : ", not complete"
                    let name = batch.header.label.map { "\($0)  " } ?? ""
                    let line =
                        "\(batch.header.started)  \(name)\(batch.totals.text)\(complete)  (\(batch.header.bench))"
                    print("\(batch.number)  \(line)", to: STDOUT_FILENO)
                }
                if let label, count == 0 {
                    let near = nearest(to: label, in: try store.labels()).map { "; did you mean '\($0)'?" } ?? ""
                    throw ValidationError("no batch of the store has the label '\(label)'\(near)")
                }
            }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "A batch's runs and numbers; some of them with all that is known.",
            discussion: """
                NAME need not be whole: 'tph-set' stands for all runs of scripts/scenarios/tph-set.lua. Numbers are medians \
                of a run's repetitions, with their number, the least and the greatest.
                """)
        @OptionGroup var place: Place
        @ArgumentParser.Argument(help: "The batch.") var batch: String
        @ArgumentParser.Argument(help: "A run's name, or enough of it.") var name: String?
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws { try place.check(for: [batch]) }

        func run() throws {
            let source = try ResultsCommand.saying {
                try place.hold(limits, [batch])
                return try place.source(batch)
            }
            let wanted = try name.map { try Show.runs($0, of: source) }
            let label = source.header.label.map { "\($0): " } ?? ""
            print(label + source.header.bench, to: STDOUT_FILENO)
            var samples = Samples()
            var notSelected = 0
            source.each { record in
                notSelected += record.result?.notSelected ?? 0
                if let wanted, !wanted.contains(record.id) { return }
                // A run without any selected case has that as its reason.
                let told = [record.reason, record.outcome == .skip ? nil : record.selection].compactMap { $0 }
                let reason = told.isEmpty ? "" : ": \(told.joined(separator: "; "))"
                print(
                    "\(record.flaky ? "flaky" : record.outcome.rawValue)  \(record.id)\(reason)", to: STDOUT_FILENO)
                if wanted != nil { ResultsText.details(record).forEach { print($0, to: STDOUT_FILENO) } }
                samples.add(record)
            }
            // Details of a single run have its numbers already.
            if wanted.map({ $0.count > 1 }) ?? true {
                let summaries = samples.summaries
                if !summaries.isEmpty {
                    print(
                        "measured" + (source.header.simulated ? " (simulated: no hardware results)" : "") + ":",
                        to: STDOUT_FILENO)
                }
                for one in summaries { print("  \(one.text)", to: STDOUT_FILENO) }
            }
            if name == nil { print(source.totals.text(notSelected: notSelected), to: STDOUT_FILENO) }
            ResultsCommand.tell([(batch, source)])
        }

        private static func runs(_ name: String, of source: any RecordSource) throws -> Set<String> {
            var all: [(id: String, file: String)] = []
            source.each { all.append(($0.id, $0.file)) }
            switch RunNames.find(name, in: all) {
            case .runs(let ids): return Set(ids)
            case .several(let files):
                let few = files.prefix(10).joined(separator: ", ") + (files.count > 10 ? ", ..." : "")
                throw ValidationError("'\(name)' may be \(few)")
            case .none(let near):
                let words = near.isEmpty ? "" : "; did you mean \(near.joined(separator: " or "))?"
                throw ValidationError("the batch has no run '\(name)'\(words)")
            }
        }
    }

    struct Search: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find runs in all batches of the store, the latest batch first, and of each the latest run.",
            discussion: """
                A run is found by its name, its reason, its tags, options and cases, and by its batch's label; upper and lower \
                case are the same. Exit codes: 0 some were found, 1 none.
                """)
        @OptionGroup var place: Place
        @Option(help: ArgumentHelp("Only runs that ended so: fail, pass, crash and so on.", valueName: "OUTCOME"))
        var outcome: String?
        @Option(help: ArgumentHelp("Show at most so many.", valueName: "N")) var limit = 100
        @ArgumentParser.Argument(help: "The text.") var text: String
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws {
            guard !text.isEmpty else { throw ValidationError("name a text") }
            guard (1...1_000_000).contains(limit) else { throw ValidationError("--limit is 1 to 1000000") }
            guard outcome.map({ Outcome(rawValue: $0) != nil }) ?? true else {
                let all = Outcome.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--outcome is one of \(all)")
            }
        }

        func run() throws {
            var (count, hasMore) = (0, false)
            try ResultsCommand.saying {
                try ResultsCommand.hold(limits, store: try place.path())
                let store = try place.open()
                var headers: [Int64: BatchHeader] = [:]
                try store.batches { headers[$0.number] = $0.header }
                let labelled = Set(headers.filter { Search.has($0.value.label ?? "", text) }.keys)
                // The store's text is JSON, in which some characters are written otherwise.
                let isPlain =
                    labelled.isEmpty && !text.contains { $0 == "\"" || $0 == "\\" || $0 == "/" || !$0.isASCII }
                try store.search(isPlain ? text : "") { number, record in
                    guard outcome.map({ record.outcome.rawValue == $0 }) ?? true else { return true }
                    guard labelled.contains(number) || Search.isFound(record, text) else { return true }
                    guard count < limit else {
                        hasMore = true
                        return false
                    }
                    count += 1
                    let header = headers[number]
                    let label = header?.label.map { " \($0)" } ?? ""
                    let reason = record.reason.map { ": \($0)" } ?? ""
                    print(
                        "\(number)\(label)  \(record.started)  \(record.outcome.rawValue)  \(record.id)\(reason)",
                        to: STDOUT_FILENO)
                    return true
                }
            }
            if hasMore { print("there are more: --limit shows them", to: STDERR_FILENO) }
            if count == 0 {
                print("nothing is found", to: STDERR_FILENO)
                throw ExitCode(ExitStatus.fail.rawValue)
            }
        }

        private static func has(_ text: String, _ part: String) -> Bool {
            text.lowercased().contains(part.lowercased())
        }

        private static func isFound(_ record: RunRecord, _ text: String) -> Bool {
            let options = record.settings.merging(record.result?.options ?? [:]) { $1 }.map { "\($0.key)=\($0.value)" }
            let cases = (record.result?.cases ?? []).flatMap { [$0.name, $0.message ?? ""] }
            return ([record.id, record.reason ?? "", record.result?.name ?? ""] + record.tags + options + cases)
                .contains { has($0, text) }
        }
    }

    struct Label: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Name a batch of the store, so that other commands find it by that name.")
        @OptionGroup var place: Place
        @Flag(help: "Take its label away.") var remove = false
        @ArgumentParser.Argument(help: "The batch's number.") var batch: Int64
        @ArgumentParser.Argument(help: "Its name: \(BatchLabel.rule).") var label: String?
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws {
            guard (label == nil) == remove else {
                throw ValidationError("name the batch's number and a label, or its number and --remove")
            }
            if let label { try BatchLabel.check(label) }
        }

        func run() throws {
            try ResultsCommand.saying {
                let path = try place.path()
                try ResultsCommand.hold(limits, store: path, keeps: true)
                guard try Store(path).label(batch, label) else {
                    throw ValidationError("the store has no batch \(batch); peerlab results list shows them")
                }
            }
        }
    }
}
