import CKernel
import Kernel

/// A stream's part on one of its queue pairs. Its messages are numbered from 0; their completions have the lane's index and
/// that number as wr_id.
struct TrafficLane {
    let qp: UnsafeMutablePointer<ibv_qp>
    /// Messages that it is to send.
    var total = 0
    var sent = 0
    /// Messages that have ended: completions come in order, and one tells of all before it.
    var done = 0
    /// Those that ended well.
    var good = 0
    var hasFailed = false
    /// Whether its queue pair refused a request.
    var hasRefused = false

    init(_ qp: UnsafeMutablePointer<ibv_qp>) { self.qp = qp }

    /// Bits of a wr_id that are the message's number: no stream sends as many.
    private static let bits: UInt64 = 48

    /// What identifies a message among all lanes.
    @inline(__always)
    static func id(_ lane: Int, _ number: Int) -> UInt64 { UInt64(lane) << bits | UInt64(number) }

    /// The lane and the number of a wr_id.
    @inline(__always)
    static func position(of id: UInt64) -> (lane: Int, number: Int) {
        (Int(id >> bits), Int(id & (1 << bits - 1)))
    }

    /// How many of its messages will report a completion, or have.
    @inline(__always)
    func reporting(every interval: Int) -> Int { sent == total ? total : sent - sent % interval }

    /// Ends it with what was sent, or with one more message: the last one must report its completion, or nobody would know
    /// when all are done.
    @inline(__always)
    mutating func end(every interval: Int) {
        guard total > sent else { return }
        total = sent % interval == 0 ? sent : sent + 1
    }
}
