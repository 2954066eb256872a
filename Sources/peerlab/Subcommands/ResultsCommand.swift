import ArgumentParser
import Batch
import Commands
import FoundationEssentials
import Glibc
import Kernel
import Results

/// `peerlab results`: replaces this process by peerlab-results, which has the database.
struct ResultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "results", abstract: "Show, export, compare and merge what batches have found.")

    @ArgumentParser.Argument(parsing: .captureForPassthrough, completion: .custom(ResultsTool.completions))
    var arguments: [String] = []

    func run() throws { try ResultsTool.become(arguments) }
}

/// Calls peerlab-results, which lies beside this program.
enum ResultsTool {
    private static var path: String {
        let program = ShippedFolders.program()
        return program.prefix(through: program.lastIndex(of: "/") ?? program.startIndex) + "peerlab-results"
    }

    /// What `peerlab-results` says of its commands, as far as completion needs it.
    private struct Description: Decodable {
        struct Command: Decodable {
            let commandName: String
            let shouldDisplay: Bool
            var subcommands: [Command]?
        }
        let command: Command
    }

    /// The commands of `peerlab results`, for the word behind that.
    @Sendable static func completions(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
        guard index == 2, let pipe = popen("\(ShellWord.quoted(path)) --experimental-dump-help", "r") else { return [] }
        defer { pclose(pipe) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, pipe), count > 0 { bytes += buffer[..<count] }
        let description = try? JSONDecoder().decode(Description.self, from: Data(bytes))
        return (description?.command.subcommands ?? []).filter { $0.shouldDisplay }.map(\.commandName)
    }

    static func become(_ arguments: [String]) throws {
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        words.append(nil)
        execv(path, words)
        throw ValidationError(
            "\(path): \(Errno(errno).message) (\(Errno(errno).name)); it is built together with peerlab")
    }

    /// Adds a journal to the store, and reads the history of its runs.
    static func keep(_ journal: String, in store: String?, add: Bool, history: Bool) throws(Failure) -> KeptBatch {
        let arguments =
            ["keep"] + (add ? ["--add"] : []) + (history ? ["--history"] : []) + (store.map { ["--store", $0] } ?? [])
            + ["--", journal]
        var answer: ProcessExit?
        var rest = [BatchTask(id: "peerlab-results", index: 0, timeout: 600)]
        let workers = Workers(jobs: 1) { _ in
            dup2(3, 1)
            try? become(arguments)
            return 127
        }
        do throws(Errno) {
            try workers.run(next: { rest.popLast() }, finished: { answer = $1 })
        } catch { throw Failure("fork", error, object: path) }
        guard let answer, answer.exit == 0,
            let kept = try? JSONDecoder().decode(KeptBatch.self, from: Data(answer.result))
        else {
            let said = answer?.errors.text.split(separator: "\n").first.map(String.init) ?? "it did not answer"
            throw Failure("peerlab-results", Errno(EIO), object: store ?? "the store", hint: said)
        }
        return kept
    }
}
