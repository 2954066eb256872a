/// The last bytes of a stream.
public struct Tail: Sendable {
    private let limit: Int
    /// Bytes seen in all.
    public private(set) var total: UInt64 = 0
    private var kept: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func add(_ bytes: ArraySlice<UInt8>) {
        total += UInt64(bytes.count)
        kept += bytes.suffix(limit)
        // Cut only at twice the limit, so that little is moved.
        if kept.count > 2 * limit { kept.removeFirst(kept.count - limit) }
    }

    /// The last bytes, up to the limit; ill-formed UTF-8 is replaced.
    public var text: String { String(decoding: kept.suffix(limit), as: UTF8.self) }
}
