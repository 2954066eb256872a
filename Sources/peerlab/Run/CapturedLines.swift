import Commands
import Glibc
import Kernel
import LabBench
import Synchronization

/// In the lab's guest: requests of the emulated NIC, as lines of `--tlp`.
final class CapturedLines: Sendable {
    private struct State {
        var bytes = 0
        var left = 0
    }

    private let capture: GuestCapture
    private let file: TraceFile
    private let state = Mutex(State())
    /// Most bytes: the guest keeps the file in its memory until it sends it.
    private static let most = 128 << 20

    /// Writes requests from now on.
    init(_ capture: GuestCapture, in file: TraceFile) {
        (self.capture, self.file) = (capture, file)
        file.write("# " + GuestCapture.about)
        capture.watch { [self] in
            write($0.lines)
        } lost: {
            file.write("# \($0) requests are missing here: more came between two looks than are kept")
        }
    }

    private func write(_ lines: [String]) {
        let hasRoom = state.withLock { state in
            state.bytes += lines.reduce(0) { $0 + $1.utf8.count + 1 }
            if state.bytes > CapturedLines.most { state.left += 1 }
            return state.left == 0
        }
        if hasRoom { for line in lines { file.write(line) } }
    }

    /// Writes the last requests; false where some were lost, which it reports.
    func finish() -> Bool {
        defer {
            let left = state.withLock(\.left)
            if left > 0 {
                file.write(
                    "# the last \(left) requests are left out: the file has \(CapturedLines.most >> 20) MiB at most")
            }
        }
        do throws(Failure) {
            try capture.update()
            return true
        } catch {
            file.write("# requests are missing from here on: \(error.message)")
            print("peerlab: --tlp is not whole: \(error.message)", to: STDERR_FILENO)
            return false
        }
    }
}
