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
            add(
                unread(
                    "kernel.unread", .kernel, "the kernel's release could not be read (\(errno.name))",
                    at: "/proc/sys/kernel/osrelease"))
        }
        // A function that it has tells that it is there too.
        hasDriver =
            kernel.isThere(Diagnosis.driverFolder)
            ?? (exporters.contains { $0.driver == DriverBinding.driver } ? true : nil)
        examineSymbols()
    }

    static let driverFolder = "/sys/bus/pci/drivers/\(DriverBinding.driver)"

    /// See ``KernelModules/loading(_:)``.
    func loading(_ names: String...) -> [String] { modules.loading(names) }

    /// What binds a function to vfio-pci; what is needed first where this kernel cannot load that.
    func binding(_ address: PCIAddress) -> [String] {
        guard hasDriver == false else { return ["peerlab bind \(address)"] }
        return loading(DriverBinding.driver) + (canBind ? ["peerlab bind \(address)"] : [])
    }

    /// Whether vfio-pci is loaded, or modprobe may load it.
    var canBind: Bool { hasDriver != false || loading(DriverBinding.driver).allSatisfy { $0.hasPrefix("modprobe ") } }

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
                    why: Unread("/proc/kallsyms", error, kernel).why + "; a device that is opened can be asked itself",
                    next: ["peerlab doctor --open"], stops: [.export, .hints]))
            return
        }
        let isThere = table.found.contains(Diagnosis.export)
        if isThere {
            add(Finding("kernel.export", .kernel, .fine, "its VFIO exports dma-bufs (\(Diagnosis.export) is there)"))
        } else if let reason = reasonAgainstExport {
            add(
                Finding(
                    "kernel.no-export", .kernel, .obstacle, "its VFIO exports no dma-bufs: \(reason)",
                    why: "no BAR can be given to another device as a dma-buf",
                    next: ["a kernel with CONFIG_VFIO_PCI_DMABUF=y and CONFIG_PCI_P2PDMA=y"], stops: [.export]))
        } else {
            add(
                Finding(
                    "kernel.export-unknown", .kernel, .unread,
                    "whether its VFIO exports dma-bufs cannot be told while vfio-pci is not "
                        + (hasDriver == nil ? "known to be loaded" : "loaded"),
                    why: "/proc/kallsyms lists functions of the modules that are loaded",
                    next: hasDriver == nil ? ["peerlab doctor --open"] : loading("vfio-pci"), stops: [.export]))
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

    /// Why VFIO exports nothing, by what is loaded or by the kernel's options; nil where neither tells.
    private var reasonAgainstExport: String? {
        if hasDriver == true { return "vfio-pci is loaded without \(Diagnosis.export)" }
        guard let config = modules.config else { return nil }
        return ["VFIO_PCI", "VFIO_PCI_DMABUF"].first { config[$0] == "n" }.flatMap(modules.reason)
    }

    // MARK: Limits

    mutating func examineLimits() {
        guard let limit = LockedMemoryLimit(kernel) else {
            return add(
                unread("limits.unread", .limits, "RLIMIT_MEMLOCK could not be read", at: "/proc/self/limits"))
        }
        guard let bytes = limit.bytes, bytes < Diagnosis.enoughLocked else {
            let amount = limit.bytes.map(Diagnosis.size) ?? "unlimited"
            return add(Finding("limits.memlock", .limits, .fine, "RLIMIT_MEMLOCK is \(amount)"))
        }
        let isExempt = limit.isExempt == true
        add(
            Finding(
                "limits.memlock-small", .limits, isExempt ? .fine : .note,
                "RLIMIT_MEMLOCK is \(Diagnosis.size(bytes))"
                    + (isExempt ? ", which does not count for this program (CAP_IPC_LOCK)" : ""),
                why: isExempt
                    ? "" : "pinning more memory than that for DMA (mappings, memory regions) answers ENOMEM",
                next: isExempt ? [] : ["prlimit --memlock=unlimited --pid $$    (as root, of the shell)"]))
    }

    /// Bytes that the shipped scenarios pin at most.
    private static let enoughLocked: UInt64 = 64 << 20

    /// "64 MiB"
    static func size(_ bytes: UInt64) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var value = bytes, unit = 0
        while value >= 1024, value % 1024 == 0, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
        return "\(value) \(units[unit])"
    }
}
