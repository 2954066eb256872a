/// What the kernel's log and its taint flags showed while a case ran.
public struct KernelFindings: Codable, Sendable, Equatable {
    /// Complaints that the case did not declare; for a crashed kernel, its console's last lines.
    public var lines: [String] = []
    /// Taint flags set during the case, as "W (it warned)"; nil for none.
    public var taint: String?
    /// Patterns that the case declared with `t:expect_kernel_log`.
    public var expected: [String] = []
    /// Patterns that the case declared as optional.
    public var allowed: [String] = []
    /// Expected patterns that were not found.
    public var unseen: [String] = []
    /// Why declared patterns could not be checked; nil where they were.
    public var unchecked: String?

    /// Limits: lines kept of one case, and bytes of each.
    public static let mostLines = 100, longestLine = 512

    /// Empty.
    public init() {}

    /// For a case with these patterns; nil where there are none.
    init?(expected: [String], allowed: [String]) {
        guard !expected.isEmpty || !allowed.isEmpty else { return nil }
        self.expected = expected
        self.allowed = allowed
    }

    /// For a crashed kernel.
    public init(lines: [String]) { self.lines = KernelFindings.kept(lines) }

    /// Whether a report shows nothing of it.
    var isEmpty: Bool { lines.isEmpty && taint == nil && expected.isEmpty && unchecked == nil }

    /// Lines up to the limit; the last one says how many were dropped.
    static func kept(_ lines: [String]) -> [String] {
        let cut = lines.map { line in
            line.utf8.count > longestLine ? String(decoding: line.utf8.prefix(longestLine), as: UTF8.self) : line
        }
        guard cut.count > mostLines else { return cut }
        return cut.prefix(mostLines) + ["(\(cut.count - mostLines) more lines)"]
    }

    /// The lines that every format of results shows below a case.
    public var shown: [String] {
        let declared = expected + allowed
        let asked = declared.isEmpty ? "" : " for " + declared.map { "'\($0)'" }.joined(separator: ", ")
        return lines.map { "kernel: \($0)" } + (taint.map { ["kernel tainted: \($0)"] } ?? [])
            + (unchecked.map { ["not checked: the kernel's log\(asked): \($0)"] } ?? [])
    }

    /// Merges the findings of all roles, marked with their names; nil where there are none.
    static func merged(_ all: [(role: String, findings: KernelFindings?)]) -> KernelFindings? {
        var merged = KernelFindings()
        for case (let role, let one?) in all {
            merged.lines += one.lines.map { "[\(role)] \($0)" }
            merged.expected += one.expected.filter { !merged.expected.contains($0) }
            merged.allowed += one.allowed.filter { !merged.allowed.contains($0) }
            merged.unseen += one.unseen.filter { !merged.unseen.contains($0) }
            merged.taint = merged.taint ?? one.taint
            merged.unchecked = merged.unchecked ?? one.unchecked
        }
        return merged == KernelFindings() ? nil : merged
    }
}
