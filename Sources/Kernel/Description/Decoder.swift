import CKernel

/// Converts requests to named members and back. Traces, errors and records show the kernel's names, and raw bytes only
/// where there are no names.
public struct Decoder: Sendable {
    /// Features whose data can be decoded, each with a number of its own. The TPH revision in use is added once it is known.
    private var features = Feature.released

    /// With the features of released kernels.
    public init() {}

    /// Adds a feature, or replaces that of its number.
    public mutating func add(_ feature: Feature) {
        features.removeAll { $0.number == feature.number }
        features.append(feature)
    }

    private func feature(_ number: UInt32) -> Feature? { features.first { $0.number == number } }

    /// The layout of an argument; nil for an unknown structure.
    public func layout(_ request: Request, _ bytes: UnsafeRawBufferPointer) -> Layout? {
        switch request.argument {
        case .structure(let layout): return layout
        case .feature:
            guard bytes.count >= 8 else { return nil }
            return layout(ofFeature: UInt32(bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self)), bytes.count)
        default: return nil
        }
    }

    /// The layout of a vfio_device_feature with that number and `count` bytes.
    public func layout(ofFeature number: UInt32, _ count: Int) -> Layout {
        let names = Format.names(features.map { .init(Int($0.number), $0.name) })
        var fields = [
            Field("argsz", offset: 0, size: 4, .input, .decimal), Field("feature", offset: 4, size: 2, .input, names),
            Field("operation", offset: 6, size: 2, .input, Feature.operations),
        ]
        let feature = feature(number)
        let name = "vfio_device_feature" + (feature.map { "_" + $0.name.lowercased() } ?? "")
        guard let data = feature?.layout, count - 8 >= data.size else {
            return Layout("vfio_device_feature", size: 8, fields)
        }
        fields += data.fields.map {
            Field($0.name, offset: $0.offset + 8, size: $0.size, signed: $0.signed, $0.direction, $0.format)
        }
        return Layout(name, size: data.size + 8, fields, trailing: data.trailing)
    }

    /// The input members, or the output members.
    public func members(
        _ layout: Layout, _ bytes: UnsafeRawBufferPointer, _ direction: Field.Direction
    ) -> [Operation.Member] {
        var members = layout.fields.filter { $0.direction == direction || $0.direction == .both }.compactMap { field in
            field.value(in: bytes).map { Operation.Member(field.name, .number($0, field.format)) }
        }
        for trailing in layout.trailing where trailing.fields.contains(where: { $0.direction == direction }) {
            if let list = elements(layout, trailing, bytes, direction), !list.isEmpty {
                members.append(.init(trailing.name, .list(list)))
            }
        }
        return members
    }

    private func elements(
        _ layout: Layout, _ trailing: Layout.Trailing, _ bytes: UnsafeRawBufferPointer, _ direction: Field.Direction
    ) -> [Operation.Value]? {
        if let (field, bit) = trailing.onlyWith,
            layout.value(of: field, in: bytes).map({ $0 & UInt64(bit) == 0 }) ?? true
        {
            return nil
        }
        guard let count = layout.value(of: trailing.countField, in: bytes) else { return nil }
        let room = UInt64(max(0, bytes.count - layout.size) / trailing.elementSize)
        let element = Layout(size: trailing.elementSize, trailing.fields)
        return (0..<Int(min(count, room))).map { index in
            let offset = layout.size + index * trailing.elementSize
            let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + trailing.elementSize)])
            return .structure(members(element, part, direction))
        }
    }

    /// An argument before the call. With `reading`, addresses in it are replaced by the bytes they point to.
    public func argument(_ request: Request?, _ argument: IoctlArgument, reading: Bool = false) -> Operation.Value {
        switch (request?.argument, argument) {
        case (_, .none): return .number(0, .decimal)
        case (.value(let format)?, .value(let value)): return .number(UInt64(value), format)
        case (_, .value(let value)): return .number(UInt64(value), .hexadecimal)
        case (.string?, .memory(let bytes)) where bytes.firstIndex(of: 0) == bytes.count - 1:
            return .text(String(decoding: bytes.dropLast(), as: UTF8.self))
        case (_, .memory(let bytes)):
            let bytes = UnsafeRawBufferPointer(bytes)
            guard let request, let layout = layout(request, bytes) else { return .bytes(Array(bytes)) }
            var all = members(layout, bytes, .input) + rest(request, layout, bytes)
            if reading { read(layout, bytes, into: &all) }
            return .structure(all)
        }
    }

    /// Reads the memory that members point to.
    private func read(_ layout: Layout, _ bytes: UnsafeRawBufferPointer, into members: inout [Operation.Member]) {
        for pointed in layout.pointed {
            guard let index = members.firstIndex(where: { $0.name == pointed.field }),
                let data = data(pointed, layout, bytes, count: pointed.count(layout, bytes))
            else { continue }
            members[index].value = .pointer(data, layout.value(of: pointed.field, in: bytes) ?? 0)
        }
    }

    private func data(
        _ pointed: Layout.Pointed, _ layout: Layout, _ bytes: UnsafeRawBufferPointer, count: UInt64?
    ) -> [UInt8]? {
        guard let address = layout.value(of: pointed.field, in: bytes), address != 0, let count,
            count > 0, count <= UInt64(1 << 20 / pointed.elementSize)
        else { return nil }
        var data = [UInt8](repeating: 0, count: Int(count) * pointed.elementSize)
        let result = data.withUnsafeMutableBytes { buffer in
            buffer.baseAddress.map { sys_copy_from_address($0, address, buffer.count) } ?? 0
        }
        return result < 0 ? nil : data
    }

    /// Members for bytes that the named members do not explain ("at8=<01>"), and the length where it is not implied.
    private func rest(
        _ request: Request, _ layout: Layout, _ bytes: UnsafeRawBufferPointer
    ) -> [Operation.Member] {
        let said = encode(members(layout, bytes, .input), layout, count: bytes.count)
        var result = Decoder.differences(said, Array(bytes), except: [])
        var whole = layout.size
        if case .feature = request.argument, let number = layout.value(of: "feature", in: bytes) {
            whole = self.layout(ofFeature: UInt32(number), .max).size
        }
        if bytes.count != whole + trailingSize(layout, bytes) {
            result.append(.init("bytes", .number(UInt64(bytes.count), .decimal)))
        }
        return result
    }

    private func trailingSize(_ layout: Layout, _ bytes: UnsafeRawBufferPointer) -> Int {
        layout.trailing.map { (elements(layout, $0, bytes, $0.fields[0].direction)?.count ?? 0) * $0.elementSize }
            .reduce(0, +)
    }

    /// Runs of bytes where `new` differs from `old`, outside the ranges in `known`.
    static func differences(_ old: [UInt8], _ new: [UInt8], except known: [Range<Int>]) -> [Operation.Member] {
        var result: [Operation.Member] = []
        var offset = 0
        func differs(_ index: Int) -> Bool { old[index] != new[index] && !known.contains { $0.contains(index) } }
        while offset < new.count {
            guard differs(offset) else {
                offset += 1
                continue
            }
            var end = offset + 1
            while end < new.count, differs(end) { end += 1 }
            result.append(.init("at\(offset)", .bytes(Array(new[offset..<end]))))
            offset = end
        }
        return result
    }

    /// The kernel's output; `before` is the argument before the call. For a failed call, only members that it changed.
    public func outputs(
        _ request: Request, before: [UInt8], _ after: UnsafeRawBufferPointer, changedOnly: Bool, reading: Bool = false
    ) -> [Operation.Member] {
        guard let layout = layout(request, after) else { return [] }
        var known: [Range<Int>] = []
        for field in layout.fields where field.direction != .input {
            known.append(field.offset..<(field.offset + field.size))
        }
        var trailingEnd = layout.size
        for trailing in layout.trailing where trailing.fields.contains(where: { $0.direction == .output }) {
            trailingEnd += (elements(layout, trailing, after, .output)?.count ?? 0) * trailing.elementSize
        }
        if trailingEnd > layout.size { known.append(layout.size..<trailingEnd) }
        var found = members(layout, after, .output)
        if changedOnly {
            let old = before.withUnsafeBytes { members(layout, $0, .output) }
            found = zip(found, old).filter { !Decoder.isSame($0.value, $1.value) }.map(\.0)
        }
        for pointed in layout.pointed where pointed.isOutput && reading {
            // At most as much as the caller provided memory for.
            let room = before.withUnsafeBytes { pointed.count(layout, $0) } ?? 0
            let count = pointed.count(layout, after).map { min($0, room) }
            if let data = data(pointed, layout, after, count: count), !changedOnly {
                let address = layout.value(of: pointed.field, in: after) ?? 0
                found.append(.init(pointed.field, .pointer(data, address)))
            }
        }
        return found + Decoder.differences(before, Array(after), except: known)
    }

    private static func isSame(_ one: Operation.Value, _ other: Operation.Value) -> Bool {
        switch (one, other) {
        case (.number(let first, _), .number(let second, _)): first == second
        case (.list(let first), .list(let second)): first.count == second.count
        default: false
        }
    }

    /// The name of a request in errors, with the feature and its operation.
    public func operation(_ request: Request, _ argument: IoctlArgument) -> String {
        guard case .feature = request.argument, case .memory(let bytes) = argument else { return request.name }
        return request.name + " " + featureName(UnsafeRawBufferPointer(bytes))
    }

    /// Name and operation of a VFIO_DEVICE_FEATURE argument: "DMA_BUF GET".
    public func featureName(_ bytes: UnsafeRawBufferPointer) -> String {
        guard bytes.count >= 8 else { return "?" }
        let flags = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let name = feature(flags & 0xffff)?.name ?? "FEATURE_\(flags & 0xffff)"
        return name + " " + Feature.operations.text(UInt64(flags >> 16))
    }

    /// The whole argument before the call, for errors.
    public func input(_ request: Request, _ argument: IoctlArgument) -> String {
        Operation(.ioctl, []).text(self.argument(request, argument), PlainNames())
    }
}

/// Numbers without names; long lists and data are cut.
struct PlainNames: OperationNames {
    var limits: (bytes: Int, elements: Int) { (64, 8) }
    func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String? { nil }
}

/// From members to bytes.
extension Decoder {
    /// The bytes for members; "atN" sets bytes at offset N. Members that the layout lacks are ignored.
    public func encode(_ members: [Operation.Member], _ layout: Layout, count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        result.withUnsafeMutableBytes { bytes in
            for member in members {
                switch member.value {
                case .number(let value, _):
                    layout.fields.first { $0.name == member.name }?.store(value, in: bytes)
                case .list(let elements):
                    if let trailing = layout.trailing.first(where: { $0.name == member.name && fits($0, elements) }) {
                        encode(elements, trailing, from: layout.size, bytes)
                    }
                case .bytes(let data):
                    guard member.name.hasPrefix("at"), let offset = Int(member.name.dropFirst(2)), offset >= 0,
                        offset <= bytes.count
                    else { continue }
                    for (index, byte) in data.enumerated() where offset + index < bytes.count {
                        bytes[offset + index] = byte
                    }
                default: continue
                }
            }
        }
        return result
    }

    private func fits(_ trailing: Layout.Trailing, _ elements: [Operation.Value]) -> Bool {
        guard case .structure(let members)? = elements.first else { return true }
        return members.allSatisfy { member in trailing.fields.contains { $0.name == member.name } }
    }

    private func encode(
        _ elements: [Operation.Value], _ trailing: Layout.Trailing, from start: Int,
        _ bytes: UnsafeMutableRawBufferPointer
    ) {
        let layout = Layout(size: trailing.elementSize, trailing.fields)
        for (index, element) in elements.enumerated() {
            let offset = start + index * trailing.elementSize
            guard case .structure(let members) = element, offset + trailing.elementSize <= bytes.count else { return }
            bytes[offset..<(offset + trailing.elementSize)].copyBytes(
                from: encode(members, layout, count: trailing.elementSize))
        }
    }
}

extension Layout.Pointed {
    func count(_ layout: Layout, _ bytes: UnsafeRawBufferPointer) -> UInt64? {
        countField.map { layout.value(of: $0, in: bytes) } ?? 1
    }
}

extension Layout {
    /// The value of a member; nil where there is none, or the bytes end before it.
    public func value(of field: String, in bytes: UnsafeRawBufferPointer) -> UInt64? {
        fields.first { $0.name == field }?.value(in: bytes)
    }
}
