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
    /// What is missing of it, in a line; nil where nothing is.
    var complaint: String? { get }
    /// The runs, sorted by their ids.
    func each(_ body: (Record) -> Void)
}

extension RecordSource {
    /// Nothing is.
    public var complaint: String? { nil }
}

extension JournalReader: RecordSource {}
