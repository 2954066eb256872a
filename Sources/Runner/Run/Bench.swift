public import Devices
public import Kernel

/// A bench: where scenarios run.
public struct Bench: Sendable {
    /// "sim", "lab" or "host".
    public let kind: String
    /// Its description in the report's first line.
    public let description: String
    /// Whether the kernel's answers come from a model. Such results are never shown as hardware results.
    public let isSimulated: Bool
    /// How the TPH feature is found.
    public let tph: TPHChoice
    /// Properties of the machine, stored with results; empty for a simulated one.
    public let machine: @Sendable () -> [String: String]
    /// Restrictions of this process that the kernel enforces; nil where none were requested.
    public var sandbox: Sandbox?
    /// The folder with the lab's scripts, for advice.
    public var labScripts = "scripts/lab"
    /// Makes the kernel handle for one scenario.
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
