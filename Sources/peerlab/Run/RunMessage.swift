import FoundationEssentials
import Results
import Runner

/// A line from a peerlab process that may die to one that outlives it: from the lab's guest, whose lines are untrusted,
/// or from a run's own process.
struct RunMessage: Codable {
    /// In a batch: the run's id.
    var run: String?
    /// An event of a run.
    var event: RunEvent?
    /// A run of a batch that has ended.
    var record: RunRecord?

    init(run: String? = nil, _ event: RunEvent) {
        self.run = run
        self.event = event
    }

    init(_ record: RunRecord) { self.record = record }

    /// The message as a line of JSON.
    var line: [UInt8] { ((try? RunRecord.encoder.encode(self)) ?? []) + [0x0a] }
}

/// A stream of such lines, checked and limited in size.
struct RunLines {
    /// Bytes of the longest line; `FrameReader` limits the whole.
    private static let longest = 33 << 20
    private var pending: [UInt8] = []

    /// Adds bytes, and passes on each complete message. False where a line is malformed or too long.
    mutating func add(_ bytes: [UInt8], _ take: (RunMessage) -> Void) -> Bool {
        pending += bytes
        guard pending.count <= RunLines.longest else { return false }
        // Avoids a search in old bytes: only new ones can contain a line's end.
        guard bytes.contains(0x0a) else { return true }
        var rest = pending[...]
        while let end = rest.firstIndex(of: 0x0a) {
            guard let message = try? JSONDecoder().decode(RunMessage.self, from: Data(rest[..<end])) else {
                return false
            }
            take(message)
            rest = rest[end...].dropFirst()
        }
        pending = Array(rest)
        return true
    }
}
