import Kernel

/// How much memory this program may pin: RLIMIT_MEMLOCK, and whether that counts. fs/proc/base.c:proc_pid_limits,
/// fs/proc/array.c:task_cap
struct LockedMemoryLimit {
    /// Bytes; nil for no limit.
    let bytes: UInt64?
    /// Whether this program has CAP_IPC_LOCK, for which the limit does not count; nil where that could not be read.
    let isExempt: Bool?

    /// nil where the limit could not be read.
    init?(_ kernel: any Kernel) {
        guard let text = try? kernel.contents(of: "/proc/self/limits"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Max locked memory") }),
            let soft = line.dropFirst(17).split(separator: " ").first, soft == "unlimited" || UInt64(soft) != nil
        else { return nil }
        // A larger one than any memory limits nothing.
        bytes = UInt64(soft).flatMap { $0 <= UInt64(Int64.max) ? $0 : nil }
        let status = try? kernel.contents(of: "/proc/self/status")
        let effective = status?.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        // include/uapi/linux/capability.h: 14
        isExempt = effective?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) }.map {
            $0 >> 14 & 1 == 1
        }
    }
}
