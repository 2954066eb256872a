import CKernel
import Glibc

/// Limits of time and memory for this process, watched by a thread of its own.
public enum ProcessLimits {
    /// Why the process has to end.
    public enum Reason: Sendable {
        /// It took too long.
        case time
        /// It uses too much memory.
        case memory
        /// A signal came, and signals are counted.
        case signal
    }

    /// Interval of the memory checks, nanoseconds.
    private static let interval = 10_000_000

    /// Calls `end` where the process exceeds a limit, or a counted signal (`process_count_signals`) came.
    /// - Parameters:
    ///   - seconds: from now on; nil for no limit.
    ///   - memory: resident bytes.
    ///   - statm: /proc/self/statm, opened before confinement; below 0, memory is not watched.
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

    /// Resident pages.
    private static func resident(_ statm: Int32) -> UInt64 {
        var text = [UInt8](repeating: 0, count: 128)
        let count = pread(statm, &text, text.count, 0)
        guard count > 0 else { return 0 }
        let words = String(decoding: text.prefix(count), as: UTF8.self).split(separator: " ")
        return words.count > 1 ? UInt64(words[1]) ?? 0 : 0
    }
}
