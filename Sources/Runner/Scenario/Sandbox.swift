/// What the kernel keeps a run's process from, whatever the script finds to do in it.
public struct Sandbox: Codable, Sendable, Equatable {
    /// Whether its calls are filtered (seccomp): no process, no program, no device beyond the bench's.
    public let seccomp: Bool
    /// The version of landlock that keeps files and ports; 0 where none does.
    public let landlock: Int
    /// Why something is not kept, in words; empty where all is.
    public let missing: [String]

    /// What holds, and what does not.
    public init(seccomp: Bool, landlock: Int, missing: [String]) {
        self.seccomp = seccomp
        self.landlock = landlock
        self.missing = missing
    }

    /// For the report's first line.
    public var line: String {
        let held = (seccomp ? ["seccomp"] : []) + (landlock > 0 ? ["landlock \(landlock)"] : [])
        return "sandbox: " + (held.isEmpty ? "none" : held.joined(separator: ", "))
            + (missing.isEmpty ? "" : "; not enforced: " + missing.joined(separator: ", "))
    }
}
