import Devices
import Kernel
import LuaKit
import Runner
import SimKernel

/// A simulated bench, described by a Lua file; stdlib/README.md has the keys.
enum TopologyFile {
    /// Bytes of the longest bench name.
    static let longestName = 160

    /// Loads a bench by name or path; a name that begins with "lab-" itself describes a lab.
    static func load(_ name: String, _ library: Library) throws(ErrorValue) -> Topology {
        let path: String
        let value: LuaValue
        if name.contains("/") || name.hasSuffix(".lua") {
            path = name
            value = try BenchFile.table(of: path, library)
        } else if let found = library.stdlibFile("benches/\(name).lua") {
            path = found
            value = try library.table(of: path)
        } else if name.hasPrefix("lab-") {
            path = "sim:\(name)"
            do throws(ErrorValue) { value = try library.table(of: "benches.lab_machine", for: name) } catch {
                throw ErrorValue(kind: .usage, "no bench 'sim:\(name)': \(error.message)")
            }
        } else {
            throw ShippedBench.unknown(name, library)
        }
        guard case .table(let fields) = value else {
            throw ErrorValue(kind: .usage, "\(path): a bench returns a table")
        }
        do throws(ErrorValue) {
            return try topology(Fields(fields, at: ""))
        } catch {
            throw ErrorValue(kind: .usage, "\(path): \(error.message)")
        }
    }

    /// A bench from these fields.
    static func topology(_ fields: Fields) throws(ErrorValue) -> Topology {
        try fields.allow([
            "name", "kernel", "iommu", "devices", "ports", "host_bridges", "platform", "links", "files",
            "symlinks", "claimed", "rdma", "privileged", "denied", "hidden", "memlock",
        ])
        let kernel = try fields.table("kernel")
        try kernel.allow(["release", "tph", "tph_feature", "iommufd", "command_line"])
        let iommu = try fields.table("iommu")
        try iommu.allow(["aperture_bits", "forces_snooping", "translates", "cap", "ecap"])
        var bench = Topology(
            name: try label("name", fields, "unnamed"), release: try label("release", kernel, Topology.modelledRelease),
            tph: try kernel.choice("tph", TPHRevision.init(rawValue:), TPHRevision.allCases.map(\.rawValue)),
            tphFeature: UInt32(try number("tph_feature", kernel, 1...0xffff, 13)),
            apertureBits: Int(try number("aperture_bits", iommu, 33...64, 48)))
        bench.isPrivileged = try fields.boolean("privileged") ?? true
        bench.lockedMemory = try fields.size("memlock").map { UInt64($0.magnitude) }
        bench.hasIOMMUFD = try kernel.boolean("iommufd") ?? true
        if let line = try kernel.text("command_line") { bench.commandLine = line }
        bench.forcesSnooping = try iommu.boolean("forces_snooping") ?? true
        bench.iommuTranslates = try iommu.boolean("translates") ?? true
        bench.linkMode =
            try fields.choice("links", TLP.Mode.init(rawValue:), TLP.Mode.allCases.map(\.rawValue)) ?? .nonFlit
        if let capability = try iommu.integer("cap"), let extended = try iommu.integer("ecap") {
            // Registers are bit patterns; Lua's integers are signed, so they may be negative.
            bench.iommuRegisters = (UInt64(bitPattern: capability), UInt64(bitPattern: extended))
        }
        for device in try fields.list("devices") { try add(device, to: &bench) }
        for nic in try fields.list("rdma") { try addNIC(nic, on: nil, to: &bench) }
        try addFabric(fields, to: &bench)
        bench.files = try fields.texts("files")
        bench.links = try fields.texts("symlinks")
        bench.claimed = try fields.values("claimed", "paths") { if case .string(let path) = $0 { path } else { nil } }
        bench.denied = try fields.values("denied", "paths") { if case .string(let path) = $0 { path } else { nil } }
        bench.hidden = try fields.values("hidden", "paths") { if case .string(let path) = $0 { path } else { nil } }
        return bench
    }

    /// A number within a range; others are refused, not clamped.
    static func number(
        _ key: String, _ fields: Fields, _ range: ClosedRange<Int64>, _ fallback: Int64
    ) throws(ErrorValue) -> Int64 {
        let value = try fields.integer(key) ?? fallback
        guard range.contains(value) else {
            let place = fields.place.isEmpty ? key : "\(fields.place).\(key)"
            throw ErrorValue(
                kind: .usage, "'\(place)' must be \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
        return value
    }

    /// A word for a report's first line, without characters that could change that line's meaning.
    private static func label(_ key: String, _ fields: Fields, _ fallback: String) throws(ErrorValue) -> String {
        let text = try fields.text(key) ?? fallback
        guard (1...longestName).contains(text.utf8.count),
            text.utf8.allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0 & 0xdf) || "-_.+@~ ".utf8.contains($0)
            })
        else {
            throw ErrorValue(
                kind: .usage,
                "'\(key)' is 1 to \(longestName) letters, digits, blanks and any of -_.+@~, not '\(text.prefix(64))'"
            )
        }
        return text
    }

    /// A name that is valid as a directory entry.
    static func entry(_ key: String, _ fields: Fields, _ fallback: String) throws(ErrorValue) -> String {
        let name = try fields.text(key) ?? fallback
        guard !name.isEmpty, name.utf8.count < 64, !name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2f }),
            name != ".",
            name != ".."
        else { throw ErrorValue(kind: .usage, "\(fields.place).\(key) '\(name.prefix(64))' is no name") }
        return name
    }

    private static func add(_ fields: Fields, to bench: inout Topology) throws(ErrorValue) {
        try fields.allow([
            "address", "id", "class", "driver", "group", "bars", "completer", "tph_requester", "kind", "dma_mask",
            "rdma", "config", "config_size", "config_keeps_writes", "config_writable", "parent", "acs", "native_driver",
            "physical_function", "node",
        ])
        var device = try identified(fields, on: bench)
        if device.driver == "none" { device.driver = nil }
        if let native = try fields.text("native_driver") { device.nativeDriver = native }
        if let physical = try fields.text("physical_function") {
            device.physicalFunction = PCIAddress(physical)?.description
        }
        device.completer = try support("completer", fields)
        device.tphRequester = try fields.boolean("tph_requester") ?? false
        switch try fields.text("kind") ?? "memory" {
        case "memory": device.kind = .memory
        case "edu": device.kind = .edu(dmaMask: UInt64(bitPattern: try fields.integer("dma_mask") ?? 0xfff_ffff))
        case "nic": device.kind = .nic
        case let other: throw ErrorValue(kind: .usage, "\(fields.place).kind is memory, edu or nic, not '\(other)'")
        }
        try addConfiguration(fields, to: &device)
        try addBARs(fields, to: &device)
        device.parent = try fields.text("parent")
        if try fields.integer("node") != nil { device.node = Int(try number("node", fields, 0...1023, 0)) }
        device.acs = try acs(fields)
        bench.devices.append(device)
        let rdma = try fields.table("rdma")
        if !rdma.isEmpty { try addNIC(rdma, on: device.address, to: &bench) }
    }

    /// A device of its own: what it is, where, and whose.
    private static func identified(_ fields: Fields, on bench: Topology) throws(ErrorValue) -> Topology.Device {
        guard let text = try fields.text("address"), let address = PCIAddress(text)?.description,
            let (vendor, model) = try ids(fields)
        else {
            throw ErrorValue(
                kind: .usage, "\(fields.place) needs an address and an id, \"0000:01:00.0\", \"1af4:1110\"")
        }
        guard !bench.devices.contains(where: { $0.address == address }) else {
            throw ErrorValue(kind: .usage, "\(fields.place): there is another device at \(address)")
        }
        return Topology.Device(
            address: address, vendor: vendor, device: model,
            classCode: UInt32(try number("class", fields, 0...0xff_ffff, 0xff0000)),
            driver: try entry("driver", fields, "vfio-pci"),
            group: Int(try number("group", fields, 0...Int64(Int32.max), 0)))
    }

    /// "1af4:1110"; nil for anything else.
    static func ids(_ fields: Fields) throws(ErrorValue) -> (vendor: UInt16, device: UInt16)? {
        let ids = (try fields.text("id") ?? "").split(separator: ":").compactMap { UInt16($0, radix: 16) }
        return ids.count == 2 ? (ids[0], ids[1]) : nil
    }

    private static func addConfiguration(_ fields: Fields, to device: inout Topology.Device) throws(ErrorValue) {
        let configSize = try fields.integer("config_size") ?? 4096
        guard configSize == 256 || configSize == 4096 else {
            throw ErrorValue(kind: .usage, "\(fields.place).config_size is 256 or 4096, not \(configSize)")
        }
        device.configSize = Int(configSize)
        device.keepsConfigWrites = try fields.boolean("config_keeps_writes") ?? false
        for patch in try fields.list("config") { device.config.append(try self.patch(patch, device.configSize)) }
        for patch in try fields.list("config_writable") {
            device.writableConfig.append(try self.patch(patch, device.configSize))
        }
    }

    private static func addBARs(_ fields: Fields, to device: inout Topology.Device) throws(ErrorValue) {
        var taken: Set<Int> = []
        for fields in try fields.list("bars") {
            let bar = try self.bar(fields)
            for index in bar.index...(bar.is64Bit ? bar.index + 1 : bar.index) {
                guard index <= 5, taken.insert(index).inserted else {
                    throw ErrorValue(
                        kind: .usage,
                        "\(fields.place): BAR \(index) is \(index > 5 ? "past the last" : "taken already")")
                }
            }
            device.bars.append(bar)
        }
    }

    /// Bytes in hexadecimal, and their offset.
    private static func patch(_ fields: Fields, _ size: Int) throws(ErrorValue) -> (at: Int, bytes: [UInt8]) {
        try fields.allow(["at", "bytes"])
        let digits = Array((try fields.text("bytes") ?? "").filter { $0 != " " })
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(digits[$0...($0 + 1)]), radix: 16)
        }
        guard let at = try fields.integer("at"), at >= 0, at < size, 2 * bytes.count == digits.count,
            bytes.count <= size - Int(at)
        else {
            throw ErrorValue(
                kind: .usage, "\(fields.place) needs a place among the \(size) bytes there, and bytes, \"f41a 0011\"")
        }
        return (Int(at), bytes)
    }

    static func support(_ key: String, _ fields: Fields) throws(ErrorValue) -> TPHSupport {
        try fields.choice(key, TPHSupport.init(rawValue:), ["none", "tph", "extended"]) ?? .none
    }

    private static func bar(_ fields: Fields) throws(ErrorValue) -> Topology.BAR {
        try fields.allow(["index", "size", "kind", "bits", "prefetchable", "contents"])
        guard let index = try fields.integer("index"), (0...5).contains(index), let size = try fields.size("size"),
            size > 0, size & (size - 1) == 0 || size % (1 << 30) == 0, size <= 1 << 46
        else {
            // Not only powers of two: some drivers expose all of a device's memory, such as 96 GiB, as a BAR region.
            throw ErrorValue(
                kind: .usage,
                "\(fields.place) needs an index, 0 to 5, and a size, a power of two or whole GiB, of at most 64T")
        }
        let bits = try fields.integer("bits") ?? 32
        guard bits == 32 || bits == 64 else {
            throw ErrorValue(kind: .usage, "\(fields.place).bits is 32 or 64")
        }
        var bar = Topology.BAR(
            Int(index), size: UInt64(size),
            kind: try fields.choice("kind", Topology.BAR.Kind.init(rawValue:), ["memory", "io", "registers"])
                ?? .memory,
            is64Bit: bits == 64, prefetchable: try fields.boolean("prefetchable") ?? false)
        for patch in try fields.list("contents") { bar.contents.append(try self.patch(patch, Int(size))) }
        return bar
    }
}

/// A table of a bench file, with its position there for messages.
struct Fields {
    private let values: [String: LuaValue]
    let place: String

    init(_ values: [String: LuaValue], at place: String) {
        self.values = values
        self.place = place
    }

    var isEmpty: Bool { values.isEmpty }

    private func at(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

    func allow(_ keys: [String]) throws(ErrorValue) {
        for key in values.keys.sorted() where !keys.contains(key) {
            let near = nearest(to: key, in: keys).map { "; did you mean '\($0)'?" } ?? ""
            throw ErrorValue(kind: .usage, "unknown key '\(at(key))'\(near)")
        }
    }

    private func wrong(_ key: String, _ wanted: String) -> ErrorValue {
        ErrorValue(kind: .usage, "'\(at(key))' must be \(wanted), not a \(values[key]?.typeName ?? "nil")")
    }

    func text(_ key: String) throws(ErrorValue) -> String? {
        guard let value = values[key] else { return nil }
        guard case .string(let text) = value else { throw wrong(key, "a string") }
        return text
    }

    /// A table whose values are texts.
    func texts(_ key: String) throws(ErrorValue) -> [String: String] {
        let table = try table(key)
        var texts: [String: String] = [:]
        for name in table.values.keys { texts[name] = try table.text(name) }
        return texts
    }

    func integer(_ key: String) throws(ErrorValue) -> Int64? {
        guard let value = values[key] else { return nil }
        guard case .integer(let number) = value, number >= 0 || ["dma_mask", "cap", "ecap", "guid"].contains(key) else {
            throw wrong(key, "a number of 0 or more")
        }
        return number
    }

    func size(_ key: String) throws(ErrorValue) -> Int64? {
        if case .string(let text)? = values[key] {
            guard let size = parseSize(text) else {
                throw ErrorValue(
                    kind: .usage,
                    "'\(at(key))' must be a size, such as \"64K\", not '\(text.prefix(64))'\(nearSize(text))")
            }
            return size
        }
        return try integer(key)
    }

    func boolean(_ key: String) throws(ErrorValue) -> Bool? {
        guard let value = values[key] else { return nil }
        guard case .boolean(let flag) = value else { throw wrong(key, "true or false") }
        return flag
    }

    func choice<Value>(_ key: String, _ make: (String) -> Value?, _ names: [String]) throws(ErrorValue) -> Value? {
        guard let text = try text(key) else { return nil }
        if let value = make(text) { return value }
        throw ErrorValue(
            kind: .usage, "'\(at(key))' must be one of \(names.joined(separator: ", ")), not '\(text)'")
    }

    func table(_ key: String) throws(ErrorValue) -> Fields {
        guard let value = values[key] else { return Fields([:], at: at(key)) }
        guard case .table(let table) = value else { throw wrong(key, "a table") }
        return Fields(table, at: at(key))
    }

    /// A list of strings or of numbers; `type` names the element type in messages.
    func values<Value>(_ key: String, _ type: String, _ read: (LuaValue) -> Value?) throws(ErrorValue) -> [Value] {
        guard let value = values[key], value != .table([:]) else { return [] }
        guard case .list(let list) = value else { throw wrong(key, "a list of \(type)") }
        var result: [Value] = []
        for (index, element) in list.enumerated() {
            guard let value = read(element) else {
                throw ErrorValue(kind: .usage, "'\(at(key))[\(index + 1)]' is none of \(type)")
            }
            result.append(value)
        }
        return result
    }

    /// Most elements of a list (devices, ports, rows of configuration space): more than any machine has.
    static let longestList = 1024

    func list(_ key: String) throws(ErrorValue) -> [Fields] {
        guard let value = values[key], value != .table([:]) else { return [] }
        guard case .list(let list) = value else { throw wrong(key, "a list") }
        guard list.count <= Fields.longestList else {
            throw wrong(key, "a list of at most \(Fields.longestList), which has \(list.count)")
        }
        var tables: [Fields] = []
        for (index, element) in list.enumerated() {
            guard case .table(let table) = element else { throw wrong(key, "a list of tables") }
            tables.append(Fields(table, at: "\(at(key))[\(index + 1)]"))
        }
        return tables
    }
}
