public import Kernel

/// What decides how a machine answers peer-to-peer experiments, read from sysfs and procfs: VFIO's devices and those with an
/// RDMA device, all others in their IOMMU groups, the bridges above them, IOMMU, processors. As lines of a record's header;
/// their keys and fields are those of a bench file (stdlib/README.md), so that a simulated bench can be made of them.
///
/// What cannot be read is left out, or said to be "unread" where leaving it out would say something: configuration space behind
/// its first 64 bytes is root's. Serial numbers are zero.
public struct MachineTopology {
    /// One thing.
    public struct Line: Sendable, Equatable {
        /// "device", and "bar", "config" and "rdma" of the device before it; "port", "host bridge", "software rdma", "iommu",
        /// "platform", "limits".
        public let key: String
        /// `address="0000:01:00.0" group=3`: texts in quotes, numbers and truth values as they are.
        public internal(set) var fields: String

        init(_ key: String) {
            self.key = key
            fields = ""
        }

        mutating func add(_ name: String, _ text: String) { join("\(name)=\"\(text)\"") }
        mutating func add(_ name: String, _ number: some BinaryInteger) { join("\(name)=\(number)") }
        mutating func add(_ name: String, hexadecimal number: UInt64) { join("\(name)=\(hex(number))") }
        mutating func add(_ name: String, _ flag: Bool) { join("\(name)=\(flag)") }

        private mutating func join(_ field: String) { fields += fields.isEmpty ? field : " " + field }
    }

    /// What stands in place of a text that could not be read.
    public static let unread = "unread"

    /// What was read, the top of the machine first.
    public private(set) var lines: [Line] = []

    private let kernel: any Kernel
    /// RDMA devices by the function they are on; nil for those on none.
    private var nics: [PCIAddress?: [String]] = [:]
    /// Bridges and ports that have a line.
    private var written: Set<String> = []

    /// Reads what is there now.
    public init(kernel: any Kernel) throws(Failure) {
        self.kernel = kernel
        nics = MachineTopology.nics(kernel)
        let functions = try chosen()
        addPlatform()
        addLimits()
        addIOMMU(functions)
        for function in functions { addBridges(above: function.address) }
        var spare = (functions.compactMap(\.group).max() ?? 0) &+ 1
        for function in functions {
            add(function, spare: &spare)
        }
        for name in nics[nil] ?? [] where isSoftware(name) {
            var line = Line("software rdma")
            line.add("name", name)
            line.add("driver", "rxe")
            lines.append(line)
        }
    }

    /// drivers/infiniband/sw/rxe has this attribute, whatever is below it.
    private func isSoftware(_ nic: String) -> Bool {
        (try? kernel.attribute("/sys/class/infiniband/\(nic)/parent")) != nil
    }

    /// The functions that matter, by address. Of an adapter's virtual functions those that VFIO has.
    private func chosen() throws(Failure) -> [PCIFunction] {
        let all = try PCIFunction.all(kernel: kernel)
        var wanted: Set<PCIAddress> = []
        var groups: Set<Int> = []
        for function in all {
            let isVirtual = (try? kernel.readlink("\(PCIFunction.path(function.address))/physfn")) != nil
            guard function.isVFIO || (nics[function.address] != nil && !isVirtual) else { continue }
            wanted.insert(function.address)
            if let group = function.group { groups.insert(group) }
        }
        return all.filter { function in
            wanted.contains(function.address) || function.group.map(groups.contains) ?? false
        }.filter { !isPort($0.address) }
    }

    private func isPort(_ address: PCIAddress) -> Bool { line("class", address)?.hasPrefix("0x0604") ?? false }

    /// An attribute of a function; nil where it is not there.
    private func line(_ name: String, _ address: PCIAddress) -> String? {
        try? kernel.attribute("\(PCIFunction.path(address))/\(name)")
    }

    private static func nics(_ kernel: any Kernel) -> [PCIAddress?: [String]] {
        var nics: [PCIAddress?: [String]] = [:]
        for name in ((try? kernel.list("/sys/class/infiniband")) ?? []).sorted() {
            let path = (try? kernel.readlink("/sys/class/infiniband/\(name)")) ?? ""
            let addresses = path.split(separator: "/").compactMap { PCIAddress(String($0)) }
            nics[addresses.last, default: []].append(name)
        }
        return nics
    }

    // MARK: Lines

    private mutating func addPlatform() {
        var line = Line("platform")
        if let processors = try? kernel.contents(of: "/proc/cpuinfo") {
            line.add("zen", HostBridgeListing.trusts(processors: processors))
        }
        // "0-63"
        let present = try? kernel.attribute("/sys/devices/system/cpu/present")
        if let last = present?.split(whereSeparator: { $0 == "-" || $0 == "," }).last.flatMap({ Int($0) }) {
            line.add("cpus", last &+ 1)
            line.add("allowed_cpus", last &+ 1)
        }
        lines.append(line)
    }

    /// What the program that records may pin.
    private mutating func addLimits() {
        guard let limit = LockedMemoryLimit(kernel) else { return }
        var line = Line("limits")
        if let bytes = limit.bytes { line.add("memlock", bytes) } else { line.add("memlock", "unlimited") }
        if let isExempt = limit.isExempt { line.add("ipc_lock", isExempt) }
        lines.append(line)
    }

    /// drivers/iommu/intel/iommu.c: attributes cap and ecap; VT-d 10.4.2 and 10.4.3.
    private mutating func addIOMMU(_ functions: [PCIFunction]) {
        var line = Line("iommu")
        let registers = (try? kernel.list("/sys/class/iommu"))?.sorted().first.map {
            "/sys/class/iommu/\($0)/intel-iommu"
        }
        if let registers, let capability = number("\(registers)/cap"), let extended = number("\(registers)/ecap") {
            // Maximum guest address width, less one; snoop control.
            line.add("aperture_bits", (capability >> 16 & 0x3f) + 1)
            line.add("forces_snooping", extended & 0x80 != 0)
            line.add("cap", hexadecimal: capability)
            line.add("ecap", hexadecimal: extended)
        }
        let importers = functions.filter { nics[$0.address] != nil }
        let types = (importers.isEmpty ? functions : importers).compactMap(\.group).compactMap {
            try? kernel.attribute("/sys/kernel/iommu_groups/\($0)/type")
        }
        line.add("translates", !types.contains("identity") && functions.contains { $0.group != nil })
        lines.append(line)
    }

    private func number(_ path: String) -> UInt64? { kernel.number(path) }

    /// What a function hangs from; nil where sysfs puts it below a host bridge on whose bus it is not.
    private func parent(of address: PCIAddress) -> String? {
        guard let (bridge, ports) = kernel.place(of: address) else { return nil }
        if let last = ports.last { return last.description }
        return bridge == "pci" + address.description.prefix(7) ? bridge : nil
    }

    private mutating func addBridges(above address: PCIAddress) {
        guard let (bridge, ports) = kernel.place(of: address) else { return }
        if written.insert(bridge).inserted {
            var line = Line("host bridge")
            line.add("name", bridge)
            line.add("peer_to_peer", kernel.listing(ofHostBridge: bridge)?.rawValue ?? MachineTopology.unread)
            lines.append(line)
        }
        var parent = bridge
        for port in ports {
            defer { parent = port.description }
            guard written.insert(port.description).inserted else { continue }
            var line = Line("port")
            line.add("address", port.description)
            line.add("parent", parent)
            let capabilities = capabilities(port)
            if capabilities.isWhole { line.add("completer", capabilities.completer.rawValue) }
            let redirects = capabilities.redirects.short
            if !redirects.isEmpty { line.add("acs", redirects.joined(separator: ",")) }
            lines.append(line)
        }
    }

    private func capabilities(_ address: PCIAddress) -> PCICapabilities { kernel.capabilities(of: address) }

    private mutating func add(_ function: PCIFunction, spare: inout Int) {
        let address = function.address
        let capabilities = capabilities(address)
        var line = Line("device")
        line.add("address", address.description)
        line.add("id", function.id)
        if let code = number("\(PCIFunction.path(address))/class") {
            line.add("class", hexadecimal: code)
        }
        line.add("driver", function.driver ?? "none")
        line.add("group", function.group ?? spare)
        if function.group == nil { spare &+= 1 }
        if let parent = parent(of: address) { line.add("parent", parent) }
        if let node = self.line("numa_node", address).flatMap({ Int($0) }), node >= 0 { line.add("node", node) }
        if let physical = try? kernel.readlink("\(PCIFunction.path(address))/physfn").split(separator: "/").last {
            line.add("physical_function", String(physical))
        }
        let names = nics[address] ?? []
        let isEngine = function.id == "1234:11e8"
        line.add("kind", names.isEmpty ? isEngine ? "edu" : "memory" : "nic")
        if capabilities.isWhole {
            line.add("completer", capabilities.completer.rawValue)
            line.add("tph_requester", capabilities.requester != nil)
        }
        if capabilities.bytes.count == 256 { line.add("config_size", 256) }
        let redirects = capabilities.redirects.short
        if !redirects.isEmpty { line.add("acs", redirects.joined(separator: ",")) }
        lines.append(line)
        addBARs(address, areRegisters: isEngine)
        for row in capabilities.rows {
            var line = Line("config")
            line.add("at", hexadecimal: UInt64(row.at))
            line.add("bytes", row.bytes.map { hexDigits($0, width: 2) }.joined())
            lines.append(line)
        }
        if let name = names.first { addNIC(name, function, capabilities) }
    }

    /// drivers/pci/pci-sysfs.c:resource_show; include/linux/ioport.h: what flags mean.
    private mutating func addBARs(_ address: PCIAddress, areRegisters: Bool) {
        for (index, text) in (line("resource", address) ?? "").split(separator: "\n").prefix(6).enumerated() {
            let words = text.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) }
            guard words.count == 3, words[1] > words[0], words[2] & 0x300 != 0 else { continue }
            let size = words[1] - words[0] &+ 1
            guard size != 0, size & (size - 1) == 0 else { continue }
            var line = Line("bar")
            line.add("index", index)
            line.add("size", size)
            if areRegisters { line.add("kind", "registers") }
            if words[2] & 0x100 != 0 { line.add("kind", "io") }
            if words[2] & 0x10_0000 != 0 { line.add("bits", 64) }
            if words[2] & 0x2000 != 0 { line.add("prefetchable", true) }
            lines.append(line)
        }
    }

    private mutating func addNIC(_ name: String, _ function: PCIFunction, _ capabilities: PCICapabilities) {
        let drivers = [
            "mlx5_core": "mlx5", "ice": "irdma", "i40e": "irdma", "idpf": "irdma", "bnxt_en": "bnxt_re", "efa": "efa",
            "ionic": "ionic", "mana": "mana",
        ]
        let isSoftware = isSoftware(name)
        guard let driver = isSoftware ? "rxe" : drivers[function.driver ?? ""] else { return }
        var line = Line("rdma")
        line.add("name", name)
        line.add("driver", driver)
        if !isSoftware, capabilities.isWhole {
            line.add("requester", (capabilities.requester?.support ?? .none).rawValue)
            // Of a bench's table the first entry is reserved, and 64 is the most.
            if let entries = capabilities.requester?.entries, entries > 1 {
                line.add("steering_table", min(entries, 64))
            }
        }
        lines.append(line)
    }
}
