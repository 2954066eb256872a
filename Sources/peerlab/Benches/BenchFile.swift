import Batch
import CKernel
import Commands
import FoundationEssentials
import Glibc
import Kernel
import LuaKit
import Runner

/// Runs a bench file that was named by path. It is Lua of unknown origin, so it runs in a process that can only read
/// the file's folder; only plain values come back, which are untrusted too.
enum BenchFile {
    /// Limits: seconds, bytes of memory, printed bytes, and bytes of the result.
    private static let time = 5.0
    private static let memory: UInt64 = 256 << 20
    private static let output: UInt64 = 1 << 20
    private static let longest = 8 << 20

    private struct Answer: Codable {
        var error: String?
        var value: SentValue?
    }

    /// The table that the file returns.
    static func table(of path: String, _ library: Library) throws(ErrorValue) -> LuaValue {
        // Checked here, so that a wrong path is reported like any mistake of the command line.
        do throws(Failure) { close(try InputFile.open(path)) } catch {
            throw ErrorValue(kind: .usage, "cannot read \(path): \(error.errno.message) (\(error.errno.name))")
        }
        let signals = [SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ].map { number in
            var action = sigaction()
            sigaction(number, nil, &action)
            return (number, action)
        }
        defer { for (number, var action) in signals { sigaction(number, &action, nil) } }
        var rest = [BatchTask(id: path, index: 0, timeout: time, memory: memory, output: output)]
        var ending: ProcessExit?
        let workers = Workers(jobs: 1) { _ in
            let bytes = answer(path, library)
            return writeAll(bytes, to: 3) ? 0 : 1
        }
        do throws(Errno) { try workers.run(next: { rest.popLast() }, finished: { ending = $1 }) } catch {
            throw ErrorValue(kind: .usage, "\(path): a bench file runs in a process of its own: \(error.message)")
        }
        guard let ending else { throw ErrorValue(kind: .usage, "\(path): interrupted") }
        return try value(of: ending, path)
    }

    /// Runs in the child: the encoded result.
    private static func answer(_ path: String, _ library: Library) -> [UInt8] {
        _ = Confinement(simulated: [path], library, memory: 0).apply()
        _ = sandbox_limit(SANDBOX_CPU_TIME, UInt64(time) * 2)
        var answer = Answer()
        do throws(ErrorValue) { answer.value = SentValue(try library.table(of: path)) } catch {
            answer.error = String(error.line.prefix(1000))
        }
        let encoder = JSONEncoder()
        if let bytes = try? encoder.encode(answer) { return [UInt8](bytes) }
        return (try? [UInt8](encoder.encode(Answer(error: "\(path): a bench has a number that is none")))) ?? []
    }

    private static func value(of ending: ProcessExit, _ path: String) throws(ErrorValue) -> LuaValue {
        let reason: String
        switch ending.reason {
        case .timeout: reason = "did not end in \(Int(time)) seconds"
        case .memory: reason = "took more than \(memory >> 20) MiB of memory"
        case .output: reason = "printed more than \(output >> 20) MiB"
        case .result: reason = "returned a table that is too large"
        case .interrupted: reason = "was interrupted"
        case nil:
            guard ending.exit == 0, !ending.result.isEmpty, ending.result.count <= longest,
                let answer = try? JSONDecoder().decode(Answer.self, from: Data(ending.result))
            else {
                reason =
                    "returned no table that could be read: it is too large, or its process ended"
                    + (ending.signal.map { " by signal \($0), as it does where memory is short" } ?? "")
                break
            }
            if let error = answer.error { throw ErrorValue(kind: .usage, error) }
            return answer.value?.value ?? .none
        }
        throw ErrorValue(kind: .usage, "\(path): the bench file \(reason)")
    }
}
