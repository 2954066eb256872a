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
    /// Of hardware, once it was full: it takes no more.
    var isDead = false
    /// Where its events go; nil where it has none.
    let channel: CompletionChannel?
    /// What the next event is; nil until one is asked for.
    private var armed: Armed?
    private enum Armed { case any, solicited }
    /// Moderation: completions that make an event, and how many there were since the last.
    var eventCount = 1
    /// Nanoseconds after the first of them that make one of fewer; 0 for ever.
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

    /// ibv_req_notify_cq: what is there already is no event. Once any completion is asked for, it stays so.
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

    /// Makes an event of what has waited for others for the moderation's period; whether it still waits.
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

    /// hw/mlx5/cq.c:__mlx5_ib_cq_clean: a queue pair that goes takes its completions along.
    func forget(_ queuePair: QueuePair) {
        entries.removeFirst(first)
        first = 0
        entries.removeAll { $0.queuePair === queuePair }
    }

    /// Lets go of what nobody polled: it holds queue pairs, which hold this queue.
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
    /// That nobody has taken yet.
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
