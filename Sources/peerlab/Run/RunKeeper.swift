import ArgumentParser
import Batch
import CKernel
import Commands
import Glibc
import Kernel
import LuaKit
import Runner

/// Keeps a run's events outside the run's process, which a signal may end; the results are then made from them. Events
/// are written to a memfd that both processes share, so that neither waits for the other.
final class RunKeeper: Sendable {
    private let descriptor: Int32
    private let files: [String]
    /// The file for the results.
    let output: ResultFile
    /// Written as the last byte once the run's process has written the results.
    private static let done: UInt8 = 4

    /// Call it before the run's process is forked. `output` is opened here, so that this process can discard it
    /// whichever ends first.
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

    /// Adds an event; called in the run's process.
    func tell(_ event: RunEvent) { _ = writeAll(RunMessage(event).line, to: descriptor) }

    /// Marks the results as written, or as impossible to write; called in the run's process.
    func finish() { _ = writeAll([RunKeeper.done], to: descriptor) }

    /// Call it once the run's process has ended with `code`. Writes the results where that process did not; returns the
    /// exit code.
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
        TerminalLine.clearLeftover()
        for line in story.lines(of: results) { print(line, to: STDOUT_FILENO) }
        do { try output.write(try Report.json(results, version: Peerlab.version)) } catch {
            let reason = (error as? Failure)?.message ?? "\(error)"
            print("peerlab: cannot write the results: \(reason)", to: STDERR_FILENO)
            return ExitStatus.software.rawValue
        }
        return code == ExitStatus.interrupted.rawValue ? code : ExitStatus.fail.rawValue
    }

    /// Reads the events. True where the results are written, or where nothing has begun.
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
