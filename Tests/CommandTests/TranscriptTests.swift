import Glibc
import Testing

/// Commands and what they print, as files that read like a terminal: "$ COMMAND", its output (both streams) and "[exit
/// code]". "..." in a line stands for anything; a line of "..." for any number of lines.
@Suite struct TranscriptTests {
    static let root = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined())
    static let folder = root + "/Tests/CommandTests/Transcripts"

    static let files: [String] = {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".txt") { names.append(name) }
        }
        return names.sorted()
    }()

    /// The program that was built with these tests.
    static let program: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let beside = path.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/peerlab"
        return access(beside, X_OK) == 0 ? beside : root + "/.build/debug/peerlab"
    }()

    /// Where batches keep their results: not with the user's.
    static let results: String = {
        let folder = "/tmp/peerlab-transcripts.\(getpid())"
        atexit { _ = system("rm -rf /tmp/peerlab-transcripts.\(getpid())") }
        return folder
    }()

    @Test func thereAreTranscripts() { #expect(TranscriptTests.files.count >= 5) }

    @Test(arguments: files)
    func printsWhatTheTranscriptSays(_ file: String) throws {
        let text = try contents(TranscriptTests.folder + "/" + file)
        var expected: [Substring] = []
        var command: Substring?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            guard line.hasPrefix("$ ") else {
                expected.append(line)
                continue
            }
            if let command { check(command, expected, file) }
            command = line.dropFirst(2)
            expected = []
        }
        let last = try #require(command, "\(file) has no command")
        check(last, expected, file)
    }

    private func check(_ command: Substring, _ expected: [Substring], _ file: String) {
        let found = run(command.replacingPrefix("peerlab", with: "'\(TranscriptTests.program)'"))
        let wanted = expected.drop { $0.isEmpty }.reversed().drop { $0.isEmpty }.reversed()
        let message = TranscriptTests.matches(Array(found), Array(wanted))
        #expect(message == nil, "\(file): $ \(command)\n\(message ?? "")\nfound:\n\(found.joined(separator: "\n"))")
    }

    /// Nil where the lines fit, else the first that does not.
    static func matches(_ found: [Substring], _ wanted: [Substring]) -> String? {
        guard let first = wanted.first else { return found.isEmpty ? nil : "more than expected: \(found[0])" }
        if first == "..." {
            let rest = Array(wanted.dropFirst())
            for start in 0...found.count where matches(Array(found[start...]), rest) == nil { return nil }
            return "nothing fits after '...': \(rest.first ?? "")"
        }
        guard let line = found.first else { return "missing: \(first)" }
        guard fits(line, first) else { return "expected: \(first)\nfound:    \(line)" }
        return matches(Array(found.dropFirst()), Array(wanted.dropFirst()))
    }

    private static func fits(_ line: Substring, _ pattern: Substring) -> Bool {
        fnmatch(pattern.escapingForFnmatch(), String(line), 0) == 0
    }

    private func run(_ command: String) -> [Substring] {
        let run = Shell.run(command, results: TranscriptTests.results)
        return (run.output + "[\(run.status)]").split(separator: "\n", omittingEmptySubsequences: false)
    }

}

/// A file's text.
func contents(_ path: String) throws -> String {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self)
}

extension Substring {
    fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String {
        hasPrefix(prefix) ? other + dropFirst(prefix.count) : String(self)
    }

    /// "..." is the only wildcard.
    fileprivate func escapingForFnmatch() -> String {
        var text = ""
        for character in self {
            if "*?[]\\".contains(character) { text.append("\\") }
            text.append(character)
        }
        return text.replacingDots()
    }
}

extension String {
    fileprivate func replacingDots() -> String {
        var result = ""
        var rest = Substring(self)
        while let range = rest.firstRange(of: "...") {
            result += rest[..<range.lowerBound] + "*"
            rest = rest[range.upperBound...]
        }
        return result + rest
    }
}
