/// Disjoint intervals of addresses in order, found by binary search.
struct IntervalMap<Value> {
    struct Entry {
        let first: UInt64
        let last: UInt64
        var value: Value
    }
    private(set) var entries: [Entry] = []

    /// The index of the first entry that ends at or after `address`.
    func index(of address: UInt64) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func find(_ address: UInt64) -> Entry? {
        let found = index(of: address)
        return found < entries.count && entries[found].first <= address ? entries[found] : nil
    }

    func overlaps(_ first: UInt64, _ last: UInt64) -> Bool { !overlapping(first, last).isEmpty }

    /// The indices of every entry that shares an address with [first, last].
    func overlapping(_ first: UInt64, _ last: UInt64) -> Range<Int> {
        let start = index(of: first)
        var end = start
        while end < entries.count, entries[end].first <= last { end += 1 }
        return start..<end
    }

    /// The interval must be free.
    mutating func insert(_ first: UInt64, _ last: UInt64, _ value: Value) {
        entries.insert(Entry(first: first, last: last, value: value), at: index(of: first))
    }

    /// Changes the value of one entry.
    mutating func change(_ index: Int, _ change: (inout Value) -> Void) { change(&entries[index].value) }

    mutating func remove(_ indices: Range<Int>) { entries.removeSubrange(indices) }
}

/// Numbers that are given out lowest first: descriptors (fs/file.c:alloc_fd), object ids (xa_alloc).
struct LowestFree {
    private var next: Int
    /// A binary heap of the numbers below `next` that came back.
    private var returned: [Int] = []

    init(from first: Int) { next = first }

    mutating func take() -> Int {
        guard let lowest = returned.first else {
            next += 1
            return next - 1
        }
        let last = returned.removeLast()
        if !returned.isEmpty {
            returned[0] = last
            sink()
        }
        return lowest
    }

    mutating func giveBack(_ number: Int) {
        returned.append(number)
        var child = returned.count - 1
        while child > 0, returned[child] < returned[(child - 1) / 2] {
            returned.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func sink() {
        var parent = 0
        while true {
            let children = [2 * parent + 1, 2 * parent + 2].filter { $0 < returned.count }
            guard let least = children.min(by: { returned[$0] < returned[$1] }), returned[least] < returned[parent]
            else { return }
            returned.swapAt(parent, least)
            parent = least
        }
    }
}
