/// What the kernel's log and its taint flags showed while a case ran.
public struct KernelFindings: Codable, Sendable, Equatable {
    /// Its complaints that the case did not declare; of a kernel that died, what its console said last.
    public var lines: [String] = []
    /// Taint flags that were set meanwhile, as "W (it warned)"; nil for none.
    public var taint: String?
    /// What the case declared with `t:expect_kernel_log`.
    public var expected: [String] = []
    /// What it declared that the kernel may leave out.
    public var allowed: [String] = []
    /// What of the expected was not seen.
    public var unseen: [String] = []
    /// Why nothing is known of what was declared; nil where it was looked for.
    public var unchecked: String?

    /// The most lines that are kept of one case, and bytes of each.
    public static let mostLines = 100, longestLine = 512

    /// Nothing.
    public init() {}

    /// Of a case that declares these; nil where there are none.
    init?(expected: [String], allowed: [String]) {
        guard !expected.isEmpty || !allowed.isEmpty else { return nil }
        self.expected = expected
        self.allowed = allowed
    }

    /// Of a kernel that died.
    public init(lines: [String]) { self.lines = KernelFindings.kept(lines) }

    /// Whether there is nothing to tell.
    var isEmpty: Bool { lines.isEmpty && taint == nil && expected.isEmpty && unchecked == nil }

    /// As many lines as are kept; the last says how many are not.
    static func kept(_ lines: [String]) -> [String] {
        let cut = lines.map { line in
            line.utf8.count > longestLine ? String(decoding: line.utf8.prefix(longestLine), as: UTF8.self) : line
        }
        guard cut.count > mostLines else { return cut }
        return cut.prefix(mostLines) + ["(\(cut.count - mostLines) more lines)"]
    }

    /// What every form of results shows below a case.
    public var shown: [String] {
        let declared = expected + allowed
        let asked = declared.isEmpty ? "" : " for " + declared.map { "'\($0)'" }.joined(separator: ", ")
        return lines.map { "kernel: \($0)" } + (taint.map { ["kernel tainted: \($0)"] } ?? [])
            + (unchecked.map { ["not checked: the kernel's log\(asked): \($0)"] } ?? [])
    }

    /// One of all roles' findings, told apart by their names; nil where there are none.
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
