/// The runs of a batch, from a journal or a store. All formats of results are written from it.
public protocol RecordSource {
    /// The command line and the bench of the batch.
    var header: BatchHeader { get }
    /// Counts by outcome.
    var totals: Totals { get }
    /// Whether the batch was completed.
    var isEnded: Bool { get }
    /// Number of runs.
    var count: Int { get }
    /// A line about parts that could not be read; nil where there are none.
    var complaint: String? { get }
    /// Planned runs without a line, with their files; nil where the plan is unknown.
    var neverRun: [(id: String, file: String)]? { get }
    /// The runs, sorted by their ids.
    func each(_ body: (RunRecord) -> Void)
}

extension RecordSource {
    /// None.
    public var complaint: String? { nil }
    /// Unknown.
    public var neverRun: [(id: String, file: String)]? { nil }

    /// A line about the number of planned runs that were not run; nil where the batch was completed.
    public var shortfall: String? {
        guard !isEnded else { return nil }
        let text = "the batch is not complete"
        guard let ids = neverRun?.map(\.id) else { return text + ", and which of its runs are wanting is not known" }
        guard !ids.isEmpty else { return text + ", though all of its runs were run" }
        let few = ids.sorted(by: NaturalOrder.precedes).prefix(10).joined(separator: ", ")
        return text
            + ": of \(ids.count + count) runs \(ids.count == 1 ? "1 was" : "\(ids.count) were") never run: \(few)"
            + (ids.count > 10 ? ", ..." : "")
    }
}

extension JournalReader: RecordSource {}
