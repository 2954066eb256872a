public import Runner

/// One measurement of a batch in short: all repetitions of its run together.
public struct SampleSummary: Sendable {
    /// The measurement.
    public let name: MeasurementName
    /// The unit of the numbers.
    public let unit: Unit
    /// Number of runs.
    public let count: Int
    /// The median of the runs' values.
    public let median: Double
    /// The least and the greatest value.
    public let range: ClosedRange<Double>

    /// "a.lua > one > bandwidth, 64 bytes = 1.2 GB/s (n = 8, 1.1 GB/s to 1.3 GB/s)"
    public var text: String {
        let start = "\(name.text) = \(unit.amount(median))"
        guard count > 1 else { return start }
        return start + " (n = \(count), \(unit.amount(range.lowerBound)) to \(unit.amount(range.upperBound)))"
    }
}

extension Samples {
    /// Declared measurements, by name; each in the unit that its scenario gives first. Values of another kind of unit
    /// are left out.
    public var summaries: [SampleSummary] {
        declared.sorted().compactMap { name in
            guard let (unit, values) = values(of: name), let least = values.min(), let most = values.max() else {
                return nil
            }
            return SampleSummary(
                name: name, unit: unit, count: values.count, median: Comparison.median(values.sorted()),
                range: least...most)
        }
    }
}
