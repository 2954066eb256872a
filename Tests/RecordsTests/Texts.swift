@testable import Records

/// A record of these lines. Calls get a time, which lines of a feature or the record's end have not.
func recordText(_ lines: String...) -> String {
    "peerlab record 1\n\n"
        + lines.map { $0.hasPrefix("feature ") || $0.hasPrefix("#!") ? $0 + "\n" : $0 + " <0.000001>\n" }.joined()
}

/// The C of a record.
func exportedC(_ text: String) throws -> String { try CExport(Record(parsing: text)).text }

/// The lines of C that access mapped memory.
func accesses(_ c: String) -> [Substring] {
    c.split(separator: "\n").filter { line in
        line.contains("got = copy(") || ["loaded(", "stored("].contains(where: line.drop { $0 == "\t" }.hasPrefix)
    }
}

extension HostileNumberTests {
    /// The calls of ``text`` but the last, which unmaps, and another one.
    static func text(endingWith call: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().joined(separator: "\n")
            + "\n\(call) <0.000001>\n"
    }
}
