import FoundationEssentials
import Glibc
public import Kernel
import Runner

/// Reads a journal: its runs one by one, sorted by their ids, however many there are.
public final class JournalReader {
    private let file: JournalLines
    private let path: String
    /// The command line and the bench of the batch.
    public let header: BatchHeader
    private struct Line {
        let id: String
        let number: Int
        let offset: Int
        let outcome: Outcome
        let isFlaky: Bool
    }
    /// Offsets of the runs' lines, sorted by id. Only these are kept in memory, as there may be many runs.
    private var lines: [Line] = []
    /// Most lines of a journal, which is untrusted.
    private static let mostLines = 5_000_000
    /// Counts of runs by outcome.
    public private(set) var totals = Totals()
    /// Whether the batch was completed.
    public private(set) var isEnded = false
    /// The files of the batch when it was begun. Empty where they were not asked for, or where the journal does not
    /// list them all.
    public private(set) var planned: [PlannedFile] = []

    /// Lines that cannot be read and are left out: their number, and the line numbers of the first of them, from 1.
    public private(set) var unread: (count: Int, first: [Int]) = (0, [])

    /// A sentence about ``unread`` for the user; nil where all lines were read.
    public var complaint: String? {
        guard unread.count > 0 else { return nil }
        let places = unread.first.map { "\($0)" }.joined(separator: ", ")
        return
            (unread.count == 1
            ? "1 line of it cannot be read and is left out: "
            : "\(unread.count) lines of it cannot be read and are left out: ")
            + places + (unread.count > unread.first.count ? ", ..." : "")
    }

    private func leaveOut(line number: Int) {
        unread.count += 1
        if unread.first.count < 10 { unread.first.append(number) }
    }

    private struct Head: Decodable {
        let id: String?
        let outcome: Outcome?
        let flaky: Bool?
        let ended: String?
        let planned: String?
    }

    /// Opens a journal. EPROTO where the file is not one, EFBIG where a line or the number of lines exceeds the limits.
    /// Of several lines of one run the last counts; a cut line is left out. `keepsPlan`: fills ``planned``, which takes
    /// much memory for many runs.
    public convenience init(_ path: String, keepsPlan: Bool = false) throws(Failure) {
        try self.init(try JournalLines(path), path, keepsPlan: keepsPlan)
    }

    init(_ file: JournalLines, _ path: String, keepsPlan: Bool) throws(Failure) {
        self.file = file
        self.path = path
        let (header, next) = try JournalReader.header(file, path)
        self.header = header
        try index(path, from: next, keepsPlan: keepsPlan)
    }

    /// The first line, and the offset of the next.
    static func header(
        _ file: JournalLines, _ path: String
    ) throws(Failure) -> (header: BatchHeader, next: Int) {
        guard let (line, next) = try file.line(at: 0),
            let header = try? JSONDecoder().decode(BatchHeader.self, from: line), header.journal == BatchHeader.mark
        else {
            throw Failure("read", Errno(EPROTO), object: path, hint: "it is no journal of peerlab batch")
        }
        return (header, next)
    }

    /// Throws EPERM for a journal that other users could have written.
    public func checkOwnership() throws(Failure) {
        try Ownership.check(
            file.status, path,
            or: "read it, and name it with --resume --journal FILE on a terminal, where its command is shown and asked")
    }

    private func index(_ path: String, from start: Int, keepsPlan: Bool) throws(Failure) {
        let decoder = JSONDecoder()
        var offset = start
        var runs = 0, number = 1
        while let (line, next) = try file.line(at: offset) {
            defer { offset = next }
            number += 1
            guard let head = JournalReader.head(line, decoder) else {
                if line.count > 1 { leaveOut(line: number) }
                continue
            }
            if head.ended != nil { isEnded = true }
            if head.planned != nil, let one = try? decoder.decode(PlannedFile.self, from: line) {
                runs += one.ids.count
                if keepsPlan { planned.append(one) }
            }
            if let id = head.id, let outcome = head.outcome {
                lines.append(
                    Line(id: id, number: number, offset: offset, outcome: outcome, isFlaky: head.flaky ?? false))
            }
            guard max(lines.count, runs) <= JournalReader.mostLines else {
                throw Failure(
                    "read", Errno(EFBIG), object: path, hint: "it has more than \(JournalReader.mostLines) runs")
            }
        }
        // The plan is incomplete: the batch was killed while it wrote it, and has run nothing.
        if runs != header.runs { planned = [] }
        lines.sort { $0.id == $1.id ? $0.offset < $1.offset : NaturalOrder.precedes($0.id, $1.id) }
        var kept = 0
        for index in lines.indices where index + 1 == lines.count || lines[index + 1].id != lines[index].id {
            lines[kept] = lines[index]
            kept += 1
        }
        lines.removeLast(lines.count - kept)
        for line in lines { totals.add(line.outcome, flaky: line.isFlaky) }
    }

    /// Decodes the kind of a line; nil for a line that no batch writes.
    private static func head(_ line: Data, _ decoder: JSONDecoder) -> Head? {
        guard let head = try? decoder.decode(Head.self, from: line) else { return nil }
        if head.id != nil { return (try? decoder.decode(RunRecord.self, from: line)) != nil ? head : nil }
        return head.ended != nil || head.planned != nil ? head : nil
    }

    /// A run's outcome, and whether it is flaky; nil where unknown.
    public func outcome(of id: String) -> (outcome: Outcome, isFlaky: Bool)? {
        var (low, high) = (0, lines.count)
        while low < high {
            let middle = (low + high) / 2
            if NaturalOrder.precedes(lines[middle].id, id) { low = middle + 1 } else { high = middle }
        }
        return low < lines.count && lines[low].id == id ? (lines[low].outcome, lines[low].isFlaky) : nil
    }

    /// Whether a run was run to its end, without an interrupt.
    public func hasFinished(_ id: String) -> Bool {
        outcome(of: id).map { $0.outcome != .interrupted && $0.outcome != .notRun } ?? false
    }

    /// See ``RecordSource``; only where the plan was kept.
    public var neverRun: [(id: String, file: String)]? {
        guard !planned.isEmpty else { return nil }
        return planned.flatMap { file in
            file.ids.filter { outcome(of: $0) == nil }.map { (id: $0, file: file.planned) }
        }
    }

    /// The ids of all runs, sorted.
    public var ids: [String] { lines.map(\.id) }
    /// Number of runs.
    public var count: Int { lines.count }

    /// The runs, in the order of ``ids``.
    public func each(_ body: (RunRecord) -> Void) {
        let decoder = JSONDecoder()
        for line in lines {
            guard let data = try? file.line(at: line.offset)?.text,
                let record = try? decoder.decode(RunRecord.self, from: data)
            else {
                leaveOut(line: line.number)
                continue
            }
            body(record)
        }
    }
}
