import CKernel
import Glibc
import Kernel

/// Files of sysfs and procfs that tell of the machine and its kernel, and where this kernel knows all names.
extension SimKernel {
    func addMachine() {
        let bus = root.directory("sys/bus/pci")
        bus.isComplete = true
        bus.unmodelled = ["drivers_autoprobe", "rescan", "resource_alignment", "slots", "uevent"]
        bus.directory("devices").isComplete = true
        bus.directory("drivers").isComplete = true
        if case .directory(let drivers)? = bus.entries["drivers"] {
            for case .directory(let driver) in drivers.entries.values {
                driver.isComplete = true
                driver.unmodelled = ["module", "new_id", "remove_id", "uevent"]
            }
        }
        // This kernel has no type information and injects no faults; the bench has no block device or network interface
        // but those it lists.
        for path in [
            "kernel/btf", "kernel/debug/fail_function", "kernel/debug/fail_page_alloc", "kernel/debug/failslab",
            "class/block", "class/net", "class/nvme-subsystem", "bus/virtio/drivers",
        ] {
            root.directory("sys/\(path)").isComplete = true
        }
        addParameters()
        addIOMMU()
        addProcesses()
        addCPUs()
        addMisc()
        addModules()
    }

    /// What depmod(8) writes: the modules that can be loaded, by their files.
    private func addModules() {
        let modules = [
            "drivers/vfio/pci/vfio-pci", "drivers/vfio/vfio_iommu_type1", "drivers/iommu/iommufd/iommufd",
            "drivers/infiniband/core/ib_uverbs", "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core",
            "drivers/infiniband/hw/mlx5/mlx5_ib",
        ]
        root.directory("lib/modules/\(topology.release)").entries["modules.dep"] = .text {
            Array(modules.map { "kernel/\($0).ko:\n" }.joined().utf8)
        }
    }

    /// drivers/char/misc.c: what is registered has a name here, whether or not its module's file is in /dev.
    private func addMisc() {
        let misc = root.directory("sys/class/misc")
        for name in ["vfio", "udmabuf"] + (topology.hasIOMMUFD ? ["iommu"] : []) {
            let device = root.directory("sys/devices/virtual/misc/\(name)")
            device.entries["dev"] = .attribute(show: { "10:\(name == "vfio" ? 196 : 124)\n" }, store: nil)
            misc.entries[name] = .link("../../devices/virtual/misc/\(name)")
        }
    }

    /// Module parameters as they are by default. drivers/vfio/{vfio_main,group}.c, pci/vfio_pci.c, vfio_iommu_type1.c
    private func addParameters() {
        let parameters = [
            ("vfio", "enable_unsafe_noiommu_mode", "N"), ("vfio_pci", "disable_idle_d3", "N"),
            ("vfio_pci", "nointxmask", "N"), ("vfio_pci", "disable_denylist", "N"),
            ("vfio_iommu_type1", "allow_unsafe_interrupts", "N"), ("vfio_iommu_type1", "disable_hugepages", "N"),
            ("vfio_iommu_type1", "dma_entry_limit", "65535"),
        ]
        for (module, name, value) in parameters {
            let isFixed = name == "disable_denylist"
            let path = "/sys/module/\(module)/parameters/\(name)"
            root.directory("sys/module/\(module)/parameters").entries[name] = .attribute(
                show: { value + "\n" },
                store: isFixed
                    ? nil : { [unowned self] (_) throws(Errno) in throw notModelled("write to \(path)", EOPNOTSUPP) })
        }
    }

    /// drivers/iommu/intel/iommu.c: intel_iommu_attrs
    private func addIOMMU() {
        guard let registers = topology.iommuRegisters else { return }
        let folder = root.directory("sys/devices/virtual/iommu/dmar0/intel-iommu")
        func text(_ name: String, _ value: String) {
            folder.entries[name] = .attribute(show: { value + "\n" }, store: nil)
        }
        text("cap", String(registers.capability, radix: 16))
        text("ecap", String(registers.extended, radix: 16))
        text("domains_supported", "\(1 << (4 + 2 * (registers.capability & 7)))")
        let all = root.directory("sys/class/iommu")
        all.isComplete = true
        all.entries["dmar0"] = .link("../../devices/virtual/iommu/dmar0")
    }

    private func addProcesses() {
        let mounts = "1 1 0:2 / / rw - rootfs rootfs rw\n"
        for process in ["self", "1"] {
            root.directory("proc/\(process)").entries["mountinfo"] = .text { Array(mounts.utf8) }
        }
        root.directory("proc").entries["swaps"] = .text { Array("Filename\tType\tSize\tUsed\tPriority\n".utf8) }
        root.directory("proc/sys/kernel").entries["ostype"] = .attribute(show: { "Linux\n" }, store: nil)
        let line = topology.commandLine + "\n"
        root.directory("proc").entries["cmdline"] = .text { Array(line.utf8) }
        // fs/proc/base.c:proc_pid_limits
        let limit = (topology.lockedMemory.map { "\($0)" } ?? "unlimited")
        let column = limit + String(repeating: " ", count: max(1, 21 - limit.utf8.count))
        root.directory("proc/self").entries["limits"] = .text {
            Array(
                ("Limit                     Soft Limit           Hard Limit           Units     \n"
                    + "Max locked memory         \(column)\(column)bytes     \n").utf8)
        }
        guard topology.lockedMemory != nil else { return }
        // fs/proc/array.c:task_cap: all of root's but CAP_IPC_LOCK, which is bit 14.
        let capabilities = topology.isPrivileged ? "000001ffffffbfff" : "0000000000000000"
        root.directory("proc/self").entries["status"] = .text { Array("CapEff:\t\(capabilities)\n".utf8) }
    }

    private func addCPUs() {
        let cpus = topology.platform.cpus
        for name in ["online", "possible", "present"] {
            root.directory("sys/devices/system/cpu").entries[name] = .attribute(
                show: { cpus == 1 ? "0\n" : "0-\(cpus - 1)\n" }, store: nil)
        }
        // arch/x86/kernel/cpu/proc.c:show_cpuinfo, as far as it decides something.
        let maker = topology.platform.isZen ? ("AuthenticAMD", 25) : ("GenuineIntel", 6)
        root.directory("proc").entries["cpuinfo"] = .text {
            Array(
                (0..<cpus).map { "processor\t: \($0)\nvendor_id\t: \(maker.0)\ncpu family\t: \(maker.1)\n\n" }
                    .joined().utf8)
        }
    }

    // MARK: RDMA

    /// drivers/infiniband/core/sysfs.c, as far as it is the same for every device.
    func addFiles(of nic: Topology.NIC, _ directory: Directory) {
        guard nic.driver != .efa, let hca = uverbs.hca(named: nic.name) else { return }
        directory.isComplete = true
        directory.unmodelled = [
            "board_id", "hca_type", "hw_counters", "hw_rev", "node_desc", "node_guid", "parent", "power",
            "subsystem", "sys_image_guid", "uevent",
        ]
        directory.entries["node_type"] = .attribute(show: { "1: CA\n" }, store: nil)
        // rxe has no firmware, and an empty line.
        let firmware = nic.driver == .rxe ? "" : nic.firmware
        directory.entries["fw_ver"] = .attribute(show: { firmware + "\n" }, store: nil)
        let port = directory.directory("ports/1")
        func text(_ name: String, _ value: String) {
            port.entries[name] = .attribute(show: { value + "\n" }, store: nil)
        }
        text("state", "4: ACTIVE")
        text("phys_state", "5: LinkUp")
        text("link_layer", nic.subnet == nil ? "Ethernet" : "InfiniBand")
        let entries = hca.gids
        for index in 0..<(nic.subnet == nil ? 16 : 8) {
            let gid = index < entries.count ? entries[index].gid : [UInt8](repeating: 0, count: 16)
            let words = stride(from: 0, to: 16, by: 2).map {
                hexDigits(UInt16(gid[$0]) << 8 | UInt16(gid[$0 + 1]), width: 4)
            }
            port.directory("gids").entries["\(index)"] = .attribute(
                show: { words.joined(separator: ":") + "\n" }, store: nil)
            guard index < entries.count else { continue }
            let type = entries[index].type == IBV_GID_TYPE_ROCE_V2 ? "RoCE v2\n" : "IB/RoCE v1\n"
            port.directory("gid_attrs/types").entries["\(index)"] = .attribute(show: { type }, store: nil)
        }
    }
}
