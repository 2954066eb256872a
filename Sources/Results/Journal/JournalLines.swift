import FoundationEssentials
import Glibc
import Kernel
import Runner

/// Reads lines of a long and untrusted file, with one of them in memory at a time.
final class JournalLines {
    private let descriptor: Int32
    private let path: String
    /// The bytes read last, and their offset in the file.
    private var window: [UInt8] = []
    private var start = 0

    /// Most bytes of a line: a result has at most 64 MiB, and the ends of the output are added.
    private static let longest = 72 << 20
    private static let chunk = 1 << 16
    /// Bytes of finished lines that ``window`` keeps before they are dropped, since dropping moves the rest.
    private static let kept = 1 << 17

    /// Opens a file, which must be regular.
    init(_ path: String) throws(Failure) {
        descriptor = try InputFile.open(path)
        self.path = path
    }

    /// For an open file; the caller keeps the descriptor.
    init(_ open: Int32, _ path: String) throws(Failure) {
        descriptor = fcntl(open, F_DUPFD_CLOEXEC, 3)
        guard descriptor >= 0 else { throw Failure("dup", Errno(errno), object: path) }
        self.path = path
    }

    deinit { close(descriptor) }

    /// The file's type and owner.
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
