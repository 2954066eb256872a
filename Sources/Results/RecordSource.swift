/// Runs of a batch, from a journal or a store: what all forms are written from.
public protocol RecordSource {
    /// What was run.
    var header: BatchHeader { get }
    /// How it ended.
    var totals: Totals { get }
    /// Whether all of it was run.
    var isEnded: Bool { get }
    /// How many runs there are.
    var count: Int { get }
    /// The runs, sorted by their ids.
    func each(_ body: (Record) -> Void)
}

extension JournalReader: RecordSource {}

/// A batch of a store.
public struct StoredBatch: RecordSource {
    /// See ``RecordSource``.
    public let header: BatchHeader
    /// See ``RecordSource``.
    public let totals: Totals
    /// See ``RecordSource``.
    public let isEnded: Bool
    private let records: [Record]

    init(_ batch: Store.Batch, _ records: [Record]) {
        header = batch.header
        totals = batch.totals
        isEnded = batch.isComplete
        self.records = records
    }

    /// See ``RecordSource``.
    public var count: Int { records.count }
    /// See ``RecordSource``.
    public func each(_ body: (Record) -> Void) { records.forEach(body) }
}
