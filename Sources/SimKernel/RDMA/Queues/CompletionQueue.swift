import CKernel
import Glibc
import Kernel

/// A completion queue.
final class CompletionQueue {
    /// A completion, and what polling it gives back to its queue pair.
    struct Entry {
        var completion: ibv_wc
        let queuePair: QueuePair
        /// Places in the send queue: its own request's and those of unsignalled ones before it.
        var sends = 0
        /// Places in the receive queue.
        var receives = 0
        /// Whether the message's sender asked for an event (IBV_SEND_SOLICITED).
        var isSolicited = false
    }

    unowned let kernel: SimKernel
    let context: VerbsContext
    let capacity: Int
    /// What events call it: its structure's address.
    var address: UInt64 = 0
    /// Whether it overran, after which a queue of hardware takes no more entries.
    var isDead = false
    /// Where its events go; nil where it has none.
    let channel: CompletionChannel?
    /// Which completions raise the next event; nil until ibv_req_notify_cq asks for one.
    private var armed: Armed?
    private enum Armed { case any, solicited }
    /// Moderation (ibv_modify_cq): completions per event, and how many came since the last event.
    var eventCount = 1
    /// Nanoseconds after the first of them until fewer raise an event too; 0 for no such limit.
    var eventPeriod: UInt64 = 0
    private var sinceEvent = 0
    private var firstSinceEvent: UInt64 = 0
    /// Queue pairs, counted once for each direction.
    var users = 0
    private var entries: [Entry] = []
    private var first = 0

    init(_ kernel: SimKernel, _ context: VerbsContext, capacity: Int, _ channel: CompletionChannel?) {
        self.channel = channel
        channel?.users += 1
        self.kernel = kernel
        self.context = context
        self.capacity = capacity
    }

    private var count: Int { entries.count - first }

    /// False where it was full.
    func add(_ entry: Entry) -> Bool {
        guard !isDead else { return true }
        guard count < capacity else { return false }
        entries.append(entry)
        tell(of: entry)
        return true
    }

    /// ibv_req_notify_cq: completions that are there already raise no event. A request for solicited completions only does
    /// not narrow an earlier one for all.
    func arm(solicitedOnly: Bool) { if armed != .any { armed = solicitedOnly ? .solicited : .any } }

    private func tell(of entry: Entry) {
        guard let channel, let armed else { return }
        guard armed == .any || entry.isSolicited || entry.completion.status != IBV_WC_SUCCESS else { return }
        if sinceEvent == 0 { firstSinceEvent = kernel.now }
        sinceEvent += 1
        guard sinceEvent >= eventCount else {
            if eventPeriod > 0 { channel.moderated.append(WeakQueue(queue: self)) }
            return
        }
        event(on: channel)
    }

    private func event(on channel: CompletionChannel) {
        sinceEvent = 0
        armed = nil
        channel.events += 1
    }

    /// Raises an event where the moderation period is over. Returns whether completions still wait for one.
    fileprivate func isWaiting(at now: UInt64) -> Bool {
        guard let channel, sinceEvent > 0, eventPeriod > 0 else { return false }
        guard now - firstSinceEvent >= eventPeriod else { return true }
        event(on: channel)
        return false
    }

    func poll(_ completions: UnsafeMutableBufferPointer<ibv_wc>) -> Int {
        kernel.pass(100)
        let taken = min(count, completions.count)
        if taken == 0, !completions.isEmpty { kernel.idle?() }
        for index in 0..<taken {
            let entry = entries[first + index]
            completions[index] = entry.completion
            entry.queuePair.sendsPosted -= entry.sends
            entry.queuePair.receivesPosted -= entry.receives
        }
        first += taken
        if first == entries.count || first >= 4096 {
            entries.removeFirst(first)
            first = 0
        }
        return taken
    }

    /// Removes a destroyed queue pair's completions. hw/mlx5/cq.c:__mlx5_ib_cq_clean
    func forget(_ queuePair: QueuePair) {
        entries.removeFirst(first)
        first = 0
        entries.removeAll { $0.queuePair === queuePair }
    }

    /// Drops completions that nobody polled, which would keep their queue pairs and so this queue alive.
    func empty() {
        entries = []
        first = 0
    }
}

/// Where events of completion queues are waited for.
final class CompletionChannel {
    let context: VerbsContext
    /// Completion queues.
    var users = 0
    /// Events that nobody has taken yet.
    var events = 0

    /// Completion queues whose completions wait for more of them, or for a time.
    fileprivate var moderated: [WeakQueue] = []

    init(_ context: VerbsContext) { self.context = context }

    /// Moderation's timers.
    func advance(to now: UInt64) { moderated.removeAll { !($0.queue?.isWaiting(at: now) ?? false) } }
}

/// A queue that may be destroyed meanwhile.
private struct WeakQueue {
    weak var queue: CompletionQueue?
}
