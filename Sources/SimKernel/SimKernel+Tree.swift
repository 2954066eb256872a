import Glibc
import Kernel

/// The files of the bench: /dev nodes, sysfs, procfs.
extension SimKernel {
    func buildTree() {
        let dev = root.directory("dev")
        dev.entries["iommu"] = .device { [unowned self] (flags) throws(Errno) in IOMMUFDFile(self, flags: flags) }
        dev.entries["udmabuf"] = .device { [unowned self] (flags) throws(Errno) in UDMABufFile(self, flags: flags) }
        dev.directory("dma_heap").entries["system"] = .device { [unowned self] (flags) throws(Errno) in
            DMAHeapFile(self, heap: "system", flags: flags)
        }
        let vfio = dev.directory("vfio")
        vfio.entries["vfio"] = .device { [unowned self] (flags) throws(Errno) in
            VFIOContainerFile(self, flags: flags)
        }
        _ = root.directory("sys/bus/pci/devices")
        var number = 0
        for device in topology.devices.sorted(by: { $0.address < $1.address }) {
            guard let function = functions[device.address], let group = groups[device.group] else { continue }
            let directory = add(function, group)
            if device.driver == EduImporterFile.driver { addImporter(function) }
            guard function.isVFIO else { continue }
            addVFIO(VFIODevice(function, group, number: number, self), directory)
            number += 1
        }
        for nic in topology.nics { add(nic) }
        addProcess()
        tphModule?.addFiles(self)
    }

    /// The function's sysfs directory. drivers/pci/pci-sysfs.c
    private func add(_ function: PCIFunction, _ group: VFIOGroup) -> Directory {
        let device = function.device
        let directory = root.directory("sys/devices/pci0000:00/\(device.address)")
        let back = "devices/pci0000:00/\(device.address)"
        root.directory("sys/bus/pci/devices").entries[device.address] = .link("../../../\(back)")
        func text(_ name: String, _ contents: String) { directory.entries[name] = .text { Array(contents.utf8) } }
        text("vendor", "0x" + hexadecimal(device.vendor, width: 4) + "\n")
        text("device", "0x" + hexadecimal(device.device, width: 4) + "\n")
        text("class", "0x" + hexadecimal(device.classCode & 0xff_ffff, width: 6) + "\n")
        text("resource", ConfigSpace.resources(device, function.addresses))
        text("numa_node", "\(device.node)\n")
        let isOverridden = function.isVFIO || device.driver == EduImporterFile.driver
        text("driver_override", (isOverridden ? device.driver ?? "" : "(null)") + "\n")
        text("reset_method", "flr\n")
        directory.entries["config"] = .text { function.config.bytes }
        if let driver = device.driver {
            directory.entries["driver"] = .link("../../../bus/pci/drivers/\(driver)")
            root.directory("sys/bus/pci/drivers/\(driver)").entries[device.address] = .link("../../../../\(back)")
        }
        directory.entries["iommu_group"] = .link("../../../kernel/iommu_groups/\(group.number)")
        let groupDirectory = root.directory("sys/kernel/iommu_groups/\(group.number)")
        groupDirectory.directory("devices").entries[device.address] = .link("../../../../\(back)")
        groupDirectory.entries["type"] = .text { Array("DMA-FQ\n".utf8) }
        groupDirectory.entries["reserved_regions"] = .text {
            Array("0x00000000fee00000 0x00000000feefffff msi\n".utf8)
        }
        return directory
    }

    private func addVFIO(_ device: VFIODevice, _ directory: Directory) {
        let group = device.group
        group.devices.append(device)
        let name = "vfio\(device.number)"
        _ = directory.directory("vfio-dev/\(name)")
        root.directory("dev/vfio/devices").entries[name] = .device { [unowned self] (flags) throws(Errno) in
            VFIODeviceFile(self, device, flags: flags)
        }
        root.directory("dev/vfio").entries[String(group.number)] = .device { [unowned self] (flags) throws(Errno) in
            try VFIOGroupFile(self, group, flags: flags)
        }
    }

    // scripts/lab/edu-importer/importer.c:edu_probe takes one device
    private func addImporter(_ function: PCIFunction) {
        let dev = root.directory("dev")
        guard let engine = function.engine, dev.entries["edu-importer"] == nil else { return }
        dev.entries["edu-importer"] = .device { [unowned self] (flags) throws(Errno) in
            EduImporterFile(self, function, engine, flags: flags)
        }
    }

    private func add(_ nic: Topology.NIC) {
        let classDirectory = root.directory("sys/class/infiniband")
        guard let address = nic.address, functions[address] != nil else {
            // A software device hangs below the virtual bus.
            _ = root.directory("sys/devices/virtual/infiniband/\(nic.name)")
            classDirectory.entries[nic.name] = .link("../../devices/virtual/infiniband/\(nic.name)")
            return
        }
        let path = "devices/pci0000:00/\(address)/infiniband/\(nic.name)"
        root.directory("sys/\(path)").entries["device"] = .link("../../../\(address)")
        classDirectory.entries[nic.name] = .link("../../\(path)")
    }

    private func addProcess() {
        let release = topology.release
        root.directory("proc/sys/kernel").entries["osrelease"] = .text { Array((release + "\n").utf8) }
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
