/// The two PH bits of a request. Source: PCIe base specification, TLP processing hints.
public enum ProcessingHint: UInt8, CaseIterable, Sendable {
    /// Read and written often by host and device.
    case bidirectional = 0
    /// Read and written often by the device.
    case requester = 1
    /// Read and written often by the host.
    case target = 2
    /// As `target`, and expected to be used soon.
    case targetPriority = 3

    /// The name in Lua and in traces.
    public var name: String {
        switch self {
        case .bidirectional: "bidirectional"
        case .requester: "requester"
        case .target: "target"
        case .targetPriority: "target-priority"
        }
    }

    /// The hint with that name; nil for any other text.
    public init?(name: String) {
        guard let hint = ProcessingHint.allCases.first(where: { $0.name == name }) else { return nil }
        self = hint
    }
}
