/// A number that a case measured (`t:metric`).
public struct Metric: Codable, Sendable, Equatable {
    /// What was measured.
    public let name: String
    /// Its value, in `unit`.
    public let value: Double
    /// "B/s", "ns"; empty for a plain number.
    public let unit: String
    /// "higher" or "lower": which values are better; empty where neither is.
    public let better: String
    /// Bytes of a message; nil where the value does not depend on that.
    public let size: Int64?
    /// The steering tag; nil where the value does not depend on it.
    public let st: Int64?
    /// The processing hint; nil where the value does not depend on it.
    public let ph: String?

    /// Identifies it among the metrics of its case: "bandwidth, 4096 bytes, st=0x42".
    public var label: String { labelled(name, size, st, ph) }
}

/// A measurement's name with what it depends on.
private func labelled(_ name: String, _ size: Int64?, _ st: Int64?, _ ph: String?) -> String {
    name + (size.map { ", \($0) bytes" } ?? "") + (st.map { ", st=0x\(String($0, radix: 16))" } ?? "")
        + (ph.map { ", ph=\($0)" } ?? "")
}

/// Latencies that a case measured (`t:latencies`).
public struct Distribution: Codable, Sendable, Equatable {
    /// What was measured.
    public let name: String
    /// Number of latencies.
    public let count: Int64
    /// Their mean, nanoseconds.
    public let mean: Double
    /// Pairs of a percentile and its latency in nanoseconds, ascending.
    public let percentiles: [[Double]]
    /// Bytes of a message; nil where the latencies do not depend on that, or where unknown.
    public let size: Int64?
    /// The steering tag; nil where the latencies do not depend on it.
    public let st: Int64?
    /// The processing hint; nil where the latencies do not depend on it.
    public let ph: String?

    /// Identifies it among the distributions of its case: "write latency, 4096 bytes".
    public var label: String { labelled(name, size, st, ph) }

    /// The stored percentiles.
    static let kept: [Double] = [0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100]
}

/// Findings about a memory region's hint (`mr:tph`).
public struct Evidence: Codable, Sendable, Equatable {
    /// True where some source tells the hint, and where it equals the one requested from the dma-buf's exporter, if
    /// this program requested one.
    public let verified: Bool
    /// The hint requested from the exporter: "st_ext=0x1234 ph=target".
    public let asked: String?
    /// Whether the NIC sends a hint.
    public let enabled: Bool?
    /// The steering tag's index.
    public let st: Int64?
    /// The processing hint.
    public let ph: String?
    /// The source of the finding.
    public let source: String?
    /// Why it is not verified.
    public let reason: String?
    /// Number of equal findings.
    public var count = 1

    func isSame(_ other: Evidence) -> Bool {
        var other = other
        other.count = count
        return self == other
    }
}
