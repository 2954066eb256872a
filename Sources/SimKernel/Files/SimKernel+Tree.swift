import Glibc
import Kernel

/// The files of the bench: /dev nodes, sysfs, procfs.
extension SimKernel {
    func buildTree() {
        let dev = root.directory("dev")
        if topology.hasIOMMUFD {
            dev.entries["iommu"] = .device { [unowned self] (flags) throws(Errno) in IOMMUFDFile(self, flags: flags) }
        }
        dev.entries["udmabuf"] = .device { [unowned self] (flags) throws(Errno) in UDMABufFile(self, flags: flags) }
        dev.directory("dma_heap").entries["system"] = .device { [unowned self] (flags) throws(Errno) in
            DMAHeapFile(self, heap: "system", flags: flags)
        }
        let vfio = dev.directory("vfio")
        vfio.entries["vfio"] = .device { [unowned self] (flags) throws(Errno) in
            VFIOContainerFile(self, flags: flags)
        }
        _ = root.directory("sys/bus/pci/devices")
        addDrivers()
        addPorts()
        for device in topology.devices.sorted(by: { $0.address < $1.address }) {
            guard let function = functions[device.address], let group = groups[device.group] else { continue }
            add(function, group)
            if let driver = device.driver { link(function, driver) }
        }
        for device in topology.devices {
            let virtual = virtualFunctions(of: device.address)
            if let function = functions[device.address], !virtual.isEmpty { addSRIOV(function, virtual) }
        }
        root.entries["run"] = .directory(Directory(in: root, isTemporary: true))
        for nic in topology.nics { add(nic) }
        addProcess()
        addMachine()
        addFurtherFiles()
        tphModule?.addFiles(self)
    }

    /// The function's sysfs directory. drivers/pci/pci-sysfs.c
    private func add(_ function: PCIFunction, _ group: VFIOGroup) {
        let device = function.device
        let back = place(of: device.address)
        let directory = root.directory("sys/\(back)")
        root.directory("sys/bus/pci/devices").entries[device.address] = .link("../../../\(back)")
        addFiles(of: function, directory)
        addOverride(function, directory)
        directory.entries["iommu_group"] = .link("\(up(from: back))kernel/iommu_groups/\(group.number)")
        let groupDirectory = root.directory("sys/kernel/iommu_groups/\(group.number)")
        groupDirectory.directory("devices").entries[device.address] = .link("../../../../\(back)")
        groupDirectory.isComplete = true
        // drivers/iommu/intel/iommu.c:intel_iommu_init: in caching mode (each mapping is reported to the IOMMU) there is no
        // deferred flushing, so the type is DMA and not DMA-FQ.
        let type = (topology.iommuRegisters?.capability ?? 0) & 0x80 == 0 ? "DMA-FQ\n" : "DMA\n"
        groupDirectory.entries["type"] = .attribute(show: { type }) { [unowned self] (_) throws(Errno) in
            throw notModelled("write to the type of an IOMMU group", EOPNOTSUPP)
        }
        groupDirectory.entries["reserved_regions"] = .attribute(
            show: { "0x00000000fee00000 0x00000000feefffff msi\n" }, store: nil)
    }

    private func add(_ nic: Topology.NIC) {
        let classDirectory = root.directory("sys/class/infiniband")
        guard nic.driver != .rxe, let address = nic.address, functions[address] != nil else {
            // A software device hangs below the virtual bus.
            addFiles(of: nic, root.directory("sys/devices/virtual/infiniband/\(nic.name)"))
            classDirectory.entries[nic.name] = .link("../../devices/virtual/infiniband/\(nic.name)")
            return
        }
        let path = "\(place(of: address))/infiniband/\(nic.name)"
        let directory = root.directory("sys/\(path)")
        directory.entries["device"] = .link("../../../\(address)")
        addFiles(of: nic, directory)
        classDirectory.entries[nic.name] = .link("../../\(path)")
    }

    private func addFurtherFiles() {
        func add(_ path: String, _ node: Node) {
            let parts = path.split(separator: "/")
            guard let name = parts.last else { return }
            root.directory(parts.dropLast().joined(separator: "/")).entries[String(name)] = node
        }
        for (path, text) in topology.files { add(path, .text { Array(text.utf8) }) }
        for (path, target) in topology.links { add(path, .link(target)) }
        for path in topology.claimed { add(path, .claimed) }
    }

    private func addProcess() {
        let release = topology.release
        root.directory("proc/sys/kernel").entries["osrelease"] = .text { Array((release + "\n").utf8) }
        root.directory("proc/sys/kernel/random").entries["boot_id"] = .text {
            Array("5f0a7d31-6d2c-4c0e-9b1e-2f7d3a9c8e10\n".utf8)
        }
        var symbols: [(name: String, module: String?)] = [("vfio_pci_core_feature_dma_buf", "vfio_pci_core")]
        if let revision = topology.tph {
            symbols += tphModule == nil ? revision.symbols : TPHModule.symbols(revision)
        }
        let lines = symbols.map { symbol in
            "0000000000000000 T \(symbol.name)" + (symbol.module.map { "\t[\($0)]" } ?? "") + "\n"
        }
        root.directory("proc").entries["kallsyms"] = .text { Array(lines.joined().utf8) }
    }

    // MARK: /proc/PID

    /// The file behind "/proc/self/DIRECTORY/N", or with this process's number.
    private func processEntry(_ path: String, _ directory: String) throws(Errno) -> (Int32, OpenFile)? {
        let components = path.split(separator: "/")
        guard components.count == 4, components[0] == "proc", components[2] == directory,
            components[1] == "self" || components[1] == String(getpid())
        else { return nil }
        guard let descriptor = Int32(components[3]), let file = files[descriptor] else { throw Errno(ENOENT) }
        return (descriptor, file)
    }

    /// fs/proc/fd.c:seq_show
    func processFile(_ path: String, flags: Int32) throws(Errno) -> OpenFile? {
        guard let (descriptor, file) = try processEntry(path, "fdinfo") else { return nil }
        let all = file.flags | (files.closesOnExec(descriptor) ? O_CLOEXEC : 0)
        let text =
            "pos:\t\(file.position)\nflags:\t0\(String(all, radix: 8))\nmnt_id:\t15\nino:\t\(file.inode)\n"
            + file.information
        return TextFile(self, path, flags: flags, Array(text.utf8))
    }

    /// fs/proc/fd.c:proc_fd_link
    func processLink(_ path: String) throws(Errno) -> String? {
        guard let (_, file) = try processEntry(path, "fd") else { return nil }
        if let buffer = file as? DMABuf { return "/dmabuf:" + (buffer.label ?? "") }
        return file is VFIODeviceFile && !file.name.hasPrefix("/") ? "anon_inode:[vfio-device]" : file.name
    }
}
