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
        let text = try Transcript.contents(TranscriptTests.folder + "/" + file)
        let commands = Transcript.commands(text.split(separator: "\n", omittingEmptySubsequences: false))
        #expect(!commands.isEmpty, "\(file) has no command")
        for (command, expected) in commands { check(command, expected, file) }
    }

    private func check(_ command: Substring, _ expected: [Substring], _ file: String) {
        let found = run(Transcript.replacingPrefix(command, "peerlab", with: "'\(TranscriptTests.program)'"))
        let message = Transcript.mismatch(found, expected)
        #expect(message == nil, "\(file): $ \(command)\n\(message ?? "")\nfound:\n\(found.joined(separator: "\n"))")
    }

    private func run(_ command: String) -> [Substring] {
        let run = Shell.run(command, results: TranscriptTests.results)
        return (run.output + "[\(run.status)]").split(separator: "\n", omittingEmptySubsequences: false)
    }
}
