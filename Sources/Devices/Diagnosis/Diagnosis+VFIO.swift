import Glibc
import Kernel

/// The IOMMU, VFIO and iommufd.
extension Diagnosis {
    mutating func examineIOMMU() {
        let words = commandLine?.filter { $0.contains("iommu") }.joined(separator: " ")
        let told = words.map { $0.isEmpty ? "" : "; command line: \($0)" } ?? "; the command line could not be read"
        let groups: [String]
        let path = "/sys/kernel/iommu_groups"
        do throws(Errno) { groups = try kernel.list(path) } catch {
            guard error != .noEntry || kernel.isHidden(path) else { return addNoIOMMU(told) }
            add(
                unread(
                    "iommu.unread", .iommu,
                    "the IOMMU groups could not be read (\(error.name)), so whether it is on is not known\(told)",
                    at: path, stops: [.vfio, .export, .iommufd]))
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
            guard let type = try? kernel.attribute("\(path)/\(group)/type") else {
                add(
                    unread(
                        "iommu.mode-unread", .iommu, of: nic.name, "the type of group \(group) could not be read",
                        at: "\(path)/\(group)/type"))
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
        let options = ["INTEL_IOMMU", "AMD_IOMMU", "VIRTIO_IOMMU"]
        let isUnbuilt = modules.config.map { config in options.allSatisfy { config[$0] == "n" } } ?? false
        let needed = isUnbuilt ? modules.lacking(["INTEL_IOMMU or CONFIG_AMD_IOMMU"]) : []
        let unsafe = (try? kernel.attribute("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")) == "Y"
        add(
            Finding(
                "iommu.off", .iommu, unsafe ? .note : .obstacle,
                "no device has an IOMMU group: the IOMMU is off\(told)",
                why: unsafe
                    ? "VFIO takes devices all the same (enable_unsafe_noiommu_mode), and their DMA reaches all memory"
                    : "VFIO takes no device without one",
                next: needed
                    + (isGuest == true
                        ? ["this is a virtual machine: \(inHost)"]
                        : [inFirmware] + (isGuest == nil ? ["if this is a virtual machine, \(inHost)"] : [])),
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
        case nil:
            add(
                unread(
                    "vfio.driver-unread", .vfio, "whether vfio-pci is loaded could not be read",
                    at: Diagnosis.driverFolder, stops: [.vfio, .export, .hints]))
        default: add(withoutDriver)
        }
        examineNode("/dev/iommu", "iommu", "iommufd", "iommufd", .iommufd, "IOMMUFD")
        // Kernels before 6.6 do not know VFIO_GROUP, and have it where they have VFIO.
        let option = modules.config?.isSwitchedOff("VFIO_GROUP") == false ? "VFIO" : "VFIO_GROUP"
        examineNode("/dev/vfio/vfio", "vfio", "type1 containers", "vfio-pci", .type1, option)
    }

    /// Without vfio-pci, what there is of VFIO: other drivers of it (mlx5_vfio_pci and the like) have devices, or nothing does.
    private var withoutDriver: Finding {
        if let other = exporters.first {
            return Finding(
                "vfio.no-driver", .vfio, .note,
                "vfio-pci is not loaded, but another driver of VFIO is: \(other.driver ?? "") has \(other.address)",
                why: "that one gives its devices to programs; for others it takes vfio-pci", next: loading("vfio-pci"))
        }
        let isThere = kernel.isThere("/sys/class/misc/vfio") == true
        return Finding(
            "vfio.no-driver", .vfio, .obstacle,
            isThere ? "VFIO is there (/dev/vfio/vfio), but vfio-pci is not loaded" : "vfio-pci is not loaded",
            why: "it gives PCI devices to programs" + (modules.reason("VFIO_PCI").map { "; \($0)" } ?? ""),
            next: loading("vfio-pci"), stops: [.vfio, .export, .hints])
    }

    /// Opens a node of a misc device. Where nothing is registered for it, opening would load a module, and is not done.
    private mutating func examineNode(
        _ path: String, _ misc: String, _ name: String, _ module: String, _ purpose: Finding.Purpose, _ option: String
    ) {
        let registration = "/sys/class/misc/\(misc)"
        do throws(Errno) { _ = try kernel.list(registration) } catch {
            guard error == .noEntry, !kernel.isHidden(registration) else {
                add(
                    unread(
                        "\(purpose).unread", .vfio,
                        "\(name): \(path) was not tried, as whether anything is registered for it could not be read "
                            + "(\(error.name))", at: registration, stops: [purpose]))
                return
            }
            add(
                Finding(
                    "\(purpose).missing", .vfio, .obstacle, "\(name): nothing answers at \(path)",
                    why: modules.reason(option) ?? "the kernel has no CONFIG_\(option), or its module is not loaded",
                    next: modules.config?[option] == "n" ? modules.lacking([option]) : loading(module),
                    stops: [purpose]))
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
        let reason: (why: String, next: [String]) =
            switch errno {
            case .denied, .notPermitted:
                ("it belongs to another user", ["sudo chown $USER \(path)    (or run as root)"])
            case .noEntry:
                (
                    "sysfs has it, and this program's /dev does not show its node, as in a container",
                    ["run it where the machine's \(path) is shown    (docker run --device \(path))"]
                )
            default: ("", [])
            }
        return Finding(
            id, area, subject, .obstacle, "\(name): \(path) cannot be opened: \(errno.name) (\(errno.message))",
            why: reason.why, next: reason.next, stops: stops)
    }
}
