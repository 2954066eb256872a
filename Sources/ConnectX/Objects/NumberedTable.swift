/// Objects of one kind by their numbers, which the device chooses. A freed number is given again only when all others
/// were.
struct NumberedTable<Object> {
    /// The first number, and how many there are at most.
    let first: Int
    let limit: Int

    private var slots: [Object?] = []
    private var freed: [Int] = []
    private var oldest = 0

    init(first: Int, limit: Int) {
        self.first = first
        self.limit = limit
    }

    /// How many there are.
    var count: Int { slots.count - (freed.count - oldest) }

    /// The object of a number, if there is one.
    @inline(__always)
    subscript(number: Int) -> Object? {
        let slot = number &- first
        return slot >= 0 && slot < slots.count ? slots[slot] : nil
    }

    /// The object of a number, as requests and contexts have it.
    @inline(__always)
    subscript(number: UInt32) -> Object? { self[Int(number)] }

    /// Objects with their numbers, in the order of these.
    var all: [(number: Int, object: Object)] {
        slots.enumerated().compactMap { slot, object in object.map { (first + slot, $0) } }
    }

    /// The object of the lowest number that fits a condition.
    func first(where isWanted: (Object) -> Bool) -> Object? {
        for case let object? in slots where isWanted(object) { return object }
        return nil
    }

    /// Whether an object fits a condition.
    func contains(where isWanted: (Object) -> Bool) -> Bool {
        slots.contains { $0.map(isWanted) ?? false }
    }

    /// Adds an object, which `make` makes from its number.
    /// - Throws: what `make` throws; noResources where all numbers are in use.
    mutating func add(_ make: (Int) throws(CommandFailure) -> Object) throws(CommandFailure) -> Int {
        if slots.count < limit {
            slots.append(try make(first + slots.count))
            return first + slots.count - 1
        }
        guard oldest < freed.count else { throw CommandFailure(.noResources, "all numbers of this kind are in use") }
        let slot = freed[oldest]
        slots[slot] = try make(first + slot)
        oldest += 1
        if oldest == freed.count || oldest >= 4096 {
            freed.removeFirst(oldest)
            oldest = 0
        }
        return first + slot
    }

    /// Takes an object out.
    /// - Returns: nil where there is none of that number.
    mutating func remove(_ number: Int) -> Object? {
        guard let object = self[number] else { return nil }
        slots[number - first] = nil
        freed.append(number - first)
        return object
    }

    /// Takes all out; numbers are given from the first one on.
    mutating func removeAll() {
        slots = []
        freed = []
        oldest = 0
    }
}
