import CKernel
import Glibc

/// Time and memory that this process may take, watched by a thread of its own.
public enum ProcessLimits {
    /// Why it has to end.
    public enum Reason: Sendable {
        /// It took too long.
        case time
        /// It holds too much memory.
        case memory
        /// A signal came, where signals are counted.
        case signal
    }

    /// How often memory is looked at, nanoseconds.
    private static let interval = 10_000_000

    /// Calls `end` where the process takes more, or a signal that is counted came (`process_count_signals`).
    /// - Parameters:
    ///   - seconds: from now on; nil for as long as it takes.
    ///   - memory: bytes that are resident.
    ///   - statm: /proc/self/statm, opened before it could not be any more; nothing is known of memory where it is below 0.
    public static func watch(
        seconds: Double?, memory: UInt64, statm: Int32, end: @escaping @Sendable (Reason) -> Never
    ) {
        let deadline = seconds.map { sys_monotonic() &+ UInt64(clamping: Int64(min($0, 1e9) * 1e9)) }
        let page = UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 1))
        _ = startThread {
            while true {
                var pause = timespec(tv_sec: 0, tv_nsec: interval)
                nanosleep(&pause, nil)
                if let deadline, sys_monotonic() >= deadline { end(.time) }
                if process_signals() > 0 { end(.signal) }
                if resident(statm) > memory / page { end(.memory) }
            }
        }
    }

    /// Pages.
    private static func resident(_ statm: Int32) -> UInt64 {
        var text = [UInt8](repeating: 0, count: 128)
        let count = pread(statm, &text, text.count, 0)
        guard count > 0 else { return 0 }
        let words = String(decoding: text.prefix(count), as: UTF8.self).split(separator: " ")
        return words.count > 1 ? UInt64(words[1]) ?? 0 : 0
    }
}
