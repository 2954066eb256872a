import Glibc
import Testing

/// What each confinement stops is what its table in the documentation says.
@Suite struct WallsTests {
    private static func lines(_ command: String) -> [Substring] {
        guard let pipe = popen(command, "r") else { return [] }
        defer { pclose(pipe) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { bytes += buffer[..<count] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    /// Rows of a table by their first cell.
    private static func rows(_ lines: [Substring]) -> [String: [Substring]] {
        var rows: [String: [Substring]] = [:]
        for line in lines where line.hasPrefix("| ") {
            var cells = line.dropFirst(2).dropLast(2).split(separator: " | ")
            // Root's files are nobody else's to write.
            if geteuid() != 0 { cells.removeLast() }
            if let name = cells.first { rows[String(name)] = Array(cells.dropFirst()) }
        }
        return rows
    }

    /// Landlock knows ports from its version 4 on.
    static let hasWalls: Bool = {
        let line = lines("'\(TranscriptTests.program)' run /dev/null 2>&1").first ?? ""
        let version = line.split(separator: "landlock ").dropFirst().first.flatMap { Int($0.prefix { $0.isNumber }) }
        return line.contains("seccomp") && (version ?? 0) >= 4
    }()

    @Test(.enabled(if: hasWalls, "this kernel has no landlock, or an old one"))
    func areAsTheDocumentationSays() {
        let found = WallsTests.rows(WallsTests.lines("'\(TranscriptTests.program)' walls 2>&1"))
        let told = WallsTests.rows(
            WallsTests.lines("cat '\(TranscriptTests.root)/Sources/Documentation.docc/Walls.md'"))
        #expect(found.count > 70)
        for name in Set(found.keys).union(told.keys).sorted() {
            #expect(
                found[name] == told[name],
                "\(name): `peerlab walls > Sources/Documentation.docc/Walls.md` writes the table anew")
        }
    }
}
