/// The runs of a batch, from a journal or a store. All forms of results are written from it.
public protocol RecordSource {
    /// What was run.
    var header: BatchHeader { get }
    /// How it ended.
    var totals: Totals { get }
    /// Whether all of it was run.
    var isEnded: Bool { get }
    /// How many runs there are.
    var count: Int { get }
    /// What of it could not be read, in a line; nil where all could.
    var complaint: String? { get }
    /// Runs that were planned and of which no line tells, with their files; nil where the plan is not known.
    var neverRun: [(id: String, file: String)]? { get }
    /// The runs, sorted by their ids.
    func each(_ body: (RunRecord) -> Void)
}

extension RecordSource {
    /// Nothing is missing.
    public var complaint: String? { nil }
    /// Not known.
    public var neverRun: [(id: String, file: String)]? { nil }

    /// How many planned runs were not run, in a line; nil where the batch came to its end.
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
