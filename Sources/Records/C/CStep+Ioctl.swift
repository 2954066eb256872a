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
            // The device of a group: an argument may choose another one.
            let name = DevicePath.isAddress(text) ? "paths[\(file.index(ofPath: text))]" : CText.quoted(text)
            finish("\(before), \(name))", nil, &file)
        case (.structure(let layout), .structure(let members)):
            structure(before, request, layout, members, &file)
        case (.feature, .structure(let members)):
            var number = UInt32.max
            if case .number(let feature, _)? = members.first(where: { $0.name == "feature" })?.value {
                number = UInt32(truncatingIfNeeded: feature)
            }
            structure(before, request, decoder.layout(ofFeature: number, .max), members, &file)
        case (_, .bytes(let bytes)):
            passed(bytes, before, &file)
        default:
            finish("\(before), \(argument(2)))", nil, &file)
        }
    }

    private mutating func raw(_ file: inout CExport) {
        let before = "ioctl(\(argument(0)), \(argument(1))"
        guard case .bytes(let bytes) = operation.arguments[2] else {
            return finish("\(before), \(argument(2)))", nil, &file)
        }
        passed(bytes, before, &file)
    }

    /// An argument of which only the bytes are known.
    private mutating func passed(_ bytes: [UInt8], _ before: String, _ file: inout CExport) {
        put("{")
        put("\tstatic const uint8_t bytes[\(max(1, bytes.count))] = \(CText.bytes(bytes));")
        put("\tstatic void *place;")
        put("")
        finish("\(before), at_end_of_page(&place, bytes, \(bytes.count)))", nil, &file, isOpen: true)
    }

    /// Members as an initializer; what they point to, and trailing arrays, are variables of their own.
    private mutating func structure(
        _ before: String, _ request: Request, _ layout: Layout, _ members: [Operation.Member],
        _ file: inout CExport
    ) {
        let arrays = CStructure.arrays(layout, members)
        let room = CStructure.room(layout, members, arrays)
        let type: String
        var data: (name: String, element: String?)?
        if let feature = feature(members) {
            type = "vfio_device_feature"
            if layout.size > CStructure.headerSize { data = file.data(layout, ofFeature: feature) }
        } else {
            type = file.structure(layout, of: request)
        }
        put("{")
        pointed(members, layout)
        isPlain = arrays.isEmpty && room == nil && data == nil
        if isPlain {
            put("\tstruct \(type) arg", initializers(members, layout, &file))
        } else {
            put("\tstruct {")
            put("\t\tstruct \(type) \(feature(members) == nil ? "fixed" : "header");")
            if let data { put("\t\tstruct \(data.name) data;") }
            for array in arrays { put("\t\t\(data?.element.map(array.declaration) ?? array.declaration);") }
            if let room { put("\t\tuint8_t room[\(room)];") }
            put("\t} __attribute__((packed)) arg", initializers(members, layout, &file) + arrays.map(elements))
        }
        var address = "&arg"
        // A kernel that reads behind it gets EFAULT, as it did.
        if let size = CStructure.said(members), size < layout.size || operation.errno == .badAddress {
            put("\tstatic void *area;")
            put("\tvoid *place;")
            address = "place"
        }
        if decision == nil { put("") }
        patches(members, within: CStructure.size(layout, members))
        if address == "place", let size = CStructure.said(members) {
            put("\tplace = at_end_of_page(&area, &arg, \(min(size, 1 << 20)));")
        }
        finish("\(before), \(address))", layout, &file, isOpen: true, at: address)
    }

    /// The number of a VFIO_DEVICE_FEATURE; nil of other requests.
    private func feature(_ members: [Operation.Member]) -> UInt32? {
        guard let request = operation.request, case .feature = request.argument else { return nil }
        return number("feature", members).map { UInt32(truncatingIfNeeded: $0) } ?? .max
    }

    private func number(_ name: String, _ members: [Operation.Member]) -> UInt64? {
        if case .number(let number, _)? = members.first(where: { $0.name == name })?.value { number } else { nil }
    }

    /// A declaration with these initializers.
    private mutating func put(_ declaration: String, _ initializers: [String]) {
        if initializers.isEmpty { return put("\(declaration) = { 0 };") }
        let line = "\(declaration) = { \(initializers.joined(separator: ", ")) };"
        guard line.utf8.count > 90 else { return put(line) }
        put("\(declaration) = {")
        append(CText.lines(initializers).map { "\t\t\t" + $0 })
        put("\t};")
    }

    /// The initializers of the structure, or of its parts.
    private func initializers(_ members: [Operation.Member], _ layout: Layout, _ file: inout CExport) -> [String] {
        guard let feature = feature(members) else { return part("fixed", members.flatMap { field($0, layout) }) }
        let header: Set = ["argsz", "feature", "operation"]
        let flags = ".flags = \(flags(feature, number("operation", members) ?? 0, &file))"
        let data = members.filter { member in
            !header.contains(member.name) && layout.fields.contains { $0.name == member.name }
        }
        return part("header", members.filter { $0.name == "argsz" }.flatMap { field($0, layout) } + [flags])
            + part("data", data.flatMap { field($0, layout) })
    }

    /// Initializers of a part of the argument, of which a plain one has one.
    private func part(_ name: String, _ fields: [String]) -> [String] {
        isPlain ? fields : fields.isEmpty ? [] : [".\(name) = { \(fields.joined(separator: ", ")) }"]
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
            return "arg.\(isPlain ? "" : "fixed.")\(CText.member(field.name))"
        }
        if field.offset >= CStructure.headerSize { return "arg.data.\(CText.member(field.name))" }
        return field.name == "argsz" ? "arg.\(isPlain ? "" : "header.")argsz" : nil
    }

    private mutating func pointed(_ members: [Operation.Member], _ layout: Layout) {
        for member in members {
            guard case .pointer(let bytes, _) = member.value, layout.fields.contains(where: { $0.name == member.name })
            else { continue }
            put("\tstatic const uint8_t \(memory(member))_bytes[\(max(1, bytes.count))] = \(CText.bytes(bytes));")
            put("\tstatic void *\(memory(member))_area;")
            put(
                "\tvoid *\(memory(member)) = at_end_of_page(&\(memory(member))_area, \(memory(member))_bytes, \(bytes.count));"
            )
        }
    }

    private func field(_ member: Operation.Member, _ layout: Layout) -> [String] {
        guard let field = layout.fields.first(where: { $0.name == member.name }) else { return [] }
        let name = ".\(CText.member(member.name)) = "
        switch member.value {
        case .number(0, let format):
            guard case .descriptor = format else { return [] }
            return [name + "0"]
        case .pointer: return [name + "(uintptr_t)\(memory(member))"]
        case .number(let number, _) where field.size == 8 || number < 1 << UInt64(field.size * 8 - 1):
            return [name + text(member.value)]
        default: return [name + cast(field, member.value) + text(member.value)]
        }
    }

    /// The name of the C variable with the bytes that a member points to; the suffix keeps it apart from other variables.
    private func memory(_ member: Operation.Member) -> String { "\(member.name)_memory" }

    /// A cast to the member's type, where the value may be wider.
    private func cast(_ field: Field, _ value: Operation.Value) -> String {
        if case .symbol(let symbol, 0) = value, Symbols.isDescriptor(symbol), field.size == 4 { return "" }
        return "(\(CStructure.type(field)))"
    }

    private func elements(_ array: CStructure.Array) -> String {
        let elements = array.elements.compactMap { element -> String? in
            guard case .structure(let members) = element else { return nil }
            return "{ " + members.map { ".\($0.name) = \(text($0.value))" }.joined(separator: ", ") + " }"
        }
        let lines = CText.lines(elements)
        let list =
            lines.count < 2
            ? elements.joined(separator: ", ") : "\n\t\t\t\t" + lines.joined(separator: "\n\t\t\t\t") + "\n\t\t\t"
        return ".\(array.name) = { \(list) }"
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
        _ call: String, _ layout: Layout?, _ file: inout CExport, isOpen: Bool = false, at address: String = "&arg"
    ) {
        guard isOpen else { return answered("result(\(call))", &file, inBlock: false) }
        let gives = operation.errno == nil && operation.outputs.contains { Self.isNew($0.value, file) }
        if gives, decision == nil {
            put("\tgiven(\(number), \(CText.quoted(name)), result(\(call)));")
        } else {
            if decision != nil {
                put("\tlong got = result(\(call));")
                put("")
            }
            answered(decision == nil ? "result(\(call))" : "got", &file, inBlock: true)
            if gives {
                put("\tif (got < 0)")
                put("\t\tlongjmp(end, 1);")
            }
        }
        if let layout { outputs(layout, &file, address) }
        put("}")
    }

    /// Whether a value has a name that nothing gave before.
    private static func isNew(_ value: Operation.Value, _ file: CExport) -> Bool {
        if case .symbol(let symbol, 0) = value { !file.hasMade(symbol) && file.isUsed(symbol) } else { false }
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
        if address != "&arg", !operation.outputs.isEmpty {
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
                put("\tequal(\(number), \(what), (unsigned long long)\(place), \(CText.number(wanted)));")
            case .symbol(let symbol, 0):
                guard let place = place(member, layout) else { continue }
                if file.hasMade(symbol) {
                    let isMapping = Symbols.kind(of: symbol) == "map"
                    put("\tequal(\(number), \(what), \(place), \(isMapping ? "(uintptr_t)" : "")\(names[symbol]));")
                } else {
                    guard file.isUsed(symbol) else { continue }
                    put("\t\(file.declare(symbol, CStep.type(symbol))) = \(place);")
                }
            case .pointer(let bytes, _):
                guard layout.fields.contains(where: { $0.name == member.name }),
                    case .pointer(let given, _)? = inputs.first(where: { $0.name == member.name })?.value,
                    bytes.count <= given.count
                else { continue }
                put(
                    "\tsame_bytes(\(number), \(what), \(memory(member)), "
                        + "\(CText.quoted(bytes)), \(bytes.count));")
            case .bytes(let bytes):
                guard let offset = CStructure.offset(member, bytes, within: size) else { continue }
                put(
                    "\tsame_bytes(\(number), \(CText.quoted(name)), (uint8_t *)\(address) + \(offset), "
                        + "\(CText.quoted(bytes)), \(bytes.count));")
            default: continue
            }
        }
    }
}
