import Commands
import Glibc
import Kernel
import Runner
import Synchronization

/// A file of lines: a trace or a record. It is renamed to its path once all lines are written, also where a run fails
/// or is interrupted.
final class LineFile: Sendable {
    /// When a line is written to the file.
    enum Moment { case now, later }

    private let file: ResultFile
    private let waiting = Mutex<[UInt8]>([])
    private static let most = 1 << 16

    /// Opens it.
    init(_ file: ResultFile) throws(Failure) {
        self.file = file
        try file.open()
    }

    func write(_ line: String, _ moment: Moment) {
        waiting.withLock { waiting in
            waiting += line.utf8
            waiting.append(10)
            if moment == .now || waiting.count > LineFile.most { flush(&waiting) }
        }
    }

    private func flush(_ waiting: inout [UInt8]) {
        file.append(waiting)
        waiting.removeAll(keepingCapacity: true)
    }

    /// Writes the remaining lines and renames the file to its path; false where a write failed, which it reports.
    func finish() -> Bool { waiting.withLock { end(&$0) } }

    /// The same when the process ends now: does not wait for a thread that hangs in a write.
    func finishNow() { _ = waiting.withLockIfAvailable { end(&$0) } }

    private func end(_ waiting: inout [UInt8]) -> Bool {
        flush(&waiting)
        do throws(Failure) {
            try file.finish()
            return true
        } catch {
            print(
                "peerlab: \(file.path) is not written: \(error.errno.message) (\(error.errno.name))", to: STDERR_FILENO)
            return false
        }
    }
}
