/// The last bytes of a stream.
public struct Tail: Sendable {
    private let limit: Int
    /// Bytes that went by.
    public private(set) var total: UInt64 = 0
    private var kept: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func add(_ bytes: ArraySlice<UInt8>) {
        total += UInt64(bytes.count)
        kept += bytes.suffix(limit)
        // Twice as much before it is cut, so that little is moved.
        if kept.count > 2 * limit { kept.removeFirst(kept.count - limit) }
    }

    /// At most as many bytes as are kept, whatever is no UTF-8 replaced.
    public var text: String { String(decoding: kept.suffix(limit), as: UTF8.self) }
}
