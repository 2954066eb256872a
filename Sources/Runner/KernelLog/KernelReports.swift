/// Finds complaints in a kernel's log, with the lines that belong to each.
struct KernelReports {
    /// One complaint, with the lines that came with it.
    struct Report: Equatable {
        /// The line that identifies it.
        var title: String
        var lines: [String]
    }

    private(set) var reports: [Report] = []
    private var isOpen = false
    /// Whether it ends with a line of its own, "---[ end trace".
    private var hasEnd = false

    private static let cut = "------------[ cut here ]------------"
    /// Most lines kept of a complaint without an end line, such as its call trace.
    private static let mostFollowing = 60
    /// Most lines kept of a complaint whose end line does not come.
    private static let mostOfOne = 400

    /// A text at a line's beginning or anywhere in it, and a second text that the line must contain too. The set is
    /// what xfstests (common/rc, _check_dmesg) and syzkaller (pkg/report/linux.go) take for complaints, and faults that
    /// IOMMU drivers report.
    private struct Sign {
        let text: String
        var anywhere = false
        var with: String?
        var hasEnd = false

        func fits(_ line: String) -> Bool {
            (anywhere ? line.contains(text) : line.hasPrefix(text)) && (with.map { line.contains($0) } ?? true)
        }
    }

    private static let signs = [
        Sign(text: cut, hasEnd: true),
        Sign(text: "WARNING: "), Sign(text: "Kernel panic - not syncing"),
        Sign(text: "kernel BUG at ", hasEnd: true), Sign(text: "BUG: kernel NULL pointer", hasEnd: true),
        Sign(text: "BUG: unable to handle", hasEnd: true), Sign(text: "Oops: ", hasEnd: true),
        Sign(text: "general protection fault", hasEnd: true), Sign(text: "Internal error: ", hasEnd: true),
        // "BUG: ": KASAN, KFENCE, KMSAN, KCSAN, spinlocks, atomic sleeps, bad pages. "BUG ": SLUB, as in "BUG
        // kmalloc-64 (Not tainted): ...".
        Sign(text: "BUG: "), Sign(text: "BUG "), Sign(text: "UBSAN: "),
        Sign(text: "refcount_t: "), Sign(text: "list_add corruption"), Sign(text: "list_del corruption"),
        Sign(text: "possible circular locking", anywhere: true),
        Sign(text: "possible recursive locking", anywhere: true),
        Sign(text: "suspicious RCU usage", anywhere: true), Sign(text: "inconsistent lock state", anywhere: true),
        Sign(text: "kmemleak: ", with: "new suspected memory leaks"),
        Sign(text: "DMA-API: ", with: "device driver"), Sign(text: "DMA-API: ", with: "overlapping mappings"),
        Sign(text: "INFO: task ", with: "blocked for more than"), Sign(text: "watchdog: BUG: "),
        Sign(text: "hard LOCKUP", anywhere: true), Sign(text: "rcu: INFO: ", with: "stall"),
        Sign(text: "DMAR", with: " fault "), Sign(text: "AMD-Vi: Event logged [", anywhere: true),
        Sign(text: "arm-smmu", with: "Unhandled context fault"), Sign(text: "arm-smmu", with: "event: F_"),
    ]

    init(_ lines: [String] = []) { for line in lines { add(line) } }

    mutating func add(_ line: String) {
        let sign = KernelReports.signs.first { $0.fits(line) }
        // Inside a report with an end line, signs begin no new one (an Oops is the second line of a BUG); "cut here"
        // always does.
        if let sign, !(isOpen && hasEnd) || line == KernelReports.cut {
            reports.append(Report(title: line, lines: [line]))
            (isOpen, hasEnd) = (true, sign.hasEnd)
        } else if isOpen {
            follow(line)
        }
    }

    /// Adds a line to the open report.
    private mutating func follow(_ line: String) {
        let last = reports.count - 1
        reports[last].lines.append(line)
        if reports[last].title == KernelReports.cut { reports[last].title = line }
        let count = reports[last].lines.count
        // A KASAN report begins and ends with a line of "=".
        let isBar = line.utf8.count >= 20 && line.utf8.allSatisfy { $0 == UInt8(ascii: "=") }
        if hasEnd {
            isOpen = !line.hasPrefix("---[ end trace") && count <= KernelReports.mostOfOne
        } else {
            isOpen = count <= KernelReports.mostFollowing && !(isBar && count > 2)
        }
    }
}

/// The kernel's taint flags. Source: Documentation/admin-guide/tainted-kernels.rst.
enum Taint {
    private static let flags: [(letter: Character, meaning: String)] = [
        ("P", "a proprietary module"), ("F", "a module loaded by force"), ("S", "a processor out of specification"),
        ("R", "a module unloaded by force"), ("M", "a machine check"), ("B", "a bad page"),
        ("U", "asked for by user space"),
        ("D", "it died: an Oops or BUG"), ("A", "an ACPI table overridden"), ("W", "it warned"),
        ("C", "a staging driver"), ("I", "a firmware bug"), ("O", "a module from outside its tree"),
        ("E", "an unsigned module"), ("L", "a soft lockup"),
        ("K", "live patched"), ("X", "auxiliary"), ("T", "structures laid out by chance"), ("N", "an in-kernel test"),
        ("J", "a firmware changed"),
    ]
    /// Flags that a complaint in the log sets too: B, D, W, L.
    static let ofReports: UInt64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14

    /// "W (it warned), D (it died: an Oops or BUG)"
    static func text(_ bits: UInt64) -> String {
        (0..<64).filter { bits >> $0 & 1 == 1 }.map { bit in
            flags.indices.contains(bit) ? "\(flags[bit].letter) (\(flags[bit].meaning))" : "bit \(bit)"
        }.joined(separator: ", ")
    }
}
