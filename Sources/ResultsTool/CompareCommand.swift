import ArgumentParser
import Commands
import Glibc
import Kernel
import Results
import Runner

extension ResultsCommand {
    struct Compare: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compare how two batches ended and what they measured.",
            discussion: """
                Runs that were repeated (--repeat) are the sample; how often does not matter. Of several values that one run \
                has of a measurement the median counts. Mann-Whitney's U, exact, corrected for the number of measurements \
                (Holm, Tarone), as the shown p is, at a level of significance of 1 % for all verdicts together; percentages \
                are of medians, and intervals of 99 % confidence or more. Same means that the interval lies within 5 % either \
                way, be there a smaller change or not; where no change is found and a greater one is possible, it is \
                undecided, with the runs that would tell. Batches that ran one after the other differ by load and \
                temperature too, which counts as a change: peerlab ab runs both in turn. Runs that both batches have \
                are no comparison: a batch against itself is refused. On a simulated bench times and rates are the model's: \
                of traffic by this machine's clock, of sys.now by the virtual clock. Units of one kind (ns, us; B/s, GB/s) are converted. Processor time \
                is shown and decides nothing. Exit codes: 0 nothing is worse, 1 something is worse: a measurement, or a run or \
                one of its cases that fails (be it one that was not run before), is flaky, skipped or missing now, or what is \
                no longer measured, 3 nothing is worse but something cannot be decided: a measurement, a batch that is not complete, or a journal with lines \
                that cannot be read.
                """)
        @OptionGroup var place: Place
        @ArgumentParser.Argument(help: "The batch before.") var before: String
        @ArgumentParser.Argument(help: "The batch after.") var after: String
        @Flag(help: "Show what has not changed too.") var all = false
        @Option(help: ArgumentHelp("Write the comparison as a JSON document to FILE.", valueName: "FILE")) var json:
            String?
        @Option(
            help: ArgumentHelp(
                "Write old and new values as CSV to FILE, a line for each measurement.", valueName: "FILE"))
        var csv: String?
        @Option(
            help: ArgumentHelp(
                "Write a page to FILE: the second batch, and how it compares with the first.", valueName: "FILE"))
        var html: String?
        @OptionGroup(title: "Limits") var limits: ForeignLimits

        func validate() throws { try place.check(for: [before, after]) }

        func run() throws {
            var files = OutputFiles()
            for name in [before, after] where Place.isJournal(name) { files.read("the journal", name) }
            if let store = place.store { files.read("the store", store) }
            // A document that goes to standard output has it alone.
            let out = [json, csv, html].contains("-") ? STDERR_FILENO : STDOUT_FILENO
            let (document, page) = (try files.write("--json", json), try files.write("--html", html))
            let table = try files.write("--csv", csv)
            let outputs = [document, table, page].compactMap { $0 }
            let (one, other) = try ResultsCommand.saying {
                for file in outputs { try file.open() }
                try place.hold(limits, [before, after], outputs: outputs)
                return (try place.source(before), try place.source(after))
            }
            guard one.header.simulated == other.header.simulated else {
                throw ValidationError("one is of a simulated bench and the other is not: there is nothing to compare")
            }
            let comparison = BatchComparison(one, other)
            guard !comparison.isOfOneBatch else {
                throw ValidationError(
                    "the same batch on both sides: '\(after)' has the very runs of '\(before)'; name another batch")
            }
            if one.header.simulated { print("simulated: these are no hardware results", to: out) }
            for line in comparison.differences { print("differs: \(line)", to: out) }
            for run in comparison.runs where all || run.kind != .new {
                print(ResultsText.line(run), to: out)
            }
            for name in comparison.unmeasured { print("not measured now: \(name.text)", to: out) }
            for name in comparison.measuredAnew where all {
                print("not measured before: \(name.text)", to: out)
            }
            let shown = comparison.changes.filter { all || $0.isWorthALine }
            let simulated = one.header.simulated
            for change in shown { print(ResultsText.line(change, simulated: simulated), to: out) }
            var notes = ResultsText.notes(comparison.changes, inTurn: false, simulated: simulated)
            if comparison.shared > 0 {
                let runs = comparison.shared == 1 ? "1 run is" : "\(comparison.shared) runs are"
                notes.append("\(runs) on both sides: verdicts on what they measured cannot be trusted")
            }
            notes.forEach { print($0, to: out) }
            print(ResultsText.summary(comparison), to: out)
            // Of a run whose line is lost nobody knows how it ended.
            let isLost = ResultsCommand.tell([(before, one), (after, other)])
            let isOpen = isLost || comparison.shared > 0 || comparison.isUndecided
            let status: ExitStatus = comparison.isWorse ? .fail : isOpen ? .undecided : .pass
            try ResultsCommand.saying {
                let told = ComparisonDocument(
                    comparison, changes: comparison.changes, before: side(before, one), after: side(after, other),
                    simulated: simulated, verdict: ResultsText.verdict(status), notes: notes,
                    reason: ResultsText.reason)
                try document?.write(told.bytes)
                try table?.write(told.csv)
                if let page { try ResultForm.page(other, against: one, told, to: page) }
            }
            throw ExitCode(status.rawValue)
        }

        private func side(_ name: String, _ source: any RecordSource) -> ComparisonDocument.Side {
            ComparisonDocument.Side(
                name: source.header.label ?? (Int64(name) == nil ? name : "batch \(name)"),
                started: source.header.started, bench: source.header.bench)
        }
    }
}
