/// A number that a case measured (`t:metric`).
public struct Metric: Codable, Sendable, Equatable {
    /// What was measured.
    public let name: String
    /// Its value, in `unit`.
    public let value: Double
    /// "B/s", "ns"; empty for a plain number.
    public let unit: String
    /// Whether more is better ("higher"), or less ("lower"); empty where neither is.
    public let better: String
    /// Bytes of a message, where it depends on that.
    public let size: Int64?
    /// The steering tag, where it depends on that.
    public let st: Int64?
    /// The processing hint, where it depends on that.
    public let ph: String?

    /// What tells it from other metrics of its case: "bandwidth, 4096 bytes, st=0x42".
    public var label: String {
        name + (size.map { ", \($0) bytes" } ?? "") + (st.map { ", st=0x\(String($0, radix: 16))" } ?? "")
            + (ph.map { ", ph=\($0)" } ?? "")
    }
}

/// Latencies that a case measured (`t:latencies`).
public struct Distribution: Codable, Sendable, Equatable {
    /// What was measured.
    public let name: String
    /// How many there were.
    public let count: Int64
    /// Their mean, nanoseconds.
    public let mean: Double
    /// Percentiles and the nanoseconds that so many of them did not exceed, ascending.
    public let percentiles: [[Double]]

    /// The percentiles that are kept.
    static let kept: [Double] = [0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100]
}

/// What was found out about a region's hint (`mr:tph`).
public struct Evidence: Codable, Sendable, Equatable {
    /// Whether something told it, and it is the one that the dma-buf's exporter was asked for, where this program asked.
    public let verified: Bool
    /// What the exporter was asked for: "st_ext=0x1234 ph=target".
    public let asked: String?
    /// Whether the NIC sets a hint.
    public let enabled: Bool?
    /// The steering tag's index.
    public let st: Int64?
    /// The processing hint.
    public let ph: String?
    /// What told it.
    public let source: String?
    /// Why it is not verified.
    public let reason: String?
    /// How often the same was found.
    public var count = 1

    func isSame(_ other: Evidence) -> Bool {
        var other = other
        other.count = count
        return self == other
    }
}
