import CKernel
import Kernel

/// C structures from layouts.
enum CStructure {
    /// An array behind a structure's fixed part.
    struct Array {
        let name: String
        let trailing: Layout.Trailing
        let elements: [Operation.Value]

        /// "struct { uint64_t offset; uint64_t length; } dma_ranges[2]"
        var declaration: String {
            let layout = Layout(size: trailing.elementSize, trailing.fields)
            return "struct { \(CStructure.members(layout).joined(separator: " ")) } __attribute__((packed)) "
                + "\(name)[\(elements.count)]"
        }

        /// The same of a structure that has a name: "struct vfio_region_dma_range dma_ranges[2]".
        func declaration(_ type: String) -> String { "struct \(type) \(name)[\(elements.count)]" }
    }

    static func type(_ field: Field) -> String {
        (field.format.isSigned && field.size == 4 ? "int" : "uint") + "\(field.size * 8)_t"
    }

    /// Members in order, with gaps as bytes.
    static func members(_ layout: Layout) -> [String] {
        var result: [String] = []
        var offset = 0
        for field in layout.fields.sorted(by: { $0.offset < $1.offset }) where field.offset >= offset {
            if field.offset > offset { result.append("uint8_t gap_\(offset)[\(field.offset - offset)];") }
            result.append("\(type(field)) \(CText.member(field.name));")
            offset = field.offset + field.size
        }
        if layout.size > offset { result.append("uint8_t gap_\(offset)[\(layout.size - offset)];") }
        return result
    }

    /// A feature's layout without the header before it.
    static func data(_ layout: Layout) -> Layout {
        let fields = layout.fields.filter { $0.offset >= headerSize }.map {
            Field($0.name, offset: $0.offset - headerSize, size: $0.size, $0.direction, $0.format)
        }
        return Layout(layout.name, size: layout.size - headerSize, fields, trailing: layout.trailing)
    }

    /// Bytes of struct vfio_device_feature.
    static let headerSize = 8

    static func arrays(_ layout: Layout, _ members: [Operation.Member]) -> [Array] {
        members.compactMap { member in
            guard case .list(let elements) = member.value, !elements.isEmpty else { return nil }
            let trailing = layout.trailing.first { trailing in
                guard trailing.name == member.name, case .structure(let first) = elements[0] else { return false }
                return first.allSatisfy { one in trailing.fields.contains { $0.name == one.name } }
            }
            return trailing.map { Array(name: member.name, trailing: $0, elements: elements) }
        }
    }

    /// Bytes of the recorded argument (member "bytes"); nil where the layout implies them.
    static func said(_ members: [Operation.Member]) -> Int? {
        guard case .number(let size, _)? = members.first(where: { $0.name == "bytes" })?.value else { return nil }
        return Int(min(size, 1 << 20))
    }

    static func said(_ operation: Operation) -> Int? {
        guard case .structure(let members)? = operation.arguments.last else { return nil }
        return said(members)
    }

    /// Where the bytes of "atN" go, within `size` bytes.
    static func offset(_ member: Operation.Member, _ bytes: [UInt8], within size: Int) -> Int? {
        guard member.name.hasPrefix("at"), let offset = Int(member.name.dropFirst(2)),
            (0...size).contains(offset), bytes.count <= size - offset
        else { return nil }
        return offset
    }

    /// The bytes of `arg`: the structure, its arrays, and what was behind them.
    static func size(_ layout: Layout, _ members: [Operation.Member]) -> Int {
        let arrays = arrays(layout, members)
        let size = layout.size + arrays.reduce(0) { $0 + $1.elements.count * $1.trailing.elementSize }
        return size + (room(layout, members, arrays) ?? 0)
    }

    /// Padding behind structure and arrays up to the recorded length, in bytes; nil for none.
    static func room(_ layout: Layout, _ members: [Operation.Member], _ arrays: [Array]) -> Int? {
        let size = layout.size + arrays.reduce(0) { $0 + $1.elements.count * $1.trailing.elementSize }
        guard let said = said(members), said > size else { return nil }
        return said - size
    }
}

extension Format {
    fileprivate var isSigned: Bool {
        if case .descriptor = self { true } else { false }
    }
}

extension CExport {
    /// Declares a request's structure; the result is its name.
    mutating func structure(_ layout: Layout, of request: Request) -> String {
        let marker = CHeaders.marker(layout, request)
        // A name of ours is none that a header may come to have.
        let isKernels = CHeaders.header(request.file) != nil
        let name =
            layout.name.isEmpty ? "argument" : isKernels && marker == nil ? "local_\(layout.name)" : layout.name
        return define(name, CStructure.members(layout), marker)
    }

    /// Declares a feature's data, which follow a vfio_device_feature; the result is their structure's name, and that of the
    /// elements of the array behind it, where these have one.
    mutating func data(_ layout: Layout, ofFeature number: UInt32) -> (name: String, element: String?) {
        let data = CStructure.data(layout)
        let members = CStructure.members(data)
        // A record may describe a feature as it likes: the header's is the one that we know.
        guard number == UInt32(VFIO_DEVICE_FEATURE_DMA_BUF),
            members == CStructure.members(CStructure.data(Decoder().layout(ofFeature: number, .max)))
        else { return (define("local_\(layout.name)", members, nil), nil) }
        let marker = "VFIO_DEVICE_FEATURE_DMA_BUF"
        let ranges = data.trailing.first.map { CStructure.members(Layout(size: $0.elementSize, $0.fields)) } ?? []
        return (
            define("vfio_device_feature_dma_buf", members, marker), define("vfio_region_dma_range", ranges, marker)
        )
    }

    private mutating func define(_ plain: String, _ members: [String], _ marker: String?) -> String {
        // A record may describe a feature again, with other members: that is another structure.
        var name = plain
        var number = 1
        while let known = structures.first(where: { $0.name == name }), known.members != members {
            number += 1
            name = "\(plain)_\(number)"
        }
        if !structures.contains(where: { $0.name == name }) {
            structures.append(CDefinition(name: name, members: members, marker: marker))
        }
        return name
    }

    func hasMade(_ symbol: String) -> Bool {
        let name = names[symbol]
        return variables.contains { $0.name == name }
    }
}
