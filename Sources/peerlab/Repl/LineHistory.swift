import Commands
import Glibc
import Kernel
import Runner

/// The lines of earlier sessions, in a file that the user alone can read.
final class LineHistory {
    private static let most = 1000
    private static let largest = 64 << 20

    private let descriptor: Int32
    /// The newest ones.
    private(set) var lines: [String]

    /// Opens the file, which is made if it is not there, and shortens it where it has become long.
    init() throws(Failure) {
        let path = try Folders.history()
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
        let descriptor = open(path, flags, 0o600)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        self.descriptor = descriptor
        let all: [String]
        do throws(Failure) {
            all = try InputFile.text(of: path, limit: LineHistory.largest).split(separator: "\n").map(String.init)
        } catch {
            close(descriptor)
            throw error
        }
        lines = Array(all.suffix(LineHistory.most))
        if all.count > 2 * LineHistory.most, ftruncate(descriptor, 0) == 0 {
            writeAll(Array(lines.map { $0 + "\n" }.joined().utf8), to: descriptor)
        }
    }

    deinit { close(descriptor) }

    /// Adds a line at the end.
    func add(_ line: String) { writeAll(Array("\(line)\n".utf8), to: descriptor) }
}
