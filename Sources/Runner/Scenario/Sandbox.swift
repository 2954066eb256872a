/// Restrictions of a run's process that the kernel enforces, whatever code runs in it.
public struct Sandbox: Codable, Sendable, Equatable {
    /// Whether system calls are filtered (seccomp): no new process or program, and only the bench's devices.
    public let seccomp: Bool
    /// The version of landlock that restricts files and ports; 0 for none.
    public let landlock: Int
    /// Restrictions that are missing, each with the reason; empty where all hold.
    public let missing: [String]

    /// From its parts.
    public init(seccomp: Bool, landlock: Int, missing: [String]) {
        self.seccomp = seccomp
        self.landlock = landlock
        self.missing = missing
    }

    /// Text for the report's first line.
    public var line: String {
        let held = (seccomp ? ["seccomp"] : []) + (landlock > 0 ? ["landlock \(landlock)"] : [])
        return "sandbox: " + (held.isEmpty ? "none" : held.joined(separator: ", "))
            + (missing.isEmpty ? "" : "; not enforced: " + missing.joined(separator: ", "))
    }
}
