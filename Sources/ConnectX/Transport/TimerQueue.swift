/// Timers, earliest first. A heap, as a guest may have thousands of queue pairs wait.
struct TimerQueue {
    /// The owner of a timer. It may be gone by then.
    enum Subject: Equatable {
        case queuePair(UInt32)
        case completionQueue(UInt32)
    }

    private var heap: [(time: UInt64, subject: Subject)] = []

    /// When the earliest is due, in nanoseconds of the bench's clock.
    var earliest: UInt64? { heap.first?.time }

    mutating func add(_ subject: Subject, at time: UInt64) {
        heap.append((time, subject))
        var place = heap.count - 1
        while place > 0, heap[place].time < heap[(place - 1) / 2].time {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// Takes the earliest that is due.
    mutating func next(_ now: UInt64) -> Subject? {
        guard let first = heap.first, first.time <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first.subject }
        heap[0] = last
        var place = 0
        while true {
            var least = place
            for child in [place * 2 + 1, place * 2 + 2] where child < heap.count && heap[child].time < heap[least].time
            {
                least = child
            }
            guard least != place else { return first.subject }
            heap.swapAt(place, least)
            place = least
        }
    }

    mutating func removeAll() { heap = [] }
}
