import ArgumentParser
import Batch
import CKernel
import Commands
import Glibc
import Kernel
import LuaKit
import Runner

/// Keeps what a run has found while it goes on in a process of its own, whose end may be a signal: the results are then written
/// of what it had told. What is told lies in a file in memory that both have, so that neither waits for the other.
final class RunKeeper: Sendable {
    private let descriptor: Int32
    private let files: [String]
    /// Where results are written.
    let output: ResultFile
    /// The last byte of what is told where the results are written.
    private static let done: UInt8 = 4

    /// Before the run's process is made. `output` is opened here, so that nothing is left of it whoever ends.
    init(_ output: ResultFile, _ files: [String]) throws {
        let made = sys_memfd_create("told")
        guard made >= 0 else { throw ValidationError("no memory file: \(Errno(Int32(-made)).message)") }
        descriptor = Int32(made)
        self.output = output
        self.files = files
        do throws(Failure) { try output.open() } catch {
            throw ValidationError("--json: cannot write there: \(error.message)")
        }
    }

    deinit { close(descriptor) }

    /// In the run's process.
    func tell(_ event: RunEvent) { _ = writeAll(RunMessage(event).line, to: descriptor) }

    /// In the run's process: the results are written, or cannot be.
    func finish() { _ = writeAll([RunKeeper.done], to: descriptor) }

    /// Once that process has ended with `code`: what to exit with.
    func keep(_ code: Int32) -> Int32 {
        output.discard()
        let story = RunStory(files, most: 1 << 30) { _ in true }
        guard !read(into: story) else { return code }
        let results = story.results { place in
            guard code != ExitStatus.interrupted.rawValue else {
                return RunProgress.Death(kind: .interrupt, "stopped at once in \(place)", verdict: .interrupted)
            }
            if code == ProcessExit.outOfMemory {
                return RunProgress.Death(
                    kind: .memory,
                    "not enough memory in \(place): its process gets no more (--memory, or what the machine has)")
            }
            guard LabRun.isSignal(code) else { return nil }
            return RunProgress.Death(
                kind: .crash, "its process was ended by \(BatchVerdict.name(code - 128)) in \(place)")
        }
        guard let results else { return code }
        for line in story.lines(of: results) { print(line, to: STDOUT_FILENO) }
        do { try output.write(try Report.json(results, version: Peerlab.version)) } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            print("peerlab: cannot write the results: \(reason)", to: STDERR_FILENO)
            return ExitStatus.software.rawValue
        }
        return code == ExitStatus.interrupted.rawValue ? code : ExitStatus.fail.rawValue
    }

    /// True where the results are written, or nothing has begun of which there could be any.
    private func read(into story: RunStory) -> Bool {
        lseek(descriptor, 0, SEEK_SET)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var last: UInt8?
        while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 {
            last = buffer[count - 1]
            story.add(Array(buffer[..<count]))
        }
        return last == nil || last == RunKeeper.done
    }
}
