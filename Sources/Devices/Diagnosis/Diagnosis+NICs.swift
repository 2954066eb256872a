import CKernel
import Glibc
import Kernel

/// RDMA devices.
extension Diagnosis {
    mutating func examineNICs() {
        let usable: [RDMADevice]
        do throws(Failure) { usable = try RDMADevice.all(kernel: kernel) } catch {
            guard !nics.isEmpty, error.errno == .noSuchCall else { return addNoNIC() }
            add(
                Finding(
                    "nic.no-verbs", .nics, .obstacle,
                    "\(nics.map(\.name).joined(separator: ", ")) cannot be used by programs: ib_uverbs is not loaded",
                    next: loading("ib_uverbs"), stops: [.rdma, .registration, .handles]))
            return
        }
        guard !usable.isEmpty || !nics.isEmpty else { return addNoNIC() }
        for device in usable { examine(device.name) }
        for nic in nics where !usable.contains(where: { $0.name == nic.name }) {
            add(
                Finding(
                    "nic.no-provider", .nics, nic.name, .obstacle, "libibverbs does not list it",
                    why: "ib_uverbs is not loaded, or the installed libibverbs has no provider for its driver",
                    next: loading("ib_uverbs") + ["ibv_devices"], stops: [.rdma, .registration, .handles]))
        }
        var able: Set<Finding.Purpose> = []
        if findings.contains(where: { $0.id == "nic.registers" }) { able.insert(.registration) }
        if findings.contains(where: { $0.id == "nic.port" && $0.state == .fine }) { able.insert(.rdma) }
        // What a NIC does not even register makes no handles either, which is told of the one that does.
        relent(.nics, able.contains(.registration) ? able.union([.handles]) : able)
    }

    /// Benches with an RDMA device: one for scenarios that need no more of it than queue pairs, and one for all.
    static let softwareNIC = "peerlab run --bench lab ... has rxe, a software device, which registers no dma-bufs"
    static let emulatedNIC = "peerlab run --bench lab --lab-nic connectx ... has an emulated ConnectX"

    private mutating func addNoNIC() {
        // Where their list could not be read, that was said.
        guard !findings.contains(where: { $0.id == "nic.unread" }) else { return }
        let mellanox = functions.filter { $0.id.hasPrefix("15b3:") && !isBridge($0.address) }
        let lacking = ["INFINIBAND", "INFINIBAND_USER_ACCESS"].first { modules.config?[$0] == "n" }
        let loaded = mellanox.contains { $0.driver == "mlx5_core" }
        add(
            Finding(
                "nic.none", .nics, .obstacle,
                "this machine has no RDMA device"
                    + (lacking.flatMap(modules.reason).map { ": \($0)" } ?? "")
                    + (mellanox.first.map { "; \($0.address) (\($0.id)) may be one" } ?? ""),
                why: "nothing registers a dma-buf as a memory region, or sends hints",
                next: mellanox.isEmpty
                    ? (lacking.map { modules.lacking([$0]) } ?? []) + [Diagnosis.softwareNIC, Diagnosis.emulatedNIC]
                    : loaded ? loading("mlx5_ib") : loading("mlx5_core", "mlx5_ib"),
                stops: [.rdma, .registration, .handles]))
    }

    private mutating func examine(_ name: String) {
        let address = nics.first { $0.name == name }?.address
        let function = address.flatMap { address in functions.first { $0.address == address } }
        let path = "/sys/class/infiniband/\(name)"
        let firmware = (try? kernel.attribute("\(path)/fw_ver")).flatMap { $0.isEmpty ? nil : $0 }
        let board = (try? kernel.attribute("\(path)/board_id")).flatMap { $0.isEmpty ? nil : $0 }
        var parts = [
            function.map { "\($0.id) at \($0.address), driver \($0.driver ?? "none")" }
                ?? (software.contains(name) ? "a software device" : "which function it is on could not be read")
        ]
        if let firmware { parts.append("firmware \(firmware)") }
        if let board { parts.append("board \(board)") }
        let node = function.flatMap { self.node($0.address) }
        if let node { parts.append("node \(node)") }
        if function != nil || software.contains(name) {
            add(Finding("nic.found", .nics, name, .fine, parts.joined(separator: ", ")))
        } else {
            add(
                Finding(
                    "nic.place-unread", .nics, name, .unread, parts.joined(separator: ", "),
                    why: "whether the kernel gives a way from it to an exporter depends on where it is",
                    next: ["sudo peerlab doctor"], stops: [.registration, .hints]))
        }
        if let function { examineLink(function, .nics, name) }
        examinePorts(name, path)
        examineVerbs(name, function?.driver)
    }

    /// The memory node that a function is attached to; nil where the firmware does not say, or it could not be read.
    func node(_ address: PCIAddress) -> Int? {
        (try? kernel.attribute("\(PCIFunction.path(address))/numa_node")).flatMap { Int($0) }.flatMap {
            $0 < 0 ? nil : $0
        }
    }

    private mutating func examinePorts(_ name: String, _ path: String) {
        guard let ports = try? kernel.list("\(path)/ports"), !ports.isEmpty else {
            add(
                unread(
                    "nic.port-unread", .nics, of: name, "the state of its ports could not be read",
                    at: "\(path)/ports"))
            return
        }
        let states = ports.sorted().map { port in
            let texts = ["state", "phys_state", "link_layer"].map {
                (try? kernel.attribute("\(path)/ports/\(port)/\($0)")) ?? "unread"
            }
            return (port: port, state: texts[0], text: "port \(port): \(texts.joined(separator: ", "))")
        }
        let isActive = states.contains { $0.state.hasSuffix("ACTIVE") }
        add(
            Finding(
                "nic.port", .nics, name, isActive ? .fine : .obstacle,
                states.map(\.text).joined(separator: "; "),
                why: isActive ? "" : "no port is active: queue pairs do not connect, not even to the same port",
                next: isActive ? [] : ["rdma link show", "ip link set INTERFACE up (RoCE), or start a subnet manager"],
                stops: isActive ? [] : [.rdma]))
    }

    // MARK: Verbs

    /// What the driver answers: to a dma-buf that is none, a page with page faults, a handle of a hint. Nothing of that stays.
    private mutating func examineVerbs(_ name: String, _ driver: String?) {
        var context: RDMAContext
        do throws(Failure) { context = try RDMAContext(name, kernel: kernel) } catch {
            add(
                Finding(
                    "nic.open-refused", .nics, name, .obstacle, "it cannot be opened: \(error.message)",
                    next: error.errno == .denied
                        ? ["sudo chown $USER /dev/infiniband/uverbs*    (or run as root)"] : [],
                    stops: [.rdma, .registration, .handles]))
            return
        }
        do throws(Failure) {
            var pd = try context.allocPD()
            let odp = try examineODP(pd, name)
            examineRegistration(pd, name, driver, odp: odp)
            if driver == "mlx5_core" { examineDataDirect(pd, name) }
            try pd.close()
            if software.contains(name) {
                add(
                    Finding(
                        "nic.no-dmah", .hints, name, .note,
                        "a software device has no DMA handles (DMAH): it sends no TLPs",
                        stops: [.handles]))
            } else {
                examineHandles(context, name)
            }
            try context.close()
        } catch {
            add(
                Finding(
                    "nic.verbs-refused", .nics, name, .obstacle, "it answers, but not to verbs: \(error.message)",
                    stops: [.rdma, .registration, .handles]))
        }
    }

    /// Whether it handles page faults; nil where the answer says neither.
    private mutating func examineODP(_ pd: borrowing ProtectionDomain, _ name: String) throws(Failure) -> Bool? {
        var page = try MappedMemory(hostMemory: 4096, kernel: kernel)
        let odp: Bool?
        var reason = ""
        do throws(Failure) {
            let access = Access([.localWrite, .onDemand]).rawValue
            var mr = try pd.regMR(address: page.address, length: 4096, access: access)
            try mr.close()
            odp = true
        } catch {
            odp = error.errno == .notSupported ? false : nil
            reason = error.errno.name
        }
        try page.close()
        switch odp {
        case true: add(Finding("nic.odp", .nics, name, .fine, "it handles page faults (on-demand paging)"))
        case false:
            add(
                Finding(
                    "nic.no-odp", .nics, name, .note, "it does not handle page faults (on-demand paging): \(reason)",
                    why: "an exporter that cannot be pinned, as VFIO is, needs them with mlx5"))
        default:
            add(
                Finding(
                    "nic.odp-unread", .nics, name, .unread, "whether it handles page faults is not known: \(reason)",
                    why: "registering a page with on-demand paging answers EOPNOTSUPP where it does not",
                    next: ["ibv_devinfo -v -d \(name)    (lists what it can do on demand)"]))
        }
        return odp
    }

    /// Descriptor -1 is no dma-buf: a driver that registers dma-bufs answers EBADF.
    private mutating func examineRegistration(
        _ pd: borrowing ProtectionDomain, _ name: String, _ driver: String?, odp: Bool?
    ) {
        let answer = pd.refusal(ofBuffer: -1)
        guard answer == nil || answer?.errno == .badDescriptor else {
            let errno = answer?.errno.name ?? ""
            add(
                Finding(
                    "nic.registers-not", .nics, name, .obstacle, "it registers no dma-bufs: \(errno)",
                    why: software.contains(name)
                        ? "a software device reaches host memory only"
                        : "its driver has no reg_user_mr_dmabuf, or the kernel no CONFIG_INFINIBAND_ON_DEMAND_PAGING",
                    next: ["a NIC of mlx5 (with ODP) or irdma; --bench lab --lab-nic connectx has an emulated one"],
                    stops: [.registration]))
            return
        }
        // hw/mlx5/mr.c: an exporter that may move its memory, as VFIO may, is mapped by page faults.
        guard driver != "mlx5_core" || odp != false else {
            add(
                Finding(
                    "nic.registers-not", .nics, name, .obstacle,
                    "it takes dma-bufs, but mlx5 maps those of VFIO by page faults, which it does not handle",
                    why: "ibv_reg_dmabuf_mr answers EOPNOTSUPP",
                    next: [
                        "mlxconfig -d \(nics.first { $0.name == name }?.address?.description ?? name) query | grep -i odp"
                    ],
                    stops: [.registration]))
            return
        }
        add(Finding("nic.registers", .nics, name, .fine, "it registers dma-bufs (asked with none: EBADF)"))
    }

    /// hw/mlx5/mr.c:reg_user_mr_dmabuf_by_data_direct looks for the function first.
    private mutating func examineDataDirect(_ pd: borrowing ProtectionDomain, _ name: String) {
        do throws(Failure) {
            var mr = try pd.mlx5dvRegDmabufMR(
                dmabuf: -1, offset: 0, length: 4096, iova: 0, access: 1, dataDirect: true)
            try mr.close()
        } catch {
            switch error.errno {
            case .badDescriptor: add(Finding("nic.data-direct", .nics, name, .fine, "it has a data direct function"))
            case .invalid, .notSupported:
                add(
                    Finding(
                        "nic.no-data-direct", .nics, name, .note,
                        "it has no data direct function (\(error.errno.name))",
                        why: "VFIO's dma-bufs cannot be pinned, so none of them goes that way anyhow"))
            default:
                add(
                    Finding(
                        "nic.data-direct-unread", .nics, name, .unread,
                        "whether it has a data direct function is not known: \(error.errno.name)",
                        why: "registering a dma-buf that is none answers EBADF where it has one",
                        next: ["dmesg | tail    (as root: its driver may say why)"]))
            }
        }
    }

    private mutating func examineHandles(_ context: borrowing RDMAContext, _ name: String) {
        guard let refusal = context.refusalOfHandle() else {
            add(Finding("nic.dmah", .hints, name, .fine, "it has DMA handles (DMAH): its driver lets it send hints"))
            return
        }
        guard refusal.errno == .notSupported || refusal.errno.code == EPROTONOSUPPORT else {
            add(
                Finding(
                    "nic.dmah-unread", .hints, name, .unread,
                    "whether it has DMA handles (DMAH) is not known: \(refusal.errno.name)",
                    why: "making one answers EOPNOTSUPP where it has none",
                    next: ["dmesg | tail    (as root: its driver may say why)"], stops: [.handles]))
            return
        }
        add(
            Finding(
                "nic.no-dmah", .hints, name, .obstacle, "no DMA handle can be made (DMAH): \(refusal.errno.name)",
                why: refusal.hint ?? "programs give their regions no hints of their own",
                next: ["lspci -vv    (mlx5 makes them, where it could enable TPH: see its hints)"], stops: [.handles]))
    }

    /// What one device cannot do is no obstacle where another can; for a scenario that uses this one it still is.
    mutating func relent(_ area: Finding.Area, _ purposes: Set<Finding.Purpose>) {
        replaceFindings { finding in
            guard finding.area == area, !finding.subject.isEmpty, finding.state == .obstacle, !finding.stops.isEmpty,
                finding.stops.isSubset(of: purposes)
            else { return finding }
            return Finding(
                finding.id, finding.area, finding.subject, .note, finding.what, detail: finding.detail,
                why: finding.why, next: finding.next, stops: finding.stops)
        }
    }
}
