import FoundationEssentials
import Runner

/// A page in a single file without external references: a template, and the results as JSON, which a script in it
/// shows.
enum HTMLReport {
    /// `comparison`: how the batch compares with another one, whose measurements are charted too.
    static func write(
        _ journal: some RecordSource, history: [String: [PastRun]],
        comparison: (document: ComparisonDocument, before: any RecordSource)? = nil,
        to pieces: inout ResultFile.Pieces
    ) {
        var page = pieces
        let encoder = RunRecord.encoder
        func json(_ value: some Encodable) -> [UInt8] {
            safe((try? encoder.encode(value)) ?? Array("null".utf8))
        }
        let batch = Batch(header: journal.header, totals: journal.totals, complete: journal.isEnded)
        var rest = PackageResources.report_html[...]
        page.add(cut("@BATCH@", &rest))
        page.add(json(batch))
        page.add(cut("@HISTORY@", &rest))
        page.add(json(history))
        page.add(cut("@COMPARISON@", &rest))
        page.add(safe(comparison?.document.bytes ?? Array("null".utf8)))
        func add(_ mark: String, _ source: (any RecordSource)?) {
            page.add(cut(mark, &rest))
            page.add("[")
            var isFirst = true
            source?.each { record in
                if !isFirst { page.add(",\n") }
                isFirst = false
                page.add(json(record))
            }
            page.add("]")
        }
        add("@BEFORE@", comparison?.before)
        add("@RECORDS@", journal)
        page.add(rest)
        pieces = page
    }

    private struct Batch: Encodable {
        let header: BatchHeader
        let totals: Totals
        let complete: Bool
    }

    /// Removes and returns the template's text before a marker.
    private static func cut(_ mark: String, _ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard let range = rest.firstRange(of: Array(mark.utf8)) else { return [] }
        let before = rest[..<range.lowerBound]
        rest = rest[range.upperBound...]
        return before
    }

    /// Escapes JSON for a script element: nothing in it may look like the end of that element, or the start of a
    /// comment.
    private static func safe(_ json: [UInt8]) -> [UInt8] {
        guard json.contains(0x3c) else { return json }
        return json.flatMap { $0 == 0x3c ? Array("\\u003c".utf8) : [$0] }
    }
}

/// An earlier run with the same id.
public struct PastRun: Codable, Sendable {
    /// When it began.
    public let started: String
    /// How it ended.
    public let outcome: Outcome
    /// Its wall-clock time, nanoseconds.
    public let wall_ns: UInt64

    /// An earlier run.
    public init(started: String, outcome: Outcome, wall_ns: UInt64) {
        self.started = started
        self.outcome = outcome
        self.wall_ns = wall_ns
    }
}

/// The store's answer when a batch is added.
public struct KeptBatch: Codable, Sendable {
    /// The batch's number in the store; nil where it was not to be stored.
    public let number: Int64?
    /// The store's path.
    public let store: String
    /// Earlier runs of the same ids.
    public let history: [String: [PastRun]]

    /// From its parts.
    public init(number: Int64?, store: String, history: [String: [PastRun]]) {
        self.number = number
        self.store = store
        self.history = history
    }
}
