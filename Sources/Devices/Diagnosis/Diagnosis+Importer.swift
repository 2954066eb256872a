import Glibc
import Kernel

/// The importer in the kernel: scripts/lab/edu-importer, which attaches a PCI function to dma-bufs as a NIC's driver does.
public enum KernelImporter {
    /// Its node.
    public static let path = "/dev/edu-importer"
    /// The driver's name in sysfs.
    public static let driver = "edu_importer"
    /// Where there is one.
    public static let benches = "--bench lab --lab-importer and --bench sim:lab-importer have one"
}

extension Finding {
    static let noImporter = Finding(
        "importer.none", .importer, .obstacle, "no importer in the kernel: \(KernelImporter.path) is not there",
        why: "it is a module of the lab, not of released kernels", next: [KernelImporter.benches], stops: [.importer])
}

extension Diagnosis {
    mutating func examineImporter() {
        let path = KernelImporter.path
        let result = kernel.open(path, flags: O_RDWR | O_CLOEXEC)
        guard let errno = Errno(result: result) else {
            _ = kernel.close(Int32(truncatingIfNeeded: result))
            importerNode = Finding("importer.open", .importer, .fine, "\(path) can be opened")
            return add(importerNode)
        }
        guard errno != .noEntry else { return }
        importerNode = refusal("importer.refused", .importer, "", path, errno, "importer", stops: [.importer])
        add(importerNode)
    }
}
