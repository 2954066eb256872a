import Kernel

/// What a record calls things: "device1", "ioas2", "map1+0x1000", "mr1.lkey". Numbers that only mean something in the
/// process that made them become names, and stand for other numbers where the record is replayed.
struct Symbols {
    private var counts: [String: Int] = [:]
    /// What names stand for.
    private var values: [String: UInt64] = [:]
    private var gidBytes: [String: [UInt8]] = [:]
    /// During a replay: names that the recorded operation defined. Results of the replayed operation get them.
    private var wanted: [String] = []
    private var descriptors: [Int32: String] = [:]
    private var handles: [UInt64: String] = [:]
    private var memory: [Extent] = []
    private var spaces: [Extent] = []
    /// Keys of memory regions by member, "lkey" or "rkey": a device may give one number for both.
    private var keys: [String: [UInt64: String]] = [:]
    private var queueNumbers: [UInt64: String] = [:]
    private var gids: [[UInt8]: String] = [:]
    /// Ids by the iommufd that gave them.
    private var identities: [String: [UInt64: String]] = [:]
    /// A device's iommufd.
    private var iommufds: [String: String] = [:]

    private struct Extent {
        let start: UInt64
        let length: UInt64
        let name: String
        /// True after munmap; a later mapping may have the same address.
        var isGone = false
    }

    private mutating func new(_ prefix: String, for value: UInt64) -> String {
        let name: String
        if let index = wanted.firstIndex(where: {
            $0.hasPrefix(prefix) && $0.dropFirst(prefix.count).allSatisfy(\.isNumber)
        }) {
            name = wanted.remove(at: index)
        } else {
            counts[prefix, default: 0] += 1
            name = prefix + String(counts[prefix, default: 0])
        }
        values[name] = value
        return name
    }

    /// What a name stands for; nil where nothing has been called so.
    func value(of name: String) -> UInt64? { values[name] }
    /// What it stood for is gone.
    mutating func forget(_ name: String) { values[name] = nil }
    /// The GID that a name stands for.
    func bytes(of name: String) -> [UInt8]? { gidBytes[name] }

    /// Announces the recorded form of the next replayed operation, whose results get its names.
    mutating func expect(_ recorded: Operation) {
        wanted = []
        collect(recorded.result)
        for member in recorded.outputs { collect(member.value) }
        // Objects that the record does not name get numbers above the recorded ones.
        for name in wanted {
            let prefix = String(name.prefix { !$0.isNumber })
            if let number = UInt32(name.dropFirst(prefix.count)) {
                counts[prefix] = max(counts[prefix] ?? 0, Int(number))
            }
        }
    }

    private mutating func collect(_ value: Operation.Value) {
        switch value {
        case .symbol(let name, 0) where values[name] == nil: wanted.append(name)
        case .structure(let members): for member in members { collect(member.value) }
        case .list(let list): for value in list { collect(value) }
        default: break
        }
    }

    private func locate(_ value: UInt64, in extents: [Extent]) -> Operation.Value? {
        guard value != 0 else { return nil }
        // The latest of overlapping ranges wins. The address just past a range's end counts as inside, as "base + length" gives it.
        let inside = extents.last { value >= $0.start && value - $0.start < $0.length }
        guard let found = inside ?? extents.last(where: { value == $0.start &+ $0.length }) else { return nil }
        return .symbol(found.name, value - found.start)
    }

    /// The operation with names for numbers; what it made gets new ones.
    mutating func named(_ operation: Operation) -> Operation {
        var result = operation
        let space = space(of: operation)
        for (index, parameter) in operation.signature.parameters.enumerated() where index < result.arguments.count {
            if !parameter.isOutput {
                result.arguments[index] = named(result.arguments[index], space, member: parameter.name)
            }
        }
        if operation.errno == nil { result.result = define(operation, result) }
        result.outputs = operation.outputs.map { member in
            .init(member.name, output(member, operation, result))
        }
        if operation.errno == nil { note(operation, result) }
        return result
    }

    // MARK: What goes in

    /// What names of descriptors begin with, before a number, for each kind of file that answers requests of its own.
    private static let files: [(kind: FileKind, prefix: String)] = [
        (.container, "container"), (.group, "group"), (.device, "device"), (.iommufd, "iommufd"),
        (.importer, "importer"), (.udmabuf, "udmabuf"), (.heap, "heap"), (.dmabuf, "dmabuf"),
    ]

    private static let descriptors = Set(files.map(\.prefix) + ["file", "memfd", "eventfd"])

    /// The kind of file that a name of a descriptor stands for.
    static func file(of name: String) -> FileKind {
        let prefix = kind(of: name)
        return files.first { $0.prefix == prefix }?.kind ?? .other
    }

    /// What a name begins with, before its number: "mr"; empty of a part of an object, "mr1.lkey".
    static func kind(of name: String) -> String {
        let kind = name.prefix { !$0.isNumber }
        return name.dropFirst(kind.count).allSatisfy(\.isNumber) ? String(kind) : ""
    }

    /// Whether it is a name of a descriptor.
    static func isDescriptor(_ name: String) -> Bool { descriptors.contains(kind(of: name)) }

    /// Whether it is the name of an object of libibverbs.
    static func isObject(_ name: String) -> Bool { objects.contains(kind(of: name)) }

    private static let objects = Set(
        Verbs.all.compactMap { verb -> String? in
            if case .handle(let kind) = verb.signature.result { kind } else { nil }
        })

    /// Whether what is written so may be called so where it comes out. Parts of objects ("mr1.lkey", "context1.gid0") are numbers
    /// and GIDs, whichever they are.
    static func isResult(_ name: String, _ offset: UInt64, _ format: Format) -> Bool {
        let kind = kind(of: name)
        switch format {
        case .descriptor: return offset == 0 && descriptors.contains(kind)
        case .handle(let made): return offset == 0 && kind == (made == "device" ? "ibdev" : made)
        case .pointer: return kind == "map"
        case .identity: return offset == 0 && ["ioas", "dev", "hwpt", "id"].contains(kind)
        case .iova: return kind == "iova"
        case .busAddress: return kind == "bus"
        default: return offset == 0 && name.contains(".")
        }
    }

    /// What names begin with, before a number.
    private static let kinds: Set<String> = {
        var kinds = descriptors.union(["ibdev", "map", "bus", "iova", "ioas", "dev", "hwpt", "id"])
        for signature in Signature.all.values {
            for format in [signature.result] + signature.parameters.map(\.format) + signature.outputs.map(\.format) {
                if case .handle(let kind) = format { kinds.insert(kind) }
            }
        }
        return kinds
    }()

    /// Whether a record may call something so: "mr1", "mr1.lkey", "context1.gid0".
    static func isName(_ text: some StringProtocol) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 64, let first = parts.first, parts.count <= 2 else { return false }
        let number = first.utf8.drop { !(0x30...0x39).contains($0) }
        let kind = first.utf8.prefix(first.utf8.count - number.count)
        guard kinds.contains(String(decoding: kind, as: UTF8.self)), !number.isEmpty,
            number.allSatisfy({ (0x30...0x39).contains($0) })
        else { return false }
        return parts.count == 1 || CText.isName(parts[1])
    }

    private func named(_ value: Operation.Value, _ space: String?, member: String = "") -> Operation.Value {
        switch value {
        case .number(let number, let format): name(of: number, format, space, member) ?? value
        case .structure(let members):
            .structure(members.map { .init($0.name, named($0.value, space, member: $0.name)) })
        case .list(let values): .list(values.map { named($0, space, member: member) })
        case .pointer(_, let address): locate(address, in: memory.filter { !$0.isGone }) ?? value
        case .bytes(let bytes) where member == "dgid": gids[bytes].map { .symbol($0, 0) } ?? value
        default: value
        }
    }

    private func name(
        of value: UInt64, _ format: Format, _ space: String?, _ member: String
    ) -> Operation.Value? {
        switch format {
        case .descriptor: descriptors[Int32(truncatingIfNeeded: value)].map { .symbol($0, 0) }
        case .handle: handles[value].map { .symbol($0, 0) }
        case .pointer: locate(value, in: memory)
        case .iova: locate(value, in: spaces)
        case .key:
            (keys[member]?[value] ?? keys.values.lazy.compactMap { $0[value] }.first).map { .symbol($0, 0) }
                ?? boundKey(value)
        case .queueNumber: queueNumbers[value].map { .symbol($0, 0) }
        case .identity: space.flatMap { identities[$0]?[value] }.map { .symbol($0, 0) }
        default: nil
        }
    }

    /// A key that a window was bound with: another lowest byte behind the window's own index.
    private func boundKey(_ value: UInt64) -> Operation.Value? {
        let first = (keys["rkey"] ?? [:]).filter { $0.key >> 8 == value >> 8 && $0.key < value }.max { $0.key < $1.key }
        guard let first, Symbols.isPart(first.value, of: "mw") else { return nil }
        return .symbol(first.value, value - first.key)
    }

    private static func isPart(_ name: String, of kind: String) -> Bool {
        kind == Symbols.kind(of: String(name.prefix { $0 != "." }))
    }

    private func descriptor(_ operation: Operation) -> String? {
        guard case .number(let value, .descriptor)? = operation.arguments.first else { return nil }
        return descriptors[Int32(truncatingIfNeeded: value)]
    }

    /// The name of the iommufd whose object ids the operation uses: the descriptor itself, the one its device is bound to, or the
    /// member "iommufd" of VFIO_DEVICE_BIND_IOMMUFD.
    private func space(of operation: Operation) -> String? {
        if case .structure(let members)? = operation.arguments.last,
            case .number(let value, _)? = members.first(where: { $0.name == "iommufd" })?.value
        {
            return descriptors[Int32(truncatingIfNeeded: value)]
        }
        return descriptor(operation).map { iommufds[$0] ?? $0 }
    }

    // MARK: What comes out

    private mutating func define(_ operation: Operation, _ named: Operation) -> Operation.Value {
        guard case .number(let value, let format) = operation.result else { return operation.result }
        switch format {
        case .descriptor:
            let name = new(Symbols.prefix(of: operation), for: value)
            descriptors[Int32(truncatingIfNeeded: value)] = name
            return .symbol(name, 0)
        case .handle(let kind):
            let name = new(kind == "device" ? "ibdev" : kind, for: value)
            handles[value] = name
            return .symbol(name, 0)
        case .pointer where operation.signature.name == "mmap":
            guard case .number(let length, _)? = operation.arguments.first else { return operation.result }
            let name = new("map", for: value)
            memory.append(Extent(start: value, length: length, name: name))
            return .symbol(name, 0)
        default: return operation.result
        }
    }

    /// What the names of descriptors begin with that the operation gives as its result.
    static func prefix(of operation: Operation) -> String {
        switch operation.signature.name {
        case "open":
            guard case .text(let path)? = operation.arguments.first else { return "file" }
            let kind = FileKind(opening: path)
            return files.first { $0.kind == kind }?.prefix ?? "file"
        case "memfd_create": return "memfd"
        case "eventfd": return "eventfd"
        default:
            switch operation.request?.result {
            case .descriptor(let kind): return files.first { $0.kind == kind }?.prefix ?? "file"
            case .feature: return "dmabuf"
            default: return "file"
            }
        }
    }

    private mutating func output(
        _ member: Operation.Member, _ operation: Operation, _ named: Operation
    ) -> Operation.Value {
        switch member.value {
        case .pointer: return self.named(member.value, nil)
        case .number(let value, let format): return output(member.name, value, format, operation, named) ?? member.value
        case .list(let values):
            return .list(
                values.enumerated().map { index, value in
                    guard case .structure(let members) = value else { return value }
                    return .structure(members.map { element($0, index, operation, named) })
                })
        default: return member.value
        }
    }

    private mutating func element(
        _ member: Operation.Member, _ index: Int, _ operation: Operation, _ named: Operation
    ) -> Operation.Member {
        switch member.value {
        case .number(let value, .handle("device")):
            let name = handles[value] ?? new("ibdev", for: value)
            handles[value] = name
            return .init(member.name, .symbol(name, 0))
        case .number(let value, .busAddress): return .init(member.name, .symbol(new("bus", for: value), 0))
        case .bytes(let bytes) where member.name == "gid":
            guard case .symbol(let context, _)? = named.arguments.first else { return member }
            let name = gids[bytes] ?? "\(context).gid\(index)"
            gids[bytes] = name
            gidBytes[name] = bytes
            return .init(member.name, .symbol(name, 0))
        default: return .init(member.name, self.named(member.value, nil))
        }
    }

    private mutating func output(
        _ member: String, _ value: UInt64, _ format: Format, _ operation: Operation, _ named: Operation
    ) -> Operation.Value? {
        let space = space(of: operation)
        switch format {
        case .descriptor:
            let name = new(operation.request?.file == .heap ? "dmabuf" : "file", for: value)
            descriptors[Int32(truncatingIfNeeded: value)] = name
            return .symbol(name, 0)
        case .identity:
            guard value != 0, let space else { return nil }
            if let known = identities[space]?[value], !member.hasPrefix("out_") { return .symbol(known, 0) }
            let name = new(prefix(ofIdentity: member), for: value)
            identities[space, default: [:]][value] = name
            return .symbol(name, 0)
        case .iova:
            guard let length = Symbols.extent(of: operation) else { return nil }
            let name = new("iova", for: value)
            spaces.append(Extent(start: value, length: length, name: name))
            return .symbol(name, 0)
        case .key:
            guard case .symbol(let region, _) = named.result else { return nil }
            keys[member, default: [:]][value] = "\(region).\(member)"
            values["\(region).\(member)"] = value
            return .symbol("\(region).\(member)", 0)
        case .queueNumber:
            if case .symbol(let pair, _) = named.result {
                queueNumbers[value] = "\(pair).\(member)"
                values["\(pair).\(member)"] = value
            }
            return queueNumbers[value].map { .symbol($0, 0) }
        default: return name(of: value, format, space, member)
        }
    }

    private func prefix(ofIdentity member: String) -> String {
        switch member {
        case "out_ioas_id", "ioas_id": "ioas"
        case "out_devid": "dev"
        case "out_hwpt_id", "pt_id": "hwpt"
        default: "id"
        }
    }

    /// Bytes of an IOMMU mapping whose IOVA the kernel chose (IOMMU_IOAS_MAP_FIXED_IOVA, bit 0, is clear); nil for a fixed IOVA.
    static func extent(of operation: Operation) -> UInt64? {
        guard case .structure(let members)? = operation.arguments.last,
            case .number(let flags, _)? = members.first(where: { $0.name == "flags" })?.value, flags & 1 == 0,
            case .number(let length, _)? = members.first(where: { $0.name == "length" })?.value
        else { return nil }
        return length
    }

    /// Updates what later operations need: unmapped ranges, and which iommufd a device is bound to.
    private mutating func note(_ operation: Operation, _ named: Operation) {
        if operation.signature.name == "munmap", case .number(let start, _)? = operation.arguments.first,
            case .number(let length, _)? = operation.arguments.last
        {
            for index in memory.indices
            where memory[index].start >= start && memory[index].start &+ memory[index].length <= start &+ length {
                memory[index].isGone = true
            }
        }
        if operation.request?.name == "VFIO_DEVICE_BIND_IOMMUFD", let device = descriptor(operation) {
            iommufds[device] = space(of: operation)
        }
    }
}
