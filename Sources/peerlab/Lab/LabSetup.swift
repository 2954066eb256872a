import ArgumentParser
import Glibc
import LabBench

/// A kernel module for the guest: its file here, and "name=value" for each of its parameters.
struct LabModule: Equatable, Sendable {
    let file: String
    var parameters: [String] = []

    /// Where it is in the guest.
    var path: String { "/lib/modules/" + (file.split(separator: "/").last.map(String.init) ?? file) }
}

/// What the options `--lab-...` make of the lab: the machine, the modules to load, and which
/// driver gets which device.
struct LabSetup {
    private(set) var machine = LabMachine()
    private(set) var modules: [LabModule] = []

    /// The modules are looked for in `folder`.
    init(
        tph: String?, importer: Bool, fabric: LabMachine.Fabric?, clock: LabMachine.Clock,
        bindsItself: Bool, folder: String
    ) throws(ValidationError) {
        if let tph { try add(tph: tph, folder) }
        if importer { try addImporter(folder) }
        if let fabric { machine.fabric = fabric }
        machine.clock = clock
        if bindsItself {
            for index in machine.devices.indices where machine.devices[index].driver == "vfio-pci" {
                machine.devices[index].driver = nil
            }
        }
        // The switch has the two whose traffic it is about, and no port more.
        if fabric == .belowSwitch { machine.devices.removeAll { $0.identity == LabMachine.express } }
    }

    /// The exporter goes to vfio_tph. Only with v6 may the kernel have the function of pcie_tph: it is v6's mark.
    private mutating func add(tph: String, _ folder: String) throws(ValidationError) {
        let parts = tph.split(separator: "@", omittingEmptySubsequences: false)
        let number = parts.count == 2 ? UInt16(parts[1]) : 13
        guard parts.count <= 2, ["v2", "v6"].contains(parts[0]), let number, number >= 13 else {
            throw ValidationError("--lab-tph takes v2 or v6, and @NUMBER (13 to 65535) after it, not '\(tph)'")
        }
        if parts[0] == "v6" { try load("pcie_tph", from: folder) }
        try load("vfio_tph", ["abi=\(parts[0])", "number=\(number)"], from: folder)
        for index in machine.devices.indices where machine.devices[index].identity == LabMachine.exporter {
            machine.devices[index].driver = "vfio_tph"
        }
    }

    /// A kernel driver maps peer memory only where it knows a route. The IOMMU gives it addresses anywhere in 64 bits.
    private mutating func addImporter(_ folder: String) throws(ValidationError) {
        try load("edu_importer", from: folder)
        machine.fabric = .bridge
        for index in machine.devices.indices where machine.devices[index].identity == LabMachine.engine {
            machine.devices[index].driver = "edu_importer"
            machine.devices[index].model += ",dma_mask=0xffffffffffffffff"
        }
    }

    private mutating func load(
        _ name: String, _ parameters: [String] = [], from folder: String
    ) throws(ValidationError) {
        let path = "\(folder)/\(name).ko"
        guard access(path, R_OK) == 0 else {
            throw ValidationError(
                "there is no kernel module \(path): scripts/lab/build-modules makes it, PEERLAB_LAB_MODULES names "
                    + "another folder")
        }
        modules.append(LabModule(file: path, parameters: parameters))
    }
}

extension LabSetup {
    /// The kernel to boot where the user names none: PEERLAB_LAB_KERNEL, or where scripts/lab/build-kernel leaves its own.
    static var builtKernel: String {
        variable("PEERLAB_LAB_KERNEL") ?? "\(cache)/bzImage"
    }

    /// Where the lab's kernel modules are: PEERLAB_LAB_MODULES, or where scripts/lab/build-modules leaves them.
    static var builtModules: String {
        variable("PEERLAB_LAB_MODULES") ?? "\(cache)/modules"
    }

    private static var cache: String {
        if let cache = variable("PEERLAB_CACHE") { return cache }
        let caches = variable("XDG_CACHE_HOME") ?? "\(variable("HOME") ?? "")/.cache"
        return "\(caches)/peerlab"
    }

    /// An empty variable counts as none.
    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
