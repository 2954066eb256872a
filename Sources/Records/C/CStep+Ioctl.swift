import CKernel
import Kernel

/// ioctls in C: a structure of the request's members, by name.
extension CStep {
    mutating func ioctl(_ file: inout CExport, _ decoder: Decoder) {
        guard let request = operation.request else { return raw(&file) }
        file.define(request)
        let before = "ioctl(\(argument(0)), \(request.name)"
        switch (request.argument, operation.arguments[2]) {
        case (.string, .text(let text)):
            finish("\(before), \(CText.quoted(text)))", request, nil, &file)
        case (.structure(let layout), .structure(let members)):
            structure(before, request, layout, members, &file)
        case (.feature, .structure(let members)):
            var number = UInt32.max
            if case .number(let feature, _)? = members.first(where: { $0.name == "feature" })?.value {
                number = UInt32(truncatingIfNeeded: feature)
            }
            structure(before, request, decoder.layout(ofFeature: number, .max), members, &file)
        case (_, .bytes(let bytes)):
            put("{")
            put("\tstatic const uint8_t bytes[\(max(1, bytes.count))] = \(CText.bytes(bytes));")
            finish("\(before), at_end_of_page(bytes, \(bytes.count)))", request, nil, &file, isOpen: true)
        default:
            finish("\(before), \(argument(2)))", request, nil, &file)
        }
    }

    private mutating func raw(_ file: inout CExport) {
        let before = "ioctl(\(argument(0)), \(argument(1))"
        guard case .bytes(let bytes) = operation.arguments[2] else {
            return finish("\(before), \(argument(2)))", nil, nil, &file)
        }
        put("{")
        put("\tstatic const uint8_t bytes[\(max(1, bytes.count))] = \(CText.bytes(bytes));")
        finish("\(before), at_end_of_page(bytes, \(bytes.count)))", nil, nil, &file, isOpen: true)
    }

    /// Members as an initializer; what they point to, and trailing arrays, are variables of their own.
    private mutating func structure(
        _ before: String, _ request: Request, _ layout: Layout, _ members: [Operation.Member],
        _ file: inout CExport
    ) {
        let arrays = CStructure.arrays(layout, members)
        var element: String?
        put("{")
        pointed(members, layout)
        put("\tstruct {")
        if let feature = feature(members) {
            put("\t\tstruct vfio_device_feature header;")
            if layout.size > CStructure.headerSize {
                let data = file.data(layout, ofFeature: feature)
                element = data.element
                put("\t\tstruct \(data.name) data;")
            }
        } else {
            put("\t\tstruct \(file.structure(layout, of: request)) fixed;")
        }
        for array in arrays { put("\t\t\(element.map(array.declaration) ?? array.declaration);") }
        if let room = CStructure.room(layout, members, arrays) { put("\t\tuint8_t room[\(room)];") }
        put("\t} __attribute__((packed)) arg = {")
        initializers(members, layout, &file)
        for array in arrays { elements(array) }
        put("\t};")
        patches(members, within: CStructure.size(layout, members))
        var address = "&arg"
        if let size = CStructure.said(members) {
            put("\tvoid *place = at_end_of_page(&arg, \(min(size, 1 << 20)));")
            address = "place"
        }
        finish("\(before), \(address))", request, layout, &file, isOpen: true, at: address)
    }

    /// The number of a VFIO_DEVICE_FEATURE; nil of other requests.
    private func feature(_ members: [Operation.Member]) -> UInt32? {
        guard let request = operation.request, case .feature = request.argument else { return nil }
        return number("feature", members).map { UInt32(truncatingIfNeeded: $0) } ?? .max
    }

    private func number(_ name: String, _ members: [Operation.Member]) -> UInt64? {
        if case .number(let number, _)? = members.first(where: { $0.name == name })?.value { number } else { nil }
    }

    private mutating func initializers(
        _ members: [Operation.Member], _ layout: Layout, _ file: inout CExport
    ) {
        guard let feature = feature(members) else {
            put("\t\t.fixed = {")
            for member in members { field(member, layout) }
            return put("\t\t},")
        }
        put("\t\t.header = {")
        for member in members where member.name == "argsz" { field(member, layout) }
        put("\t\t\t.flags = \(flags(feature, number("operation", members) ?? 0, &file)),")
        put("\t\t},")
        let header: Set = ["argsz", "feature", "operation"]
        let data = members.filter { member in
            !header.contains(member.name) && layout.fields.contains { $0.name == member.name }
        }
        guard !data.isEmpty else { return }
        put("\t\t.data = {")
        for member in data { field(member, layout) }
        put("\t\t},")
    }

    /// vfio_device_feature.flags by the header's names.
    private func flags(_ feature: UInt32, _ operation: UInt64, _ file: inout CExport) -> String {
        let number = UInt64(feature) & 0xffff
        let known: [(String, Int)] = [
            ("GET", VFIO_DEVICE_FEATURE_GET), ("SET", VFIO_DEVICE_FEATURE_SET), ("PROBE", VFIO_DEVICE_FEATURE_PROBE),
        ]
        var rest = operation & 0xffff
        var parts: [String] = []
        for (name, value) in known where rest & UInt64(value >> 16) != 0 {
            rest &= ~UInt64(value >> 16)
            file.define("VFIO_DEVICE_FEATURE_\(name)", UInt64(value))
            parts.append("VFIO_DEVICE_FEATURE_\(name)")
        }
        if rest != 0 { parts.append(CText.number(rest << 16)) }
        if let released = Feature.released.first(where: { UInt64($0.number) == number }) {
            file.define("VFIO_DEVICE_FEATURE_\(released.name)", number)
            parts.append("VFIO_DEVICE_FEATURE_\(released.name)")
        } else {
            parts.append(String(number))
        }
        return parts.joined(separator: " | ")
    }

    /// A member of the argument; nil of the two halves of a feature's flags.
    private func place(_ field: Field) -> String? {
        guard let request = operation.request, case .feature = request.argument else {
            return "arg.fixed.\(CText.member(field.name))"
        }
        if field.offset >= CStructure.headerSize { return "arg.data.\(CText.member(field.name))" }
        return field.name == "argsz" ? "arg.header.argsz" : nil
    }

    private mutating func pointed(_ members: [Operation.Member], _ layout: Layout) {
        for member in members {
            guard case .pointer(let bytes, _) = member.value, layout.fields.contains(where: { $0.name == member.name })
            else { continue }
            put("\tstatic const uint8_t \(memory(member))_bytes[\(max(1, bytes.count))] = \(CText.bytes(bytes));")
            put("\tvoid *\(memory(member)) = at_end_of_page(\(memory(member))_bytes, \(bytes.count));")
        }
    }

    private mutating func field(_ member: Operation.Member, _ layout: Layout) {
        guard let field = layout.fields.first(where: { $0.name == member.name }) else { return }
        switch member.value {
        case .number(0, let format):
            if case .descriptor = format { put("\t\t\t.\(CText.member(member.name)) = 0,") }
        case .pointer: put("\t\t\t.\(CText.member(member.name)) = (uintptr_t)\(memory(member)),")
        case .number(let number, _) where field.size == 8 || number < 1 << UInt64(field.size * 8 - 1):
            put("\t\t\t.\(CText.member(member.name)) = \(text(member.value)),")
        default: put("\t\t\t.\(CText.member(member.name)) = \(cast(field))\(text(member.value)),")
        }
    }

    /// The name of the C variable with the bytes that a member points to; the suffix keeps it apart from other variables.
    private func memory(_ member: Operation.Member) -> String { "\(member.name)_memory" }

    /// A cast to the member's type: the variable may be wider.
    private func cast(_ field: Field) -> String { "(\(CStructure.type(field)))" }

    private mutating func elements(_ array: CStructure.Array) {
        put("\t\t.\(array.name) = {")
        for element in array.elements {
            guard case .structure(let members) = element else { continue }
            put("\t\t\t{ " + members.map { ".\($0.name) = \(text($0.value))" }.joined(separator: ", ") + " },")
        }
        put("\t\t},")
    }

    private mutating func patches(_ members: [Operation.Member], within size: Int) {
        for member in members {
            guard case .bytes(let bytes) = member.value,
                let offset = CStructure.offset(member, bytes, within: size)
            else { continue }
            put("\tmemcpy((uint8_t *)&arg + \(offset), \(CText.quoted(bytes)), \(bytes.count));")
        }
    }

    /// The call, what it gave, and what it answered.
    private mutating func finish(
        _ call: String, _ request: Request?, _ layout: Layout?, _ file: inout CExport, isOpen: Bool = false,
        at address: String = "&arg"
    ) {
        if !isOpen { put("{") }
        put("\tlong got = result(\(call));")
        put("")
        var inner = empty
        inner.compareResult("got")
        for line in inner.lines { put(line) }
        if case .symbol(let made, _) = operation.result {
            put("\t\(file.declare(made, "int")) = (int)got;")
            put("\tif (got < 0)")
            put("\t\t\(stop(made));")
        }
        if let layout { outputs(layout, &file, address) }
        put("}")
    }

    private func place(_ member: Operation.Member, _ layout: Layout) -> String? {
        layout.fields.first { $0.name == member.name }.flatMap(place)
    }

    /// The C type of an output that has a name.
    private static func type(_ symbol: String) -> String {
        let isDescriptor = symbol.hasPrefix("dmabuf") || symbol.hasPrefix("file")
        return symbol.hasPrefix("iova") ? "uint64_t" : isDescriptor ? "int" : "uint32_t"
    }

    private mutating func outputs(_ layout: Layout, _ file: inout CExport, _ address: String) {
        if address != "&arg" {
            put(
                "\tmemcpy(&arg, place, sizeof(arg) < \(CStructure.said(operation) ?? 0) ? sizeof(arg) : "
                    + "\(CStructure.said(operation) ?? 0));")
        }
        var inputs: [Operation.Member] = []
        if case .structure(let members)? = operation.arguments.last { inputs = members }
        let size = min(CStructure.size(layout, inputs), CStructure.said(inputs) ?? .max)
        for member in operation.outputs {
            let what = CText.quoted("\(name): \(member.name)")
            switch member.value {
            case .number(let wanted, _):
                guard let place = place(member, layout) else { continue }
                put("\tequal(\(line), \(what), (unsigned long long)\(place), \(CText.number(wanted)));")
            case .symbol(let symbol, 0):
                guard let place = place(member, layout) else { continue }
                if file.hasMade(symbol) {
                    let isMapping = Symbols.kind(of: symbol) == "map"
                    put("\tequal(\(line), \(what), \(place), \(isMapping ? "(uintptr_t)" : "")\(names[symbol]));")
                } else {
                    let type = CStep.type(symbol)
                    put("\tif (got < 0)")
                    put("\t\t\(stop(symbol));")
                    put("\t\(file.declare(symbol, type)) = (\(type))\(place);")
                }
            case .pointer(let bytes, _):
                guard layout.fields.contains(where: { $0.name == member.name }),
                    case .pointer(let given, _)? = inputs.first(where: { $0.name == member.name })?.value,
                    bytes.count <= given.count
                else { continue }
                put(
                    "\tsame_bytes(\(line), \(what), \(memory(member)), "
                        + "\(CText.quoted(bytes)), \(bytes.count));")
            case .bytes(let bytes):
                guard let offset = CStructure.offset(member, bytes, within: size) else { continue }
                put(
                    "\tsame_bytes(\(line), \(CText.quoted(name)), (uint8_t *)\(address) + \(offset), "
                        + "\(CText.quoted(bytes)), \(bytes.count));")
            default: continue
            }
        }
    }
}
