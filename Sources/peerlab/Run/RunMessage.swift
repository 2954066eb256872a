import FoundationEssentials
import Results
import Runner

/// A line that a peerlab which may be ended tells the one that outlives it: one in the lab's guest, whose lines are read as a
/// stranger's, or a run's own process.
struct RunMessage: Codable {
    /// Of a batch, which of its runs.
    var run: String?
    /// How a run goes on.
    var event: RunEvent?
    /// A run of a batch that has ended.
    var record: RunRecord?

    init(run: String? = nil, _ event: RunEvent) {
        self.run = run
        self.event = event
    }

    init(_ record: RunRecord) { self.record = record }

    /// As it goes.
    var line: [UInt8] { ((try? RunRecord.encoder.encode(self)) ?? []) + [0x0a] }
}

/// Such lines as they come: checked, and bounded however much that is.
struct RunLines {
    /// The most of one line, bytes; of all, `FrameReader` has a limit.
    private static let longest = 33 << 20
    private var pending: [UInt8] = []

    /// Takes bytes as they come, and gives each line that is one. False where it is none of ours.
    mutating func add(_ bytes: [UInt8], _ take: (RunMessage) -> Void) -> Bool {
        pending += bytes
        guard pending.count <= RunLines.longest else { return false }
        // Only what is new can have an end.
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
