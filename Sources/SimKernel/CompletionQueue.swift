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
    }

    unowned let kernel: SimKernel
    let context: VerbsContext
    let capacity: Int
    /// Queue pairs, counted once for each direction.
    var users = 0
    private var entries: [Entry] = []
    private var first = 0

    init(_ kernel: SimKernel, _ context: VerbsContext, capacity: Int) {
        self.kernel = kernel
        self.context = context
        self.capacity = capacity
    }

    private var count: Int { entries.count - first }

    /// False where it was full; a NIC's queue is useless from then on.
    func add(_ entry: Entry) -> Bool {
        guard count < capacity else { return false }
        entries.append(entry)
        return true
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
}
