import CKernel
import Glibc
public import Kernel

/// Properties of this machine that affect measurements. Source: getcpu(2), Documentation/admin-guide/pm/cpufreq.rst.
public enum Machine {
    /// A CPU that this program cannot run on.
    public struct NoCPU: Error {
        /// Its number.
        public let number: Int32
        /// Why.
        public let errno: Errno
    }

    /// Restricts this program, and threads that it starts, to these CPUs. Throws for the first CPU that is not
    /// available to this program.
    public static func pin(to cpus: [Int32]) throws(NoCPU) {
        // Checked one by one: the kernel accepts a set of which only some exist.
        for cpu in cpus {
            if let errno = Errno(result: sys_pin([cpu], 1)) { throw NoCPU(number: cpu, errno: errno) }
        }
        if let errno = Errno(result: sys_pin(cpus, cpus.count)) { throw NoCPU(number: cpus[0], errno: errno) }
    }

    /// CPUs in the notation of taskset(1): "3", "0,2", "4-7"; nil for anything else.
    public static func cpus(_ list: String) -> [Int32]? {
        var cpus: [Int32] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int32($0) }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
                (0...last).contains(first), last < 65536
            else { return nil }
            cpus += first...last
        }
        return cpus
    }

    /// "cpu", "cpu.node", "cpu.governor", "kernel", "kernel.build" (its number and date, by which builds of one release
    /// differ) and "libibverbs" (its version), as far as they are known.
    public static func facts() -> [String: String] {
        var facts: [String: String] = [:]
        var (cpu, node): (UInt32, UInt32) = (0, 0)
        if sys_getcpu(&cpu, &node) == 0 {
            facts["cpu"] = String(cpu)
            facts["cpu.node"] = String(node)
            facts["cpu.governor"] = line("/sys/devices/system/cpu/cpu\(cpu)/cpufreq/scaling_governor")
        }
        facts["kernel"] = line("/proc/sys/kernel/osrelease")
        facts["kernel.build"] = line("/proc/sys/kernel/version")
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        if shim_ibv_library(&path, path.count) == 0 {
            let name = String(decoding: path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // "libibverbs.so.1.14.44.0"
            facts["libibverbs"] = name.split(separator: "/").last.map { String($0.trimmingPrefix("libibverbs.so.")) }
        }
        return facts
    }

    private static func line(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 256)
        guard fgets(&text, Int32(text.count), file) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
