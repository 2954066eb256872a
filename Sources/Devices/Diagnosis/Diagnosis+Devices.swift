import CKernel
import Glibc
import Kernel

/// Devices that VFIO has, and those that it could have.
extension Diagnosis {
    mutating func examineDevices() {
        // Where none could be read, that was said.
        guard !findings.contains(where: { $0.id == "pci.unread" }) else { return }
        guard !exporters.isEmpty else {
            add(
                Finding(
                    "vfio.no-device", .devices, .obstacle, "no function is bound to a VFIO driver",
                    why: "nothing can be exported",
                    next: bindSteps,
                    stops: [.vfio, .export, .hints]))
            return
        }
        for function in exporters { examine(function) }
        let stopped = exporters.map { function in
            let obstacles = findings.filter { $0.state == .obstacle && $0.subject == "\(function.address)" }
            return obstacles.reduce(into: Set<Finding.Purpose>()) { $0.formUnion($1.stops) }
        }
        relent(.devices, Set(Finding.Purpose.allCases.filter { purpose in stopped.contains { !$0.contains(purpose) } }))
    }

    private func title(_ function: PCIFunction) -> String {
        let bars = function.memoryBARs.enumerated().filter { $0.element > 0 }
            .map { "BAR \($0.offset) \(Diagnosis.size($0.element))" }
        return "\(function.id), \(function.driver ?? "no driver"), "
            + (function.group.map { "group \($0)" } ?? "no group")
            + (bars.isEmpty ? ", no memory BAR" : ", \(bars.joined(separator: ", "))")
    }

    private mutating func examine(_ function: PCIFunction) {
        let name = "\(function.address)"
        add(Finding("device.bound", .devices, name, .fine, title(function)))
        if let group = function.group, kernel.isThere("/sys/kernel/iommu_groups/\(group)/devices") != true {
            add(
                unread(
                    "device.group-unread", .devices, of: name, "what else is in its IOMMU group could not be read",
                    at: "/sys/kernel/iommu_groups/\(group)/devices", stops: [.vfio, .export, .hints]))
        }
        let siblings = function.siblingsInUse(kernel: kernel)
        for other in siblings {
            add(
                Finding(
                    "device.sibling", .devices, name, .obstacle,
                    "its IOMMU group \(function.group ?? -1) also has \(other.address), which the driver "
                        + "\(other.driver ?? "none") has",
                    why: "VFIO opens no device while a host driver has another of its group",
                    next: objection(to: other.address) ?? ["peerlab bind \(other.address)"],
                    stops: [.vfio, .export, .hints]))
        }
        let enable = "\(PCIFunction.path(function.address))/enable"
        let isOpen = (try? kernel.attribute(enable)).map { $0 != "0" }
        switch isOpen {
        case true: examineUse(function, name)
        case false: if siblings.isEmpty { examineNode(function, name) }
        case nil:
            add(unread("device.use-unread", .devices, of: name, "whether it is in use could not be read", at: enable))
        }
        examineExport(function, name, mayOpen: isOpen == false && siblings.isEmpty)
        examineLink(function, .devices, name)
    }

    /// An enabled function of VFIO's is open, or somebody left it enabled. What its group answers tells which: the kernel opens it
    /// for one program at a time, and not while a character device of the group is bound (drivers/vfio/group.c:
    /// vfio_group_fops_open).
    private mutating func examineUse(_ function: PCIFunction, _ name: String) {
        let path = function.group.map { "/dev/vfio/\($0)" }
        let result = path.map { kernel.open($0, flags: O_RDWR | O_CLOEXEC) }
        switch result.map({ Errno(result: $0) }) {
        case .some(.none):
            _ = kernel.close(Int32(truncatingIfNeeded: result ?? -1))
            add(
                Finding(
                    "device.enabled", .devices, name, .note,
                    "it is enabled (sysfs: enable), though no program has its group open",
                    why: "whoever enabled it may still use it, past VFIO"))
        case .some(.some(let errno)) where errno.code == EBUSY:
            add(
                Finding(
                    "device.in-use", .devices, name, .obstacle, "a program has it, or another of its group, open",
                    why: "VFIO gives a group to one program at a time, and a device to one",
                    next: ["fuser -v /dev/vfio/* /dev/vfio/devices/*    (as root: names the program)"],
                    stops: [.vfio, .export, .hints]))
        default:
            add(
                Finding(
                    "device.use-unread", .devices, name, .unread,
                    "a program has it open, or left it enabled: its group's node does not tell which",
                    why: "a node that answers EBUSY would say so, and "
                        + (path.map { "\($0) answers otherwise" } ?? "it is in no group"),
                    next: ["fuser -v /dev/vfio/* /dev/vfio/devices/*    (as root: names the program)"],
                    stops: [.vfio, .export, .hints]))
        }
    }

    /// The node by which it would be opened. A character device's node is opened without any effect; a group's keeps others out
    /// as long as it is open.
    private mutating func examineNode(_ function: PCIFunction, _ name: String) {
        var path = function.group.map { "/dev/vfio/\($0)" }
        if let cdev = function.cdev, (try? kernel.list("/dev/vfio/devices"))?.contains(cdev) == true {
            path = "/dev/vfio/devices/\(cdev)"
        }
        guard let path else { return }
        let result = kernel.open(path, flags: O_RDWR | O_CLOEXEC)
        if result >= 0 {
            _ = kernel.close(Int32(truncatingIfNeeded: result))
            add(Finding("device.node", .devices, name, .fine, "\(path) can be opened"))
        } else if let errno = Errno(result: result) {
            add(
                refusal(
                    "device.node-refused", .devices, name, path, errno, "its node", stops: [.vfio, .export, .hints]))
        }
    }

    // MARK: What it exports

    private mutating func examineExport(_ function: PCIFunction, _ name: String, mayOpen: Bool) {
        guard function.memoryBARs.contains(where: { $0 > 0 }) else {
            add(
                Finding(
                    "device.no-bar", .devices, name, .note, "it has no memory BAR, so there is nothing to export"))
            return
        }
        guard depth.opensDevices, mayOpen else {
            let reason = depth.opensDevices ? "it cannot be opened now" : "that would open it, which resets it"
            let again = depth.opensDevices ? "peerlab doctor    (once it can be opened)" : "peerlab doctor --open"
            let big = function.memoryBARs.enumerated().filter { $0.element >= 4096 }.map { "\($0.offset)" }
            add(
                Finding(
                    "device.export-untried", .devices, name, .unread,
                    "not tried whether BARs \(big.joined(separator: ", ")) can be exported", why: reason,
                    next: [again], stops: [.export, .hints]))
            return
        }
        do throws(Failure) {
            var device = try VFIODevice.open(function.address, via: .present, kernel: kernel)
            var regions: [UInt32] = []
            for index in 0..<UInt32(6) {
                let region = try device.region(index)
                if region.isMappable, region.size >= 4096 { regions.append(index) }
            }
            addExport(device, regions, name)
            addHints(device, name)
            try device.close()
        } catch {
            let hasGroup = error.object == "/dev/iommu" && findings.contains { $0.id == "type1.open" }
            let node = findings.first { $0.id.hasPrefix("iommufd.") && $0.state == .obstacle }
            add(
                Finding(
                    "device.open-refused", .devices, name, .obstacle, "it cannot be opened: \(error.message)",
                    why: hasGroup
                        ? "its character device needs /dev/iommu; /dev/vfio/vfio can be opened, by which "
                            + "vfio.open(\"\(name)\", { via = \"group\" }) opens it" : "",
                    next: error.object == "/dev/iommu" ? node?.next ?? [] : [], stops: [.vfio, .export, .hints]))
        }
    }

    private mutating func addExport(_ device: borrowing VFIODevice, _ regions: [UInt32], _ name: String) {
        var data: [UInt8] = []
        do throws(Failure) {
            _ = try device.feature(
                UInt32(VFIO_DEVICE_FEATURE_DMA_BUF),
                operation: UInt32(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET), data: &data)
        } catch {
            exports[device.address] = false
            add(
                Finding(
                    "device.no-export", .devices, name, .obstacle,
                    "it exports no dma-buf: \(error.operation): \(error.errno.name)",
                    why: "the kernel's VFIO has no DMA_BUF feature, or this driver of it",
                    next: ["a kernel with CONFIG_VFIO_PCI_DMABUF=y and CONFIG_PCI_P2PDMA=y"], stops: [.export, .hints]))
            return
        }
        exports[device.address] = !regions.isEmpty
        guard !regions.isEmpty else {
            add(
                Finding(
                    "device.nothing-to-export", .devices, name, .obstacle,
                    "it answers to DMA_BUF, but no BAR can be mapped: all are smaller than a page, or share one",
                    stops: [.export, .hints]))
            return
        }
        let list = regions.map { "\($0)" }.joined(separator: ", ")
        add(
            Finding(
                "device.exports", .devices, name, .fine,
                "\(regions.count == 1 ? "BAR" : "BARs") \(list) can be exported (it was opened and asked)"))
    }

    private mutating func addHints(_ device: borrowing VFIODevice, _ name: String) {
        switch identifyTPH(tph, device: device.descriptor, object: name, kernel: kernel) {
        case .available(let feature):
            add(
                Finding(
                    "device.hints", .hints, name, .fine,
                    "its dma-bufs take hints: DMA_BUF_TPH \(feature.abi.name) at feature \(feature.number)"))
        // Where the kernel has none at all, that was said.
        case .absent(let reason):
            guard !findings.contains(where: { $0.id == "kernel.no-hints" }) else { return }
            add(Finding("device.no-hints", .hints, name, .obstacle, reason, stops: [.hints]))
        case .refused(let reason):
            // A scenario that needs it is skipped then.
            add(
                Finding(
                    "device.hints-unknown", .hints, name, .obstacle, reason,
                    next: ["peerlab run --tph-abi NAME@NUMBER ..."], stops: [.hints]))
        }
    }

    /// The link's speed and width, where they are less than the function can do.
    mutating func examineLink(_ function: PCIFunction, _ area: Finding.Area, _ subject: String) {
        let path = PCIFunction.path(function.address)
        func text(_ name: String) -> String? { try? kernel.attribute("\(path)/\(name)") }
        guard let speed = text("current_link_speed"), let most = text("max_link_speed"),
            let width = text("current_link_width"), let widest = text("max_link_width")
        else { return }
        guard speed != most || width != widest, !speed.hasPrefix("Unknown"), width != "0" else { return }
        add(
            Finding(
                "link.slow", area, subject, .note, "its link runs at \(speed) x\(width); it can do \(most) x\(widest)",
                why: "the slot, a riser or power saving limits it, and with it every transfer",
                next: ["lspci -vv -s \(function.address) | grep Lnk"]))
    }

    // MARK: Candidates

    mutating func examineCandidates() {
        let all = candidates
        guard !all.isEmpty else { return }
        let check: BindingCheck
        do throws(Failure) { check = try BindingCheck(kernel: kernel) } catch {
            let what = "what the machine needs of its devices could not be read: \(error.message)"
            add(unread("candidate.unread", .candidates, what, error))
            return
        }
        let shown = shown(all)
        for function in shown {
            let name = "\(function.address)"
            do throws(Failure) {
                // That there is no IOMMU was said.
                let isOff = findings.contains { $0.id == "iommu.off" && $0.state == .obstacle }
                let objections = try check.objections(to: [function.address], assumingDriver: true).filter {
                    !isOff || !$0.reason.hasPrefix("it has no IOMMU group")
                }
                let untried = objections.isEmpty ? check.untried(function.address) : []
                if !untried.isEmpty {
                    add(
                        Finding(
                            "candidate.use-unread", .candidates, name, .unread,
                            "\(title(function)): whether anything uses \(untried.joined(separator: ", ")) could not be tried",
                            why: "this program may not open them; one that is in use answers EBUSY",
                            next: ["sudo peerlab doctor"]))
                } else if objections.isEmpty, isOff {
                    add(
                        Finding(
                            "candidate.unneeded", .candidates, name, .note,
                            "\(title(function)): \(noUse(function))"))
                } else if objections.isEmpty {
                    add(
                        Finding(
                            "candidate.free", .candidates, name, .fine,
                            "\(title(function)): " + (canBind ? "can be bound, " : "") + noUse(function),
                            next: binding(function.address)))
                } else {
                    let reasons = objections.map { "\($0.reason) (\($0.advice))" }.joined(separator: "; ")
                    add(Finding("candidate.needed", .candidates, name, .note, "\(title(function)): \(reasons)"))
                }
            } catch {
                add(unread("candidate.unread", .candidates, of: name, error.message, error))
            }
        }
        let others = unshown(all)
        guard !others.isEmpty else { return }
        add(
            Finding(
                "candidate.more", .candidates, .unread,
                "\(others.count) more functions that could be bound were not looked at: \(Diagnosis.list(others))",
                why: Diagnosis.fewShown,
                next: ["peerlab doctor --device ADDRESS    (looks at that one first)"]))
    }

    /// What it means that nothing was found to use a function: file systems, swap and networks are looked for, which says
    /// nothing of a driver's other users.
    private func noUse(_ function: PCIFunction) -> String {
        let code = (try? kernel.attribute("\(PCIFunction.path(function.address))/class")) ?? ""
        let isLookedAt = function.driver == nil || ["0x01", "0x02"].contains { code.hasPrefix($0) }
        return isLookedAt ? "nothing seems to need it" : "whether anything uses it is not known"
    }

    /// What binds the first function that can be bound.
    private var bindSteps: [String] {
        guard canBind else { return loading(DriverBinding.driver) }
        let check = try? BindingCheck(kernel: kernel)
        let free = shown(candidates).first {
            (try? check?.objections(to: [$0.address], assumingDriver: true))?.isEmpty == true
        }
        return [free.map { "peerlab bind \($0.address)" } ?? "peerlab bind ADDRESS    (see the candidates)"]
    }

    /// What to do about a function that should be bound, where something objects; nil where nothing does.
    private func objection(to address: PCIAddress) -> [String]? {
        guard let check = try? BindingCheck(kernel: kernel),
            let objections = try? check.objections(to: [address], assumingDriver: true)
        else { return nil }
        // It is in the group that the question is about, and vfio-pci has the others.
        let others = objections.filter { !$0.reason.hasPrefix("its IOMMU group") }
        return others.isEmpty ? nil : others.map { "\($0.address): \($0.reason); \($0.advice)" }
    }
}
