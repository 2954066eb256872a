public import Devices
public import Kernel

/// Where scenarios run.
public struct Bench: Sendable {
    /// "sim", "lab" or "host".
    public let kind: String
    /// What the report's first line says after the kind.
    public let description: String
    /// Whether answers are a model's. Such results are never shown as hardware results.
    public let isSimulated: Bool
    /// How the TPH feature is found.
    public let tph: TPHChoice
    /// What is known of the machine, for results to keep; empty for a simulated one.
    public let machine: @Sendable () -> [String: String]
    /// What the kernel keeps this process from; nil where nothing was asked of it.
    public var sandbox: Sandbox?
    /// A kernel for one scenario.
    public var makeKernel: @Sendable () -> any Kernel

    /// Describes a bench.
    public init(
        kind: String, description: String, isSimulated: Bool, tph: TPHChoice,
        machine: @escaping @Sendable () -> [String: String] = { [:] },
        makeKernel: @escaping @Sendable () -> any Kernel
    ) {
        self.kind = kind
        self.description = description
        self.isSimulated = isSimulated
        self.tph = tph
        self.machine = machine
        self.makeKernel = makeKernel
    }

    /// The first line of every report.
    public var line: String {
        "bench: \(kind) (\(description))" + (isSimulated ? "; simulated, not a hardware result" : "")
            + (sandbox.map { "; \($0.line)" } ?? "")
    }
}
