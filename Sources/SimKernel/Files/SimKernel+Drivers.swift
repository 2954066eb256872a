import Glibc
import Kernel

/// Which driver has a function, and the files of sysfs that change it. drivers/base/{bus,dd}.c, drivers/pci/pci-driver.c
extension SimKernel {
    private var bus: Directory { root.directory("sys/bus/pci") }

    /// Drivers that the kernel has: those of the bench, and vfio-pci.
    func addDrivers() {
        var names: Set = ["vfio-pci"]
        for device in topology.devices { names.formUnion([device.driver, device.nativeDriver].compactMap { $0 }) }
        if !portAddresses.isEmpty { names.insert("pcieport") }
        for name in names {
            let directory = bus.directory("drivers/\(name)")
            guard !topology.fixedDrivers.contains(name) else { continue }
            directory.entries["bind"] = .attribute(show: nil) { [unowned self] (text) throws(Errno) in
                // bind_store, device_driver_attach
                guard let function = function(named: text), matches(name, function) else { throw Errno(ENODEV) }
                guard function.driver == nil else { throw Errno(EBUSY) }
                try attach(function, name)
            }
            directory.entries["unbind"] = .attribute(show: nil) { [unowned self] (text) throws(Errno) in
                // unbind_store
                guard let function = function(named: text), function.driver == name else { throw Errno(ENODEV) }
                try detach(function)
            }
        }
        bus.entries["drivers_probe"] = .attribute(show: nil) { [unowned self] (text) throws(Errno) in
            // drivers_probe_store: a driver that fails is no error.
            guard let function = function(named: text) else { throw Errno(ENODEV) }
            probe(function)
        }
    }

    /// bus_find_device_by_name: a newline at the end does not count.
    private func function(named text: String) -> PCIFunction? {
        let name = text.hasSuffix("\n") ? String(text.dropLast()) : text
        guard bus.directory("devices").entries[name] != nil else { return nil }
        return functions[name]
    }

    /// drivers/pci/pci-driver.c:pci_match_device. vfio-pci has no id table here; driver_override alone gives it a device.
    private func matches(_ driver: String, _ function: PCIFunction) -> Bool {
        (function.driverOverride ?? function.device.nativeDriver) == driver
    }

    private func probe(_ function: PCIFunction) {
        guard function.driver == nil, let name = function.driverOverride ?? function.device.nativeDriver else { return }
        guard case .directory? = bus.directory("drivers").entries[name] else { return }
        try? attach(function, name)
    }

    private func attach(_ function: PCIFunction, _ driver: String) throws(Errno) {
        let isVFIO = driver.hasPrefix("vfio")
        // drivers/iommu/iommu.c:iommu_device_use_default_domain
        if !isVFIO, groups[function.device.group]?.isOwned == true { throw Errno(EBUSY) }
        // vfio_pci_probe
        if isVFIO, function.device.classCode >> 16 == 0x06 { throw Errno(EINVAL) }
        function.driver = driver
        link(function, driver)
    }

    private func detach(_ function: PCIFunction) throws(Errno) {
        guard let driver = function.driver else { return }
        if let device = device(of: function) {
            guard !device.isUsed else { throw notModelled("unbinding an open VFIO device, which waits", EBUSY) }
            removeVFIO(device)
        } else if topology.nics.contains(where: { $0.address == function.device.address }) {
            throw notModelled("unbinding the driver of an RDMA device", EBUSY)
        } else if driver == EduImporterFile.driver {
            throw notModelled("unbinding \(driver)", EBUSY)
        }
        let virtual = virtualFunctions(of: function.device.address)
        if !virtual.isEmpty { setVirtualFunctions(virtual, 0, function) }
        bus.directory("drivers/\(driver)").entries[function.device.address] = nil
        directory(of: function).entries["driver"] = nil
        function.driver = nil
    }

    /// What a bound driver shows: links, and VFIO's nodes.
    func link(_ function: PCIFunction, _ driver: String) {
        let address = function.device.address
        let directory = directory(of: function)
        let place = place(of: address)
        directory.entries["driver"] = .link("\(up(from: place))bus/pci/drivers/\(driver)")
        bus.directory("drivers/\(driver)").entries[address] = .link("../../../../\(place)")
        if driver == EduImporterFile.driver { addImporter(function) }
        if function.isVFIO { addVFIO(function, directory) }
    }

    private func directory(of function: PCIFunction) -> Directory {
        root.directory("sys/\(place(of: function.device.address))")
    }

    // MARK: VFIO's nodes

    private func addVFIO(_ function: PCIFunction, _ directory: Directory) {
        guard let group = groups[function.device.group] else { return }
        let taken = Set(groups.values.flatMap(\.devices).map(\.number))
        let number = (0...).first { !taken.contains($0) } ?? 0
        let device = VFIODevice(function, group, number: number, self)
        group.devices.append(device)
        let name = "vfio\(number)"
        _ = directory.directory("vfio-dev/\(name)")
        // VFIO_DEVICE_CDEV depends on IOMMUFD; sysfs has the name without it too.
        if topology.hasIOMMUFD {
            root.directory("dev/vfio/devices").entries[name] = .device { [unowned self] (flags) throws(Errno) in
                VFIODeviceFile(self, device, flags: flags)
            }
        }
        root.directory("dev/vfio").entries[String(group.number)] = .device { [unowned self] (flags) throws(Errno) in
            try VFIOGroupFile(self, group, flags: flags)
        }
    }

    private func removeVFIO(_ device: VFIODevice) {
        let group = device.group
        group.devices.removeAll { $0 === device }
        directory(of: device.function).entries["vfio-dev"] = nil
        root.directory("dev/vfio/devices").entries["vfio\(device.number)"] = nil
        if group.devices.isEmpty { root.directory("dev/vfio").entries[String(group.number)] = nil }
    }

    // scripts/lab/edu-importer/importer.c:edu_probe takes one device
    private func addImporter(_ function: PCIFunction) {
        let dev = root.directory("dev")
        guard let engine = function.engine, dev.entries["edu-importer"] == nil else { return }
        dev.entries["edu-importer"] = .device { [unowned self] (flags) throws(Errno) in
            EduImporterFile(self, function, engine, flags: flags)
        }
    }

    // MARK: Attributes of a function

    /// drivers/base/bus.c:driver_override_store
    func addOverride(_ function: PCIFunction, _ directory: Directory) {
        directory.entries["driver_override"] = .attribute(
            show: { [unowned function] in (function.driverOverride ?? "(null)") + "\n" },
            store: { [unowned function] (text) throws(Errno) in
                guard text.utf8.count < 4095 else { throw Errno(EINVAL) }
                let name = text.prefix { $0 != "\0" && $0 != "\n" }
                function.driverOverride = name.isEmpty ? nil : String(name)
            })
    }

    /// Those of a physical function, in order.
    func virtualFunctions(of address: String) -> [PCIFunction] {
        functions.values.filter { $0.device.physicalFunction == address }
            .sorted { $0.device.address < $1.device.address }
    }

    /// drivers/pci/iov.c: all virtual functions are there at first.
    func addSRIOV(_ function: PCIFunction, _ virtual: [PCIFunction]) {
        let directory = directory(of: function)
        directory.entries["sriov_totalvfs"] = .text { Array("\(virtual.count)\n".utf8) }
        directory.entries["sriov_numvfs"] = .attribute(
            show: { [unowned self] in "\(enabled(virtual))\n" },
            store: { [unowned self, unowned function] (text) throws(Errno) in
                // sriov_numvfs_store
                let digits = text.hasSuffix("\n") ? text.dropLast() : text[...]
                guard let count = UInt16(digits) else { throw Errno(EINVAL) }
                guard count <= virtual.count else { throw Errno(ERANGE) }
                guard count != enabled(virtual) else { return }
                guard let driver = function.driver, !driver.hasPrefix("vfio") else { throw Errno(ENOENT) }
                guard count == 0 || enabled(virtual) == 0 else { throw Errno(EBUSY) }
                setVirtualFunctions(virtual, Int(count), function)
            })
        directory.entries["sriov_drivers_autoprobe"] = .attribute(
            show: { [unowned function] in function.probesVirtualFunctions ? "1\n" : "0\n" },
            store: { [unowned function] (text) throws(Errno) in
                // lib/kstrtox.c:kstrtobool, as far as sysfs shows it
                guard let first = text.first, first == "0" || first == "1" else { throw Errno(EINVAL) }
                function.probesVirtualFunctions = first == "1"
            })
        link(virtual, in: directory)
    }

    private func enabled(_ virtual: [PCIFunction]) -> Int {
        virtual.count { bus.directory("devices").entries[$0.device.address] != nil }
    }

    /// New virtual functions start with nothing of the old ones: no driver, no override.
    private func setVirtualFunctions(_ virtual: [PCIFunction], _ count: Int, _ physical: PCIFunction) {
        for (index, function) in virtual.enumerated() {
            let address = function.device.address
            try? detach(function)
            function.driverOverride = nil
            bus.directory("devices").entries[address] =
                index < count ? .link("../../../\(place(of: address))") : nil
            if index < count, physical.probesVirtualFunctions { probe(function) }
        }
        link(Array(virtual.prefix(count)), in: directory(of: physical))
    }

    private func link(_ virtual: [PCIFunction], in directory: Directory) {
        for name in directory.entries.keys where name.hasPrefix("virtfn") { directory.entries[name] = nil }
        for (index, function) in virtual.enumerated() {
            directory.entries["virtfn\(index)"] = .link("../\(function.device.address)")
        }
    }
}

/// A file of sysfs that can be written. fs/kernfs/file.c, fs/sysfs/file.c
final class AttributeFile: TextFile {
    private let store: ((String) throws(Errno) -> Void)?

    init(
        _ kernel: SimKernel, _ name: String, flags: Int32, _ contents: [UInt8],
        _ store: ((String) throws(Errno) -> Void)?
    ) {
        self.store = store
        super.init(kernel, name, flags: flags, contents)
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard let store else { throw Errno(EINVAL) }
        guard !bytes.isEmpty else { return 0 }
        let part = bytes.prefix(4096)
        try store(String(decoding: part, as: UTF8.self))
        return part.count
    }
}
