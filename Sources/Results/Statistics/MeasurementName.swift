import Bindings

/// The identity of a measurement within its batch. Two may have the same text, as names contain what a script chose.
public struct MeasurementName: Hashable, Sendable, Comparable {
    /// The run, without its number among repetitions; empty where all are of one scenario.
    public let run: String
    /// The case; nil for processor time, which peerlab measures itself.
    public let one: String?
    private let metric: String
    private let size: Int64?
    private let st: Int64?
    private let ph: String?
    private let label: String

    /// Of a metric.
    init(run: String, case one: String, _ metric: Metric) {
        (self.run, self.one) = (run, one)
        (self.metric, size, st, ph, label) = (metric.name, metric.size, metric.st, metric.ph, metric.label)
    }

    private init(run: String, _ name: String) {
        (self.run, one, metric, size, st, ph, label) = (run, nil, name, nil, nil, nil, name)
    }

    /// How long a run's process kept a processor.
    static func processorTime(of run: String) -> MeasurementName { MeasurementName(run: run, "processor time") }

    /// "a.lua > one > bandwidth, 4096 bytes"
    public var text: String { NamePath.text([run, one ?? "", label]) }

    /// By text, sizes as numbers.
    public static func < (one: MeasurementName, other: MeasurementName) -> Bool {
        NaturalOrder.precedes(one.text, other.text)
    }
}

/// Names that stand one within the other.
enum NamePath {
    private static let arrow = " > "

    /// "a.lua > one"; a name that has an arrow of its own stands in quotes, and one that is empty is left out.
    static func text(_ names: [String]) -> String {
        names.filter { !$0.isEmpty }
            .map { $0.contains(arrow) || $0.first == "\"" ? "\"\($0)\"" : $0 }
            .joined(separator: arrow)
    }
}
