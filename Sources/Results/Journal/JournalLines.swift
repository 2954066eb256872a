import FoundationEssentials
import Glibc
import Kernel
import Runner

/// Lines of a long and untrusted file; one of them at a time is in memory.
final class JournalLines {
    private let descriptor: Int32
    private let path: String
    /// What was read last, and where it begins in the file.
    private var window: [UInt8] = []
    private var start = 0

    /// Bytes that a line may have: a run's result has 64 MiB at most, and beside it stand the ends of what was printed.
    private static let longest = 72 << 20
    private static let chunk = 1 << 16
    /// Bytes of finished lines that may pile up in ``window`` before they are dropped, as each dropping moves the
    /// rest.
    private static let kept = 1 << 17

    /// A regular file alone is opened.
    init(_ path: String) throws(Failure) {
        descriptor = try InputFile.open(path)
        self.path = path
    }

    /// Lines of a file that is open; the descriptor stays the caller's.
    init(_ open: Int32, _ path: String) throws(Failure) {
        descriptor = fcntl(open, F_DUPFD_CLOEXEC, 3)
        guard descriptor >= 0 else { throw Failure("dup", Errno(errno), object: path) }
        self.path = path
    }

    deinit { close(descriptor) }

    /// What the file is.
    var status: stat {
        var status = stat()
        fstat(descriptor, &status)
        return status
    }

    /// The line that begins at `offset`, with its line feed, and the offset of the next; nil where no whole line
    /// follows. A line without a line feed was cut by a kill or a power cut.
    func line(at offset: Int) throws(Failure) -> (text: Data, next: Int)? {
        if offset < start || offset > start + window.count {
            start = offset
            window = []
        } else if offset - start > JournalLines.kept {
            window.removeFirst(offset - start)
            start = offset
        }
        let first = offset - start
        var looked = first
        while true {
            if let end = end(from: looked) {
                return (Data(window[first...end]), start + end + 1)
            }
            guard window.count - first <= JournalLines.longest else {
                throw Failure(
                    "read", Errno(EFBIG), object: path,
                    hint: "a line of it has more than \(JournalLines.longest >> 20) MiB, which no result has")
            }
            looked = window.count
            guard try readMore() else { return nil }
        }
    }

    private func end(from place: Int) -> Int? {
        window.withUnsafeBytes { bytes in
            guard place < bytes.count, let base = bytes.baseAddress,
                let found = memchr(base + place, 0x0a, bytes.count - place)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    private func readMore() throws(Failure) -> Bool {
        var bytes = [UInt8](repeating: 0, count: JournalLines.chunk)
        while true {
            let count = pread(descriptor, &bytes, bytes.count, off_t(start + window.count))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure("read", Errno(errno), object: path) }
            window += bytes[..<count]
            return count > 0
        }
    }
}
