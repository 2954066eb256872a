import Kernel

/// What loads modules of the running kernel, and what says that nothing can: its options, and its list of modules.
struct KernelModules {
    /// nil where they could not be read.
    let config: KernelConfig?
    private let kernel: any Kernel

    init(_ kernel: any Kernel) {
        self.kernel = kernel
        config = KernelConfig(kernel)
    }

    private static let options = [
        "vfio-pci": "VFIO_PCI", "iommufd": "IOMMUFD", "ib_uverbs": "INFINIBAND_USER_ACCESS", "mlx5_core": "MLX5_CORE",
        "mlx5_ib": "MLX5_INFINIBAND",
    ]

    /// The command that loads modules; or, where this kernel was built without them, or has no file of that name, what is needed. The
    /// command where neither its options nor the list of modules (depmod) can be read.
    func loading(_ modules: [String]) -> [String] {
        let known = modules.compactMap { name in KernelModules.options[name].map { (name, $0, config?[$0]) } }
        let left = known.filter { $0.2 == "n" }.map { $0.1 }
        guard left.isEmpty else { return lacking(left).map { $0 + ", so modprobe finds nothing" } }
        let builtIn = known.filter { $0.2 == "y" }
        let wanted = modules.filter { name in !builtIn.contains { $0.0 == name } }
        guard !wanted.isEmpty else {
            let list = builtIn.map { "CONFIG_\($0.1)=y" }.joined(separator: ", ")
            return ["dmesg    (as root: \(list) is built in, so why it did not start is there)"]
        }
        let command = ["modprobe \(wanted.joined(separator: " "))"]
        guard let release = try? kernel.attribute("/proc/sys/kernel/osrelease") else { return command }
        let folder = "/lib/modules/\(release)"
        // With options read, it is known that the kernel has the module, and its file is what is missing.
        let areBuilt = !known.isEmpty && known.allSatisfy { $0.2 == "m" }
        func other(_ names: [String]) -> String {
            let list = names.joined(separator: ", ")
            return areBuilt
                ? "install this kernel's \(list), which is a module of it: it has "
                : "a kernel with \(list): this one has "
        }
        do throws(Errno) {
            let names = try kernel.contents(of: "\(folder)/modules.dep").split(separator: "\n").compactMap { line in
                line.prefix { $0 != ":" }.split(separator: "/").last.map {
                    KernelModules.plainName($0.prefix { $0 != "." })
                }
            }
            let absent = wanted.filter { !names.contains(KernelModules.plainName($0)) }
            return absent.isEmpty ? command : [other(absent) + "no such module"]
        } catch {
            return error == .noEntry ? [other(wanted) + "no modules (\(folder) has no modules.dep)"] : command
        }
    }

    /// What to do where the kernel was built without options.
    func lacking(_ options: [String]) -> [String] {
        let list = options.map { "CONFIG_\($0)" }.joined(separator: ", ")
        return ["a kernel with \(list): this one was built without (\(config?.path ?? ""))"]
    }

    /// How an option explains that something is not there; nil where it does not.
    func reason(_ option: String) -> String? {
        guard let config else { return nil }
        switch config[option] {
        case "n": return "the kernel was built without CONFIG_\(option) (\(config.path))"
        case "m": return "its module is not loaded (CONFIG_\(option)=m)"
        default: return "it is built in (CONFIG_\(option)=\(config[option])), and did not start"
        }
    }

    /// Names of modules may have "-" where the kernel has "_".
    private static func plainName(_ name: some StringProtocol) -> String { String(name).replacing("-", with: "_") }
}
