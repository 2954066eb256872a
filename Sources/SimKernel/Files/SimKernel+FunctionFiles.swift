import CKernel
import Glibc
import Kernel

/// A PCI function's directory in sysfs. drivers/pci/{pci-sysfs,pci}.c
extension SimKernel {
    func addFiles(of function: PCIFunction, _ directory: Directory) {
        let device = function.device
        directory.isComplete = true
        // Files that the kernel has there and that are not modelled.
        directory.unmodelled = [
            "firmware_node", "iommu", "link", "msi_irqs", "remove", "rescan", "rom", "net",
        ]
        func text(_ name: String, _ contents: @escaping () -> String) {
            directory.entries[name] = .attribute(show: { contents() + "\n" }, store: nil)
        }
        func fixed(_ name: String, _ contents: @escaping () -> String) {
            let path = "/sys/bus/pci/devices/\(device.address)/\(name)"
            directory.entries[name] = .attribute(show: { contents() + "\n" }) { [unowned self] (_) throws(Errno) in
                throw notModelled("write to \(path)", EOPNOTSUPP)
            }
        }
        text("vendor") { "0x" + hexDigits(device.vendor, width: 4) }
        text("device") { "0x" + hexDigits(device.device, width: 4) }
        text("subsystem_vendor") { "0x" + hexDigits(function.subsystem.vendor, width: 4) }
        text("subsystem_device") { "0x" + hexDigits(function.subsystem.device, width: 4) }
        text("revision") { "0x" + hexDigits(function.config.bytes[PCI_CLASS_REVISION], width: 2) }
        text("class") { "0x" + hexDigits(device.classCode & 0xff_ffff, width: 6) }
        let resources = ConfigSpace.resources(device, function.addresses)
        directory.entries["resource"] = .attribute(show: { resources }, store: nil)
        fixed("numa_node") { "\(device.node)" }
        text("power_state") { [unowned self] in powerState(of: function) }
        fixed("d3cold_allowed") { function.config.power == nil ? "0" : "1" }
        fixed("enable") { [unowned self] in isEnabled(function) ? "1" : "0" }
        fixed("msi_bus") { "1" }
        fixed("broken_parity_status") { "0" }
        text("ari_enabled") { "0" }
        // The interrupt number depends on the machine's firmware and interrupt controllers.
        if function.config.bytes[PCI_INTERRUPT_PIN] == 0 {
            text("irq") { "0" }
        } else {
            directory.unmodelled.insert("irq")
        }
        // VFIO's drivers set no DMA mask; the mask that its own driver set stays.
        let mask = device.nativeDriver == nil && device.driver != EduImporterFile.driver ? "32" : "64"
        for name in ["dma_mask_bits", "consistent_dma_mask_bits"] { text(name) { mask } }
        addProcessors(device, directory, text)
        text("modalias") { function.modalias }
        directory.entries["uevent"] = .attribute(show: { function.uevent }) { [unowned self] (_) throws(Errno) in
            throw notModelled("write to the uevent of \(device.address)", EOPNOTSUPP)
        }
        addLink(function, text)
        addResources(function, directory)
        addReset(function, directory)
        addPower(function, directory.directory("power"))
        directory.entries["config"] = .device { [unowned self] (flags) throws(Errno) in
            ConfigFile(self, function, flags: flags)
        }
        directory.entries["subsystem"] = .link("\(up(from: place(of: device.address)))bus/pci")
    }

    /// local_cpus_show: without a node, all
    private func addProcessors(
        _ device: Topology.Device, _ directory: Directory, _ text: (String, @escaping () -> String) -> Void
    ) {
        let cpus = topology.platform.cpus
        guard device.node < 0, cpus <= 32 else {
            directory.unmodelled.formUnion(["local_cpus", "local_cpulist"])
            return
        }
        text("local_cpus") { hexDigits((UInt64(1) << UInt64(cpus)) - 1, width: (cpus + 3) / 4) }
        text("local_cpulist") { cpus == 1 ? "0" : "0-\(cpus - 1)" }
    }

    /// A closed device of vfio-pci sleeps (vfio_pci_core.c:vfio_pci_core_register_device, disable_idle_d3).
    private func powerState(of function: PCIFunction) -> String {
        guard function.config.power != nil else { return "D0" }
        if let device = device(of: function), device.openCount == 0 || device.isLowPower { return "D3hot" }
        return ["D0", "D1", "D2", "D3hot"][Int(function.config.powerState)]
    }

    private func isEnabled(_ function: PCIFunction) -> Bool {
        device(of: function).map { $0.openCount > 0 } ?? (function.driver != nil)
    }

    /// current_link_speed_show and others: a function without the Express capability has none.
    private func addLink(_ function: PCIFunction, _ text: (String, @escaping () -> String) -> Void) {
        guard let express = function.config.express else { return }
        func speed(_ value: UInt32) -> String {
            let speeds = ["2.5 GT/s PCIe", "5.0 GT/s PCIe", "8.0 GT/s PCIe", "16.0 GT/s PCIe", "32.0 GT/s PCIe"]
            let index = Int(value & 15) - 1
            return speeds.indices.contains(index) ? speeds[index] : "Unknown"
        }
        func width(_ value: UInt32) -> UInt32 { value >> 4 & 0x3f }
        text("max_link_speed") { speed(function.config[express + PCI_EXP_LNKCAP, UInt32.self]) }
        text("max_link_width") { "\(width(function.config[express + PCI_EXP_LNKCAP, UInt32.self]))" }
        text("current_link_speed") { speed(UInt32(function.config[express + PCI_EXP_LNKSTA, UInt16.self])) }
        text("current_link_width") { "\(width(UInt32(function.config[express + PCI_EXP_LNKSTA, UInt16.self])))" }
    }

    /// pci_create_resource_files, pci_create_attr
    private func addResources(_ function: PCIFunction, _ directory: Directory) {
        for bar in function.device.bars where function.addresses[bar.index] != nil {
            let names = ["resource\(bar.index)"] + (bar.prefetchable ? ["resource\(bar.index)_wc"] : [])
            for name in names {
                let path = "/sys/bus/pci/devices/\(function.device.address)/\(name)"
                directory.entries[name] = .device { [unowned self] (flags) throws(Errno) in
                    ResourceFile(self, path, isPort: bar.kind == .io, flags: flags)
                }
            }
        }
    }

    /// drivers/base/power/sysfs.c
    private func addPower(_ function: PCIFunction, _ directory: Directory) {
        directory.isComplete = true
        directory.unmodelled = [
            "async", "autosuspend_delay_ms", "control", "runtime_active_kids", "runtime_active_time", "runtime_enabled",
            "runtime_suspended_time", "runtime_usage", "wakeup",
        ]
        let show = { [unowned self] in
            // vfio_pci_core.c suspends a function that nobody has open.
            let sleeps = device(of: function).map { $0.isLowPower || $0.openCount == 0 } ?? false
            return sleeps ? "suspended\n" : "active\n"
        }
        directory.entries["runtime_status"] = .attribute(show: show, store: nil)
    }

    /// drivers/pci/pci.c:reset_method_show, reset_store. Without a method there are no files.
    private func addReset(_ function: PCIFunction, _ directory: Directory) {
        let methods = resetMethods(of: function)
        guard !methods.isEmpty else { return }
        let address = function.device.address
        let shown = methods.joined(separator: " ") + "\n"
        directory.entries["reset_method"] = .attribute(show: { shown }) { [unowned self] (_) throws(Errno) in
            throw notModelled("write to the reset_method of \(address)", EOPNOTSUPP)
        }
        directory.entries["reset"] = .attribute(show: nil) { (text) throws(Errno) in
            let number = text.hasSuffix("\n") ? text.dropLast() : text[...]
            guard ["1", "+1", "01", "0x1"].contains(number) else { throw Errno(EINVAL) }
            // pci_reset_function saves and restores the configuration. vfio-pci has no reset_prepare: what it exported
            // stays mapped.
            function.config.powerState = 0
        }
    }

    /// drivers/pci/pci.c:pci_init_reset_methods
    private func resetMethods(of function: PCIFunction) -> [String] {
        let config = function.config
        var methods: [String] = []
        if let express = config.express,
            Int(config[express + PCI_EXP_DEVCAP, UInt32.self]) & PCI_EXP_DEVCAP_FLR != 0
        {
            methods.append("flr")
        }
        let needed = UInt8(PCI_AF_CAP_TP | PCI_AF_CAP_FLR)
        if let features = config.advancedFeatures,
            config.bytes[features + PCI_AF_CAP] & needed == needed
        {
            methods.append("af_flr")
        }
        if config.power != nil, !config.keepsStateInD3 { methods.append("pm") }
        let bus = function.device.bus
        let isAlone = functions.values.count { $0.device.bus == bus } == 1
        if isAlone, routes.isBelowPort(function.device.address) { methods.append("bus") }
        return methods
    }
}

extension PCIFunction {
    fileprivate var subsystem: (vendor: UInt16, device: UInt16) {
        (config[PCI_SUBSYSTEM_VENDOR_ID, UInt16.self], config[PCI_SUBSYSTEM_ID, UInt16.self])
    }

    /// modalias_show
    fileprivate var modalias: String {
        func hex(_ value: some BinaryInteger, _ width: Int) -> String { hexDigits(value, width: width).uppercased() }
        let code = device.classCode
        return "pci:v\(hex(device.vendor, 8))d\(hex(device.device, 8))sv\(hex(subsystem.vendor, 8))"
            + "sd\(hex(subsystem.device, 8))bc\(hex(code >> 16 & 0xff, 2))sc\(hex(code >> 8 & 0xff, 2))"
            + "i\(hex(code & 0xff, 2))"
    }

    /// drivers/pci/pci-driver.c:pci_uevent, drivers/base/core.c:dev_uevent
    fileprivate var uevent: String {
        func hex(_ value: some BinaryInteger, _ width: Int = 4) -> String {
            hexDigits(value, width: width).uppercased()
        }
        return (driver.map { "DRIVER=\($0)\n" } ?? "")
            + "PCI_CLASS=\(hex(device.classCode & 0xff_ffff))\nPCI_ID=\(hex(device.vendor)):\(hex(device.device))\n"
            + "PCI_SUBSYS_ID=\(hex(subsystem.vendor)):\(hex(subsystem.device))\nPCI_SLOT_NAME=\(device.address)\n"
            + "MODALIAS=\(modalias)\n"
    }
}

/// An open .../config: what is there now, and writes that reach the function past its driver.
/// drivers/pci/pci-sysfs.c:pci_read_config, pci_write_config
final class ConfigFile: OpenFile {
    private let function: PCIFunction

    init(_ kernel: SimKernel, _ function: PCIFunction, flags: Int32) {
        self.function = function
        super.init(kernel, "/sys/bus/pci/devices/\(function.device.address)/config", flags: flags)
    }

    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        // pci_read_config: CAP_SYS_ADMIN
        let shown = kernel.topology.isPrivileged ? function.config.bytes.count : PCI_STD_HEADER_SIZEOF
        let all = function.config.bytes[..<shown]
        guard offset < UInt64(all.count) else { return 0 }
        let part = all[Int(offset)...].prefix(bytes.count)
        bytes.copyBytes(from: part)
        return part.count
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        let size = function.config.bytes.count
        guard offset < UInt64(size) else { throw Errno(EFBIG) }
        let count = min(bytes.count, size - Int(offset))
        for index in 0..<count { function.config.write(UInt32(bytes[index]), 1, at: Int(offset) + index) }
        return count
    }

    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int {
        guard whence == SEEK_SET, offset >= 0 else {
            throw whence == SEEK_SET ? Errno(EINVAL) : kernel.notModelled("lseek of \(name)", EINVAL)
        }
        position = UInt64(offset)
        return Int(offset)
    }
}

/// An open .../resourceN. Memory is for mmap alone (fs/sysfs/file.c:sysfs_kf_bin_read).
final class ResourceFile: OpenFile {
    private let isPort: Bool

    init(_ kernel: SimKernel, _ path: String, isPort: Bool, flags: Int32) {
        self.isPort = isPort
        super.init(kernel, path, flags: flags)
    }

    private var refusal: Errno { isPort ? kernel.notModelled("ports through \(name)", EINVAL) : Errno(EIO) }

    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int { throw refusal }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int { throw refusal }

    override func map(length: Int, protection: Int32, flags: Int32, at offset: UInt64) throws(Errno)
        -> (UnsafeMutableRawPointer, BARAddress?)
    { throw kernel.notModelled("mmap of \(name)", EINVAL) }
}
