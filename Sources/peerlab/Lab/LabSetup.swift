import ArgumentParser
import ConnectX
import Glibc
import LabBench
import VFIOUser

/// A kernel module for the guest: its file here, and "name=value" for each of its parameters.
struct LabModule: Equatable, Sendable {
    let file: String
    var parameters: [String] = []
    /// See ``GuestJob/Module/sign``.
    var sign: String?

    /// Its path in the guest.
    var path: String { "/lib/modules/" + (file.split(separator: "/").last.map(String.init) ?? file) }
}

/// The lab that the options `--lab-...` describe: the machine, the modules to load, and each device's driver.
struct LabSetup {
    private(set) var machine = LabMachine()
    private(set) var modules: [LabModule] = []

    /// The machine's vfio-user devices, in order, as arguments of `peerlab device several`.
    private var served: [String] = []
    /// Bytes of these devices' own memory.
    private var servedMemory: UInt64 = 0
    /// An archive with a newer libibverbs than this machine's, for the guest; nil for none.
    private(set) var libraries: String?
    /// Notes for the user, one sentence each: limits of this machine, and files that it uses.
    private(set) var notes: [String] = []

    /// The kernel's drivers that this machine needs.
    private(set) var drivers: [LabModule] = []

    /// For a kernel, with modules from its folder.
    init(_ options: LabOptions, bindsItself: Bool, kernel: LabKernel) throws(ValidationError) {
        let folder = kernel.folder
        if let lack = kernel.lack { notes.append(lack) }
        drivers = kernel.modules.map { LabModule(file: $0) }
        if options.nic == nil { drivers.removeAll { $0.path.contains("/mlx") } }
        guard options.tph == nil || options.nic == nil else {
            throw ValidationError(
                "--lab-tph and --lab-nic do not go together: the module gives a dma-buf its hint, for which mlx5 asks only "
                    + "in a kernel that has the series itself (\(ShippedFolders.labScript("build-kernel")) --patch), which needs no --lab-tph"
            )
        }
        if let exporter = options.exporter { try add(exporter: exporter) }
        if let tph = options.tph { try add(tph: tph, folder) }
        if options.importer { try addImporter(folder) }
        if let nic = options.nic { try add(LabNIC(nic), folder) }
        machine.fabric = options.machine ?? options.usualMachine
        machine.clock = options.clock ?? .host
        if options.accelerator == .kvm { try useKVM(KVM.refusal()) }
        if bindsItself {
            for index in machine.devices.indices where machine.devices[index].driver == "vfio-pci" {
                machine.devices[index].driver = nil
            }
        }
        if machine.fabric == .belowSwitch, options.nic != nil, options.exporter == nil {
            notes.append(
                "below a switch the ConnectX reaches no memory of QEMU's exporter, whose bus addresses it is not told: "
                    + "--lab-exporter gives it one of its own process")
        }
        if servedMemory > 0, options.nic != nil, machine.fabric != .belowSwitch {
            notes.append(
                "bench.tlps shows nothing: through the host bridge nobody tells the NIC's process which addresses are those of "
                    + "--lab-exporter; --lab-machine below-switch does")
        }
        // Below the switch there are ports only for the devices whose traffic matters.
        if machine.fabric == .belowSwitch { machine.devices.removeAll { $0.identity == LabMachine.express } }
    }

    /// Chooses KVM. `refusal`: why this machine's KVM cannot be used.
    mutating func useKVM(_ refusal: String?) throws(ValidationError) {
        guard machine.clock == .host else {
            throw ValidationError(
                "--lab-clock instructions counts what QEMU translates: it goes with --lab-accel tcg alone")
        }
        if let refusal { throw ValidationError("--lab-accel kvm: \(refusal): without that option it is tcg") }
        machine.accelerator = .kvm
    }

    /// The process that serves the vfio-user devices; nil where the machine has none.
    var server: DeviceServer? {
        guard !served.isEmpty else { return nil }
        let words = served + (machine.fabric == .belowSwitch ? ["--switch"] : [])
        // Through the host bridge the NIC's process sees only addresses, and cannot know which belong to the exporter's
        // process.
        let isCapturing = servedMemory == 0 || machine.fabric == .belowSwitch
        return DeviceServer(
            program: ShippedFolders.program(), functions: served.count, memory: servedMemory, isCapturing: isCapturing
        ) { resources in
            let connections = (0..<served.count).map { "--connection=\(resources.firstConnection + Int32($0))" }
            let target = resources.memory.map { ["--capture-target", CaptureOptions.text($0, region: 2)] } ?? []
            let capture = resources.capture.map { ["--capture", "\($0)"] } ?? []
            return ["device", "several"] + words + connections + capture + target
        }
    }

    /// Replaces QEMU's exporter by one of this program.
    private mutating func add(exporter text: String) throws(ValidationError) {
        do throws(ValidationError) { servedMemory += try Exporter.Description(text).size } catch {
            throw ValidationError("--lab-exporter: \(error.message)")
        }
        guard servedMemory <= LabMachine.longestBAR else {
            let most = "\(LabMachine.longestBAR >> 30)G"
            throw ValidationError("--lab-exporter: the lab's machine has no place for more than \(most)")
        }
        for index in machine.devices.indices where machine.devices[index].identity == LabMachine.exporter {
            machine.devices[index] = LabMachine.servedExporter
        }
        served.append("exporter,\(text)")
    }

    /// Revisions that the module vfio_tph provides, each with the modules that stand in for other parts of its kernel.
    /// Programs recognise a revision by its functions, so modules of other revisions must not be loaded.
    private static let revisions: [(name: String, before: [String], after: [String])] = [
        ("v2", [], []), ("v6", ["pcie_tph"], []), ("v7", ["pcie_tph_completer"], ["dma_buf_tph"]),
        ("v9", ["pcie_tph_completer"], ["dma_buf_pci_tph"]), ("v10", ["pcie_tph_completer"], ["dma_buf_pci_tph"]),
        ("v11", ["pcie_tph_completer"], ["dma_buf_pci_tph"]),
    ]

    /// Gives the exporter to vfio_tph.
    private mutating func add(tph: String, _ folder: String?) throws(ValidationError) {
        let parts = tph.split(separator: "@", omittingEmptySubsequences: false)
        let number = parts.count == 2 ? UInt16(parts[1]) : 13
        guard parts.count <= 2, let number, number >= 13,
            let revision = LabSetup.revisions.first(where: { $0.name == parts[0] })
        else {
            let names = LabSetup.revisions.map(\.name).joined(separator: ", ")
            throw ValidationError("--lab-tph takes one of \(names), and @NUMBER (13 to 65535) after it, not '\(tph)'")
        }
        for module in revision.before { try load(module, from: folder) }
        try load("vfio_tph", ["abi=\(revision.name)", "number=\(number)"], from: folder)
        for module in revision.after { try load(module, from: folder) }
        for index in machine.devices.indices where machine.devices[index].identity == LabMachine.exporter {
            machine.devices[index].driver = "vfio_tph"
        }
    }

    /// Loads edu_importer. The device's DMA mask is 64 bits, as the IOMMU gives a kernel driver addresses anywhere in
    /// that range.
    private mutating func addImporter(_ folder: String?) throws(ValidationError) {
        try load("edu_importer", from: folder)
        for index in machine.devices.indices where machine.devices[index].identity == LabMachine.engine {
            machine.devices[index].driver = "edu_importer"
            machine.devices[index].model += ",dma_mask=0xffffffffffffffff"
        }
    }

    /// Adds the NIC and its drivers, which are modules or built into the kernel. A built-in driver has examined the
    /// root port before tph_completer is loaded, so it is bound to the device again.
    private mutating func add(_ nic: LabNIC, _ folder: String?) throws(ValidationError) {
        if nic.options.tph != .none {
            machine.hasSteeringTags = true
            if nic.namesTPH || LabSetup.has("tph_completer", in: folder) {
                try load("tph_completer", from: folder)
            } else if folder != nil {
                notes.append(
                    "the ConnectX has no TPH below root ports that are no completers: \(ShippedFolders.labScript("build-modules")) makes "
                        + "tph_completer, which makes them completers")
            }
        }
        let drivers = [
            ("mlx5_core", "/sys/bus/pci/drivers/mlx5_core"), ("mlx5_ib", "/sys/bus/auxiliary/drivers/mlx5_ib.rdma"),
        ]
        for (name, sign) in drivers where LabSetup.has(name, in: folder) {
            try load(name, unless: sign, from: folder)
        }
        if let archive = LabSetup.variable("PEERLAB_LAB_LIBIBVERBS") {
            libraries = archive
        } else if access(LabSetup.builtLibraries, R_OK) == 0 {
            libraries = LabSetup.builtLibraries
        }
        if let libraries { notes.append("the guest's libibverbs is that of \(libraries)") }
        machine.devices.append(LabMachine.nic)
        served.append(nic.text)
    }

    private static func has(_ name: String, in folder: String?) -> Bool {
        folder.map { access("\($0)/\(name).ko", R_OK) == 0 } ?? false
    }

    private mutating func load(
        _ name: String, _ parameters: [String] = [], unless sign: String? = nil, from folder: String?
    ) throws(ValidationError) {
        guard let folder else {
            throw ValidationError(
                "this needs the module \(name), which nothing here builds for the kernel that --lab-kernel names: take one "
                    + "of \(ShippedFolders.labScript("build-kernel")), for which \(ShippedFolders.labScript("build-modules")) makes it"
            )
        }
        let path = "\(folder)/\(name).ko"
        guard access(path, R_OK) == 0 else {
            throw ValidationError(
                "there is no kernel module \(path): \(ShippedFolders.labScript("build-modules")) makes it, PEERLAB_LAB_MODULES names "
                    + "another folder")
        }
        modules.append(LabModule(file: path, parameters: parameters, sign: sign))
    }
}

extension LabSetup {
    /// The default kernel: PEERLAB_LAB_KERNEL, or the output of scripts/lab/build-kernel.
    static var builtKernel: String {
        variable("PEERLAB_LAB_KERNEL") ?? "\(cache)/bzImage"
    }

    /// The folder of the lab's kernel modules: PEERLAB_LAB_MODULES, or the output of scripts/lab/build-modules.
    static var builtModules: String {
        variable("PEERLAB_LAB_MODULES") ?? "\(cache)/modules"
    }

    /// A current libibverbs for a guest with an mlx5 NIC: the output of scripts/lab/rdma-core.
    private static var builtLibraries: String { "\(cache)/libibverbs.cpio" }

    /// The QEMU to use: this system's or, where that has no vfio-user and the machine needs it, the one unpacked by
    /// scripts/lab/qemu. nil where there is none.
    func emulator() throws(ValidationError) -> QEMU? {
        let system = QEMU.system, unpacked = QEMU.unpacked(in: "\(LabSetup.cache)/qemu")
        let needsDevices = machine.servedCount > 0, needsKVM = machine.accelerator == .kvm
        guard needsDevices || needsKVM else { return system ?? unpacked }
        if let system, !needsDevices || system.takesDevices, !needsKVM || system.takesKVM { return system }
        guard let unpacked else {
            throw ValidationError(
                "\(needsDevices ? "--lab-nic and --lab-exporter need" : "--lab-accel kvm needs") QEMU 10.1 or newer, and "
                    + "\(system?.path ?? "this system's PATH") has none: \(ShippedFolders.labScript("qemu")) unpacks one and installs nothing"
            )
        }
        return unpacked
    }

    /// The folder with kernels, modules and QEMU made by the scripts in scripts/lab.
    static var cache: String {
        if let cache = variable("PEERLAB_CACHE") { return cache }
        let caches = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
        return "\(caches)/peerlab"
    }

    /// The value of a variable; an empty one counts as unset.
    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
