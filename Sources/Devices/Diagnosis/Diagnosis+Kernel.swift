import Kernel

/// The kernel, its command line, and limits of this program.
extension Diagnosis {
    /// The words of the kernel's command line; nil where it could not be read.
    var commandLine: [Substring]? {
        (try? kernel.contents(of: "/proc/cmdline")).map { $0.split(whereSeparator: \.isWhitespace) }
    }

    mutating func examineKernel() {
        switch read("/proc/sys/kernel/osrelease") {
        case .success(let release): add(Finding("kernel.release", .kernel, .fine, "Linux \(release)"))
        case .failure(let errno):
            add(Finding("kernel.unread", .kernel, .unread, "the kernel's release could not be read (\(errno.name))"))
        }
        hasDriver = kernel.isThere("/sys/bus/pci/drivers/\(DriverBinding.driver)")
        examineSymbols()
    }

    /// What loads a module: the command, or, where this kernel has none of that name, that another kernel is needed. The
    /// command where the list of modules (depmod) cannot be read.
    func loading(_ modules: String...) -> [String] {
        let command = ["modprobe \(modules.joined(separator: " "))"]
        guard case .success(let release) = read("/proc/sys/kernel/osrelease") else { return command }
        let folder = "/lib/modules/\(release)"
        func other(_ names: [String]) -> String { "a kernel with \(names.joined(separator: ", ")): this one has " }
        do throws(Errno) {
            let names = try kernel.contents(of: "\(folder)/modules.dep").split(separator: "\n").compactMap { line in
                line.prefix { $0 != ":" }.split(separator: "/").last.map {
                    Diagnosis.plainName($0.prefix { $0 != "." })
                }
            }
            let absent = modules.filter { !names.contains(Diagnosis.plainName($0)) }
            return absent.isEmpty ? command : [other(absent) + "no such module"]
        } catch {
            return error == .noEntry ? [other(modules) + "no modules (\(folder) has no modules.dep)"] : command
        }
    }

    /// Names of modules may have "-" where the kernel has "_".
    private static func plainName(_ name: some StringProtocol) -> String { String(name).replacing("-", with: "_") }

    private func read(_ path: String) -> Result<String, Errno> {
        do throws(Errno) {
            return .success(try kernel.contents(of: path).filter { $0 != "\n" })
        } catch { return .failure(error) }
    }

    private static let export = "vfio_pci_core_feature_dma_buf"

    /// Functions of VFIO that are there only where it can export, and give hints. A device that was opened is asked itself.
    private mutating func examineSymbols() {
        var table = KernelSymbols(wanted: [Diagnosis.export, TPHSymbols.feature])
        do throws(Errno) {
            try readChunks(of: "/proc/kallsyms", size: 1 << 16, kernel) { table.add($0) }
        } catch {
            add(
                Finding(
                    "kernel.symbols-unread", .kernel, .unread,
                    "/proc/kallsyms could not be read (\(error.name)), so whether VFIO exports dma-bufs is not known",
                    next: ["peerlab doctor --open"], stops: [.export, .hints]))
            return
        }
        let isThere = table.found.contains(Diagnosis.export)
        if isThere {
            add(Finding("kernel.export", .kernel, .fine, "its VFIO exports dma-bufs (\(Diagnosis.export) is there)"))
        } else if hasDriver == true {
            add(
                Finding(
                    "kernel.no-export", .kernel, .obstacle,
                    "its VFIO exports no dma-bufs: vfio-pci is loaded without \(Diagnosis.export)",
                    why: "no BAR can be given to another device as a dma-buf",
                    next: ["a kernel with CONFIG_VFIO_PCI_DMABUF=y and CONFIG_PCI_P2PDMA=y"], stops: [.export]))
        } else {
            add(
                Finding(
                    "kernel.export-unknown", .kernel, .unread,
                    "whether its VFIO exports dma-bufs cannot be told while vfio-pci is not loaded",
                    next: loading("vfio-pci"), stops: [.export]))
        }
        if table.found.contains(TPHSymbols.feature) {
            add(Finding("kernel.hints", .kernel, .fine, "it has DMA_BUF_TPH (\(TPHSymbols.feature) is there)"))
        } else if isThere {
            add(
                Finding(
                    "kernel.no-hints", .kernel, .obstacle, "it has no DMA_BUF_TPH: no hint can be set on a dma-buf",
                    why: "the series is in no released kernel",
                    next: ["\(labScripts)/build-kernel --patch tph.mbox    (builds one for the lab)"], stops: [.hints]))
        }
    }

    // MARK: Limits

    mutating func examineLimits() {
        guard let text = try? kernel.contents(of: "/proc/self/limits"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Max locked memory") }),
            let soft = line.dropFirst(17).split(separator: " ").first
        else {
            add(
                Finding(
                    "limits.unread", .limits, .unread, "RLIMIT_MEMLOCK could not be read (/proc/self/limits)"))
            return
        }
        guard let bytes = UInt64(soft), bytes < Diagnosis.enoughLocked else {
            let amount = UInt64(soft).map(Diagnosis.size) ?? "unlimited"
            add(Finding("limits.memlock", .limits, .fine, "RLIMIT_MEMLOCK is \(amount)"))
            return
        }
        let isPrivileged = holdsIPCLock
        add(
            Finding(
                "limits.memlock-small", .limits, isPrivileged == true ? .fine : .note,
                "RLIMIT_MEMLOCK is \(Diagnosis.size(bytes))"
                    + (isPrivileged == true ? ", which does not count for this program (CAP_IPC_LOCK)" : ""),
                why: isPrivileged == true
                    ? "" : "pinning more memory than that for DMA (mappings, memory regions) answers ENOMEM",
                next: isPrivileged == true ? [] : ["prlimit --memlock=unlimited --pid $$    (as root, of the shell)"]))
    }

    /// Bytes that the shipped scenarios pin at most.
    private static let enoughLocked: UInt64 = 64 << 20

    /// Whether this program has CAP_IPC_LOCK; nil where that could not be read. include/uapi/linux/capability.h: 14
    private var holdsIPCLock: Bool? {
        guard let text = try? kernel.contents(of: "/proc/self/status"),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
            let bits = line.split(whereSeparator: \.isWhitespace).last.flatMap({ UInt64($0, radix: 16) })
        else { return nil }
        return bits >> 14 & 1 == 1
    }

    /// "64 MiB"
    static func size(_ bytes: UInt64) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var value = bytes, unit = 0
        while value >= 1024, value % 1024 == 0, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
        return "\(value) \(units[unit])"
    }
}
