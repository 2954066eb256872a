public import Kernel

/// What a machine lacks, or has, for peer-to-peer experiments: what `peerlab doctor` says. Everything is asked of the kernel through the
/// seam, nothing is concluded from its version, and what cannot be read is a finding of its own.
///
/// It changes nothing. It reads sysfs and procfs; opens, and closes at once, /dev/vfio/vfio, /dev/iommu, the nodes of VFIO's devices
/// (not a device: that would reset it) and block devices that nothing is known to use; and opens RDMA devices, where it allocates a
/// protection domain and registers a page of its own memory.
public struct Diagnosis {
    /// How far it goes.
    public struct Depth: Sendable {
        /// Opens devices that VFIO has and nobody uses, which makes the kernel reset them when they are opened and closed
        /// (drivers/vfio/pci/vfio_pci_core.c:vfio_pci_core_enable).
        public var opensDevices: Bool

        /// `opensDevices`: see there.
        public init(opensDevices: Bool) { self.opensDevices = opensDevices }
    }

    /// All findings, by area and then as they were found.
    public private(set) var findings: [Finding] = []
    /// All PCI functions of the machine, by address.
    public internal(set) var functions: [PCIFunction] = []
    /// Its RDMA devices, and the functions that they are on.
    public internal(set) var nics: [(name: String, address: PCIAddress?)] = []
    /// The routes between importers in the kernel and exporters that were looked at.
    public internal(set) var routes: [Route] = []
    /// The ports and host bridges above the functions that matter.
    public internal(set) var fabric = PCIeFabric()
    /// What was found of the importer in the kernel. It is among ``findings`` only where there is one, as machines other than the
    /// lab have none.
    public internal(set) var importerNode = Finding.noImporter

    /// A route from an importer to an exporter.
    public struct Route: Sendable {
        /// The importer's function.
        public let client: PCIAddress
        /// The exporter's.
        public let provider: PCIAddress
        /// What the kernel makes of it.
        public let route: P2PRoute
    }

    /// Exporters, importers, candidates where nothing is bound yet, and others in their groups.
    public private(set) var relevant: [PCIFunction] = []

    private let read = Read()
    let kernel: any Kernel
    /// What the kernel was built with, and what loads its modules.
    let modules: KernelModules
    let depth: Depth
    /// How the DMA_BUF_TPH feature is found.
    let tph: TPHChoice
    /// RDMA devices that are certainly on no function.
    var software: Set<String> = []
    /// Whether vfio-pci is loaded; nil where that could not be read.
    var hasDriver: Bool?
    /// Which functions exported when they were asked; see ``Depth``.
    var exports: [PCIAddress: Bool] = [:]

    /// Devices that are looked at before others: see ``unknown``.
    let named: [String]
    /// The folder with the lab's scripts, for commands.
    let labScripts: String

    /// Looks at the machine of a kernel. `named` are addresses of functions and names of RDMA devices, which are looked at before
    /// others of their kind; `labScripts` is where a user finds the lab's scripts.
    public init(
        kernel: any Kernel, depth: Depth, tph: TPHChoice = .auto, named: [String] = [],
        labScripts: String = "scripts/lab"
    ) {
        self.kernel = kernel
        modules = KernelModules(kernel)
        self.depth = depth
        self.tph = tph
        self.named = named.map { PCIAddress($0)?.description ?? $0 }
        self.labScripts = labScripts
        readFunctions()
        readNICs()
        relevant = chooseRelevant()
        fabric = kernel.fabric(above: relevant.map(\.address))
        examineKernel()
        examineIOMMU()
        examineVFIO()
        examineDevices()
        examineCandidates()
        examineNICs()
        examineImporter()
        examineRoutes()
        examineHints()
        examineLimits()
        findings.sort { Finding.Area.order($0.area) < Finding.Area.order($1.area) }
    }

    mutating func add(_ finding: Finding) { findings.append(finding) }

    mutating func replaceFindings(_ change: (Finding) -> Finding) { findings = findings.map(change) }

    private mutating func readFunctions() {
        do throws(Failure) { functions = try PCIFunction.all(kernel: kernel) } catch {
            add(
                unread(
                    "pci.unread", .kernel, "the PCI functions could not be read (\(error.errno.name))", error,
                    stops: [.vfio, .export, .hints]))
        }
    }

    private mutating func readNICs() {
        var names: [String] = []
        let path = "/sys/class/infiniband"
        do throws(Errno) { names = try kernel.list(path) } catch {
            if error != .noEntry || kernel.isHidden(path) {
                add(
                    unread(
                        "nic.unread", .nics, "the RDMA devices could not be read (\(error.name))", at: path,
                        stops: [.rdma, .registration, .handles]))
            }
        }
        nics = names.sorted().map { name in
            let path = (try? kernel.readlink("/sys/class/infiniband/\(name)")) ?? ""
            // A software device hangs below the virtual bus, or a network interface.
            let isReal: Bool
            do throws(Errno) {
                _ = try kernel.readlink("/sys/class/infiniband/\(name)/device")
                isReal = true
            } catch {
                isReal = false
                if error == .noEntry { software.insert(name) }
            }
            return (name, isReal ? path.split(separator: "/").compactMap { PCIAddress(String($0)) }.last : nil)
        }
    }

    // MARK: Which functions matter

    /// Those that VFIO has.
    public var exporters: [PCIFunction] { functions.filter(\.isVFIO) }

    /// Functions that import dma-bufs by a driver of the kernel: NICs, and the lab's importer.
    var importers: [PCIFunction] {
        let addresses = nics.compactMap(\.address)
        return functions.filter { addresses.contains($0.address) || $0.driver == KernelImporter.driver }
    }

    /// Functions that could be bound to vfio-pci: with memory to export, no bridge, and no NIC that a scenario needs.
    public var candidates: [PCIFunction] {
        let taken = Set(importers.map(\.address))
        return functions.filter { function in
            !function.isVFIO && !taken.contains(function.address) && function.memoryBARs.contains { $0 >= 4096 }
                && !isBridge(function.address)
        }
    }

    private func chooseRelevant() -> [PCIFunction] {
        let chosen = exporters + importers + shown(candidates)
        let groups = Set(chosen.compactMap(\.group)), addresses = Set(chosen.map(\.address))
        return functions.filter { function in
            addresses.contains(function.address)
                || function.group.map(groups.contains) == true && !isBridge(function.address)
        }
    }

    /// How many of a kind are shown, so that the report of a machine with hundreds can be read.
    static let mostShown = 12
    /// Why others are not.
    static let fewShown = "of each kind of device \(mostShown) are looked at, by address"

    /// The functions of a kind that are shown: those that were named, then those with the lowest addresses; by address.
    func shown(_ functions: [PCIFunction]) -> [PCIFunction] {
        let first = functions.filter(isNamed)
        let others = functions.filter { !isNamed($0) }.prefix(max(0, Diagnosis.mostShown - first.count))
        return (first + others).sorted { $0.address < $1.address }
    }

    /// The others, by name or address.
    func unshown(_ functions: [PCIFunction]) -> [String] {
        let looked = Set(shown(functions).map(\.address))
        return functions.filter { !looked.contains($0.address) }.map(importerName)
    }

    /// The first few of a list, and how it goes on.
    static func list(_ names: [String]) -> String {
        names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " ..." : "")
    }

    private func isNamed(_ function: PCIFunction) -> Bool {
        named.contains("\(function.address)") || named.contains(importerName(function))
    }

    /// Names that are of nothing that is looked at: of no exporter, candidate, importer or RDMA device.
    public var unknown: [String] {
        let known = exporters + importers + candidates
        let names = Set(known.map { "\($0.address)" } + known.map(importerName) + nics.map(\.name))
        return named.filter { !names.contains($0) }
    }

    func isBridge(_ address: PCIAddress) -> Bool {
        ((try? kernel.attribute("\(PCIFunction.path(address))/class")) ?? "").hasPrefix("0x06")
    }

    /// Each configuration space is read once: that takes a millisecond.
    func capabilities(_ address: PCIAddress) -> PCICapabilities {
        if let known = read.capabilities[address] { return known }
        let capabilities = kernel.capabilities(of: address)
        read.capabilities[address] = capabilities
        return capabilities
    }

    final class Read { var capabilities: [PCIAddress: PCICapabilities] = [:] }
}

extension Finding.Area {
    fileprivate static func order(_ area: Finding.Area) -> Int { allCases.firstIndex(of: area) ?? 0 }
}
