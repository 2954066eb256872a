import Kernel

/// ioctls in C: a structure of the request's members, by name.
extension CStep {
    mutating func ioctl(_ file: inout CExport, _ decoder: Decoder) {
        guard let request = operation.request else { return raw(&file) }
        file.define(request.name, UInt64(request.number))
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
        let type = file.structure(layout)
        put("{")
        pointed(members, layout)
        put("\tstruct {")
        put("\t\tstruct \(type) fixed;")
        for array in arrays { put("\t\t\(array.declaration);") }
        if let room = CStructure.room(layout, members, arrays) { put("\t\tuint8_t room[\(room)];") }
        put("\t} __attribute__((packed)) arg = {")
        put("\t\t.fixed = {")
        for member in members { field(member, layout) }
        put("\t\t},")
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
        var inner = CStep(operation, line: line)
        inner.compareResult("got")
        for line in inner.lines { put(line) }
        if case .symbol(let made, _) = operation.result { put("\t\(file.declare(made, "int")) = (int)got;") }
        if let layout { outputs(layout, &file, address) }
        put("}")
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
                guard layout.fields.contains(where: { $0.name == member.name }) else { continue }
                put(
                    "\tequal(\(line), \(what), (unsigned long long)arg.fixed.\(CText.member(member.name)), "
                        + "\(CText.number(wanted)));")
            case .symbol(let symbol, 0) where layout.fields.contains(where: { $0.name == member.name }):
                let isDescriptor = symbol.hasPrefix("dmabuf") || symbol.hasPrefix("file")
                let type = symbol.hasPrefix("iova") ? "uint64_t" : isDescriptor ? "int" : "uint32_t"
                if file.hasMade(symbol) {
                    let isMapping = Symbols.kind(of: symbol) == "map"
                    put(
                        "\tequal(\(line), \(what), arg.fixed.\(CText.member(member.name)), "
                            + "\(isMapping ? "(uintptr_t)" : "")\(CText.identifier(symbol)));")
                } else {
                    put("\t\(file.declare(symbol, type)) = (\(type))arg.fixed.\(CText.member(member.name));")
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
