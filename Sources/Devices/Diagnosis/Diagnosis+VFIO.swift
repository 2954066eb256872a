import Glibc
import Kernel

/// The IOMMU, VFIO and iommufd.
extension Diagnosis {
    mutating func examineIOMMU() {
        let words = commandLine?.filter { $0.contains("iommu") }.joined(separator: " ")
        let told = words.map { $0.isEmpty ? "" : "; command line: \($0)" } ?? "; the command line could not be read"
        let groups: [String]
        do throws(Errno) { groups = try kernel.list("/sys/kernel/iommu_groups") } catch {
            guard error != .noEntry else { return addNoIOMMU(told) }
            add(
                Finding(
                    "iommu.unread", .iommu, .unread, "the IOMMU groups could not be read (\(error.name))",
                    stops: [.vfio]))
            return
        }
        guard !groups.isEmpty else { return addNoIOMMU(told) }
        let units = ((try? kernel.list("/sys/class/iommu")) ?? []).sorted()
        let names = units.isEmpty ? "" : " (\(units.prefix(4).joined(separator: ", "))\(units.count > 4 ? " ..." : ""))"
        add(Finding("iommu.on", .iommu, .fine, "it is on\(names), with \(groups.count) groups\(told)"))
        for nic in nics {
            guard let address = nic.address, let function = functions.first(where: { $0.address == address }),
                let group = function.group
            else { continue }
            guard let type = try? kernel.attribute("/sys/kernel/iommu_groups/\(group)/type") else {
                add(
                    Finding(
                        "iommu.mode-unread", .iommu, nic.name, .unread, "the type of group \(group) could not be read"))
                continue
            }
            if type == "identity" {
                add(
                    Finding(
                        "iommu.identity", .iommu, nic.name, .note,
                        "its DMA is not translated (group \(group) is of type identity, as by iommu=pt)",
                        why: "requests to a peer carry the address of the bus, whatever way they go"))
            } else {
                add(
                    Finding(
                        "iommu.mode", .iommu, nic.name, .fine,
                        "its DMA is translated (group \(group) is of type \(type))"))
            }
        }
    }

    private mutating func addNoIOMMU(_ told: String) {
        let isGuest = (try? kernel.contents(of: "/proc/cpuinfo")).map(Diagnosis.showsHypervisor)
        let inFirmware =
            "switch on VT-d or AMD-Vi in the firmware setup; then intel_iommu=on (Intel) on the kernel command line"
        let inHost = "its host must give it an IOMMU (QEMU: -device intel-iommu)"
        let unsafe = (try? kernel.attribute("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")) == "Y"
        add(
            Finding(
                "iommu.off", .iommu, unsafe ? .note : .obstacle,
                "no device has an IOMMU group: the IOMMU is off\(told)",
                why: unsafe
                    ? "VFIO takes devices all the same (enable_unsafe_noiommu_mode), and their DMA reaches all memory"
                    : "VFIO takes no device without one",
                next: isGuest == true
                    ? ["this is a virtual machine: \(inHost)"]
                    : [inFirmware] + (isGuest == nil ? ["if this is a virtual machine, \(inHost)"] : []),
                stops: unsafe ? [.iommufd] : [.vfio, .export, .iommufd]))
    }

    /// X86_FEATURE_HYPERVISOR, a flag that a virtual machine's processor has.
    private static func showsHypervisor(_ processors: String) -> Bool {
        processors.split(separator: "\n").contains { line in
            line.hasPrefix("flags") && line.split(whereSeparator: \.isWhitespace).contains("hypervisor")
        }
    }

    mutating func examineVFIO() {
        switch hasDriver {
        case true: add(Finding("vfio.driver", .vfio, .fine, "vfio-pci is loaded"))
        case nil: add(Finding("vfio.driver-unread", .vfio, .unread, "whether vfio-pci is loaded could not be read"))
        default:
            add(
                Finding(
                    "vfio.no-driver", .vfio, .obstacle, "vfio-pci is not loaded", why: "it gives devices to programs",
                    next: loading("vfio-pci"), stops: [.vfio, .export, .hints]))
        }
        examineNode("/dev/iommu", "iommu", "iommufd", "iommufd", .iommufd, "CONFIG_IOMMUFD")
        examineNode("/dev/vfio/vfio", "vfio", "type1 containers", "vfio-pci", .type1, "CONFIG_VFIO_GROUP")
    }

    /// Opens a node of a misc device. Where nothing is registered for it, opening would load a module, and is not done.
    private mutating func examineNode(
        _ path: String, _ misc: String, _ name: String, _ module: String, _ purpose: Finding.Purpose, _ option: String
    ) {
        do throws(Errno) { _ = try kernel.list("/sys/class/misc/\(misc)") } catch {
            guard error == .noEntry else {
                add(
                    Finding(
                        "\(purpose).unread", .vfio, .unread, "\(name): \(path) could not be tried (\(error.name))",
                        stops: [purpose]))
                return
            }
            add(
                Finding(
                    "\(purpose).missing", .vfio, .obstacle, "\(name): nothing answers at \(path)",
                    why: "the kernel has no \(option), or its module is not loaded",
                    next: loading(module), stops: [purpose]))
            return
        }
        let result = kernel.open(path, flags: O_RDWR | O_CLOEXEC)
        if result >= 0 {
            _ = kernel.close(Int32(truncatingIfNeeded: result))
            add(Finding("\(purpose).open", .vfio, .fine, "\(name): \(path) can be opened"))
        } else if let errno = Errno(result: result) {
            add(refusal("\(purpose).refused", .vfio, "", path, errno, name, stops: [purpose]))
        }
    }

    /// A node that could not be opened.
    func refusal(
        _ id: String, _ area: Finding.Area, _ subject: String, _ path: String, _ errno: Errno, _ name: String,
        stops: Set<Finding.Purpose>
    ) -> Finding {
        let isRight = errno == .denied || errno == .notPermitted
        return Finding(
            id, area, subject, .obstacle, "\(name): \(path) cannot be opened: \(errno.name) (\(errno.message))",
            why: isRight ? "it belongs to another user" : "",
            next: isRight ? ["sudo chown $USER \(path)    (or run as root)"] : [], stops: stops)
    }
}
