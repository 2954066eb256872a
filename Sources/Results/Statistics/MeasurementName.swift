import Bindings

/// The identity of a measurement within its batch. Different ones may have the same text, as scripts choose parts of
/// it.
public struct MeasurementName: Hashable, Sendable, Comparable {
    /// The run, without the repetition's number; empty where all measurements are of one scenario.
    public let run: String
    /// The case; nil for processor time, which peerlab measures itself.
    public let one: String?
    private let metric: String
    private let size: Int64?
    private let st: Int64?
    private let ph: String?
    private let label: String

    /// For a metric.
    init(run: String, case one: String, _ metric: Metric) {
        (self.run, self.one) = (run, one)
        (self.metric, size, st, ph, label) = (metric.name, metric.size, metric.st, metric.ph, metric.label)
    }

    private init(run: String, _ name: String) {
        (self.run, one, metric, size, st, ph, label) = (run, nil, name, nil, nil, nil, name)
    }

    /// For a run's processor time.
    static func processorTime(of run: String) -> MeasurementName { MeasurementName(run: run, "processor time") }

    /// "a.lua > one > bandwidth, 4096 bytes"
    public var text: String { NamePath.text([run, one ?? "", label]) }

    /// Ordered by text, with numbers compared as numbers.
    public static func < (one: MeasurementName, other: MeasurementName) -> Bool {
        NaturalOrder.precedes(one.text, other.text)
    }
}

/// Nested names as one text.
enum NamePath {
    private static let arrow = " > "

    /// "a.lua > one". A name that contains ">" is quoted; an empty one is left out.
    static func text(_ names: [String]) -> String {
        names.filter { !$0.isEmpty }
            .map { $0.contains(arrow) || $0.first == "\"" ? "\"\($0)\"" : $0 }
            .joined(separator: arrow)
    }
}
