/// Text of requests, as traces and errors show them: fields by name, in the kernel's words.
public struct Decoder {
    /// The features whose data can be decoded, by number. The TPH revision in use is added when it is known.
    public var features: [UInt32: Feature]

    /// Knows the released features.
    public init() {
        features = Dictionary(uniqueKeysWithValues: Feature.released.map { ($0.number, $0) })
    }

    /// "{argsz=32, index=2}" for what goes in, or for what came out.
    func text(_ layout: Layout, _ bytes: UnsafeRawBufferPointer, _ direction: Field.Direction) -> String {
        "{" + members(layout, bytes, direction).joined(separator: ", ") + "}"
    }

    private func members(_ layout: Layout, _ bytes: UnsafeRawBufferPointer, _ direction: Field.Direction) -> [String] {
        var parts = layout.fields.filter { $0.direction == direction || $0.direction == .both }.map {
            "\($0.name)=" + ($0.value(in: bytes).map($0.format.text) ?? "?")
        }
        func value(_ name: String) -> UInt64? { layout.fields.first { $0.name == name }?.value(in: bytes) }
        for trailing in layout.trailing where trailing.fields.contains(where: { $0.direction == direction }) {
            if let (field, bit) = trailing.onlyWith, value(field).map({ $0 & UInt64(bit) == 0 }) ?? true { continue }
            guard let count = value(trailing.countField) else { continue }
            parts.append(elements(trailing, count: count, bytes, from: layout.size, direction))
        }
        return parts
    }

    private func elements(
        _ trailing: Layout.Trailing, count: UInt64, _ bytes: UnsafeRawBufferPointer, from start: Int,
        _ direction: Field.Direction
    ) -> String {
        let shown = min(count, 8)
        var parts: [String] = []
        for index in 0..<Int(shown) {
            let place = start + index * trailing.elementSize
            guard place + trailing.elementSize <= bytes.count else { break }
            let element = UnsafeRawBufferPointer(rebasing: bytes[place..<(place + trailing.elementSize)])
            parts.append(text(Layout(size: trailing.elementSize, trailing.fields), element, direction))
        }
        if UInt64(parts.count) < count { parts.append("...") }
        return "[" + parts.joined(separator: ", ") + "]"
    }

    /// The whole argument of `request` going in.
    public func input(_ request: Request, _ argument: IoctlArgument) -> String {
        switch (request.argument, argument) {
        case (.value(let format), .value(let value)): return format.text(UInt64(value))
        case (.structure(let layout), .memory(let bytes)): return text(layout, UnsafeRawBufferPointer(bytes), .input)
        case (.feature, .memory(let bytes)): return feature(UnsafeRawBufferPointer(bytes))
        case (.string, .memory(let bytes)): return "\"" + string(UnsafeRawBufferPointer(bytes)) + "\""
        default: return Decoder.raw(argument)
        }
    }

    /// What the kernel wrote back; nil where it writes nothing.
    public func output(_ request: Request, _ argument: IoctlArgument) -> String? {
        guard case .structure(let layout) = request.argument, case .memory(let bytes) = argument,
            layout.fields.contains(where: { $0.direction != .input })
        else { return nil }
        return text(layout, UnsafeRawBufferPointer(bytes), .output)
    }

    /// What errors call a request: its name, and what of a feature it asks for.
    public func operation(_ request: Request, _ argument: IoctlArgument) -> String {
        guard case .feature = request.argument, case .memory(let bytes) = argument else { return request.name }
        return request.name + " " + featureName(UnsafeRawBufferPointer(bytes))
    }

    /// Name and operation of a VFIO_DEVICE_FEATURE argument: "DMA_BUF GET".
    public func featureName(_ bytes: UnsafeRawBufferPointer) -> String {
        guard bytes.count >= 8 else { return "?" }
        let flags = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let name = features[flags & 0xffff]?.name ?? "FEATURE_\(flags & 0xffff)"
        return name + " " + Feature.operations.text(UInt64(flags & ~0xffff))
    }

    private func feature(_ bytes: UnsafeRawBufferPointer) -> String {
        guard bytes.count >= 8 else { return Decoder.hexBytes(bytes) }
        let argsz = bytes.loadUnaligned(as: UInt32.self)
        let flags = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let operation = featureName(bytes).replacing(" ", with: "|")
        let data = UnsafeRawBufferPointer(rebasing: bytes[8...])
        var parts = ["argsz=\(argsz)", "flags=\(operation)"]
        if let layout = features[flags & 0xffff]?.layout, data.count >= layout.size {
            parts += members(layout, data, .input)
        } else if !data.isEmpty {
            parts.append("data=" + Decoder.hexBytes(data))
        }
        return "{" + parts.joined(separator: ", ") + "}"
    }

    private func string(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    static func raw(_ argument: IoctlArgument) -> String {
        switch argument {
        case .none: return "0"
        case .value(let value): return hex(value)
        case .memory(let bytes): return hexBytes(UnsafeRawBufferPointer(bytes))
        }
    }

    /// Text as a C string.
    static func quoted(_ bytes: some Collection<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self).debugDescription
    }

    /// At most 64 bytes as hex pairs.
    static func hexBytes(_ bytes: some Collection<UInt8>) -> String {
        let text = bytes.prefix(64).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
        return "<" + text + (bytes.count > 64 ? " ..." : "") + ">"
    }
}

extension String {
    fileprivate func replacing(_ character: Character, with other: Character) -> String {
        String(map { $0 == character ? other : $0 })
    }
}
