import CKernel
import Glibc
import Kernel

/// The log and taint flags of the running kernel. Opened before the process is confined.
public final class KernelLog {
    /// What is new since the last read.
    struct News {
        var reports: [KernelReports.Report] = []
        /// New taint flags.
        var taint: UInt64 = 0
        /// Whether lines were overwritten before they could be read.
        var isCut = false
    }

    private let messages: Int32
    private let flags: Int32
    private var taint: UInt64 = 0
    /// Why the log cannot be read; nil where it can.
    public let unreadable: String?

    /// Most messages of one read: others may write more meanwhile, without end.
    private static let most = 100_000
    /// Longer than any record: LOG_LINE_MAX, four bytes for each escaped character, prefix and suffix.
    private static let longest = 16 << 10

    /// Opens both files.
    public convenience init() { self.init(log: "/dev/kmsg", taint: "/proc/sys/kernel/tainted") }

    init(log: String, taint: String) {
        messages = open(log, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let error = Errno(errno)
        unreadable = messages >= 0 ? nil : "\(log): \(error.message) (\(error.name))"
        flags = open(taint, O_RDONLY | O_CLOEXEC)
    }

    deinit { for descriptor in [messages, flags] where descriptor >= 0 { close(descriptor) } }

    /// Skips earlier messages and flags.
    func begin() {
        if messages >= 0 { lseek(messages, 0, SEEK_END) }
        taint = readTaint()
    }

    /// News since the last call, or since `begin()`; `each` gets every line.
    func news(_ each: (String) -> Void = { _ in }) -> News {
        var news = News()
        var reports = KernelReports()
        var buffer = [UInt8](repeating: 0, count: KernelLog.longest)
        var count = 0
        while messages >= 0 {
            let length = read(messages, &buffer, buffer.count)
            if length < 0, errno == EINTR { continue }
            if length < 0, errno == EPIPE {
                news.isCut = true
                continue
            }
            guard length > 0 else { break }
            // The kernel returns one record for each read; a regular file in its place (in tests) returns many.
            for record in buffer[..<length].split(separator: 10) {
                guard let line = KernelLog.message(record) else { continue }
                reports.add(line)
                each(line)
            }
            count += 1
            guard count < KernelLog.most else {
                news.isCut = true
                lseek(messages, 0, SEEK_END)
                break
            }
        }
        news.reports = reports.reports
        let now = readTaint()
        news.taint = now & ~taint
        taint = now
        return news
    }

    /// The text of a record's first line, "6,1234,5678,-;text"; nil for lines of its dictionary, which begin with a
    /// blank. Source: Documentation/ABI/testing/dev-kmsg.
    static func message(_ line: some Collection<UInt8>) -> String? {
        guard line.first != UInt8(ascii: " "), let start = line.firstIndex(of: UInt8(ascii: ";")) else { return nil }
        return String(decoding: line[line.index(after: start)...], as: UTF8.self)
    }

    private func readTaint() -> UInt64 {
        var text = [UInt8](repeating: 0, count: 32)
        let count = flags < 0 ? 0 : pread(flags, &text, text.count, 0)
        guard count > 0 else { return taint }
        return UInt64(String(decoding: text.prefix(count).prefix { $0 >= 48 && $0 <= 57 }, as: UTF8.self)) ?? taint
    }
}
