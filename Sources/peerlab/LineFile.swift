import Commands
import Glibc
import Kernel
import Synchronization

/// Lines to a file: traces and records. Of one that cannot be written it remembers why.
final class LineFile: Sendable {
    /// When a line goes to the file.
    enum Moment { case now, later }

    private let descriptor: Int32
    private let path: String
    private let state = Mutex<(bytes: [UInt8], failure: Errno?)>(([], nil))
    private static let most = 1 << 16

    /// The descriptor of an open file, and what to call it.
    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    func write(_ line: String, _ moment: Moment) {
        state.withLock { state in
            state.bytes += line.utf8
            state.bytes.append(10)
            if moment == .now || state.bytes.count > LineFile.most { flush(&state) }
        }
    }

    /// Writes what is left; false where something could not be written, which it says.
    func finish() -> Bool {
        let failure = state.withLock { state in
            flush(&state)
            return state.failure
        }
        guard let failure else { return true }
        print("peerlab: \(path) is not complete: \(failure.message) (\(failure.name))", to: STDERR_FILENO)
        return false
    }

    /// Behind a hole nothing follows.
    private func flush(_ state: inout (bytes: [UInt8], failure: Errno?)) {
        var rest = state.bytes[...]
        while !rest.isEmpty, state.failure == nil {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                state.failure = Errno(errno)
            }
        }
        state.bytes = []
    }
}
