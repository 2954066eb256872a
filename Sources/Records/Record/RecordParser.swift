import Kernel

extension Record {
    /// Reads a record.
    public init(parsing text: String) throws(RecordError) {
        // Mail may have made CRLF of it.
        var lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }[...]
        guard lines.first.map({ $0 == Record.mark }) ?? false else {
            throw RecordError(line: 1, message: "no record: its first line would be '\(Record.mark)'")
        }
        lines.removeFirst()
        self.init()
        var number = 1
        while let line = lines.popFirst() {
            number += 1
            if line.isEmpty { break }
            guard let colon = line.firstIndex(of: ":") else {
                throw RecordError(line: number, message: "'key: value', or an empty line before the operations")
            }
            header.append((String(line[..<colon]), RecordParser.text(line[line.index(after: colon)...])))
        }
        var parser = RecordParser()
        var found = 0
        for line in lines {
            number += 1
            if line.isEmpty { continue }
            if let count = Record.end(line), !isWhole {
                guard count == found else {
                    throw RecordError(
                        line: number,
                        message:
                            "of \(count) operations \(found) are there: a part of the record is missing, or it was changed; "
                            + "without this line, what there is counts")
                }
                isWhole = true
                continue
            }
            let kind = try parser.parse(line, number)
            if isWhole, !line.hasPrefix("#") || Record.end(line) != nil {
                throw RecordError(line: number, message: "this stands behind the record's end")
            }
            if case .operation = kind { found += 1 }
            entries.append(Entry(line: number, kind))
        }
    }
}

/// Lines to entries. What a feature's data means comes from the record itself.
struct RecordParser {
    private var decoder = Decoder()
    /// Most bytes to which the runs of all lines together may expand.
    static let mostBytes = 1 << 28
    private var room = RecordParser.mostBytes

    mutating func parse(_ line: Substring, _ number: Int) throws(RecordError) -> Record.Entry.Kind {
        if let failure = Record.ScriptFailure(line) { return .failure(failure) }
        if let judgement = Record.Judgement(line) { return .judgement(judgement) }
        if let (key, text) = Record.scenario(line) { return .scenario(key: key, text) }
        if line.hasPrefix("#") { return .comment(RecordParser.text(line.dropFirst())) }
        if line.hasPrefix("feature ") {
            let feature = try RecordParser.feature(line, number)
            decoder.add(feature)
            return .feature(feature)
        }
        return .operation(try operation(line, number))
    }

    /// The text without leading spaces and line breaks.
    fileprivate static func text(_ rest: Substring) -> String { String(rest.drop { $0 == " " || $0.isNewline }) }

    /// Letters, digits, "_", "-" and ".": what revisions, bits and values are called.
    static func isWord(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.count <= 64
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
                default: false
                }
            }
    }

    /// The members before a feature's data.
    private static let headerFields: Set<Substring> = ["argsz", "feature", "operation"]

    private static func feature(_ line: Substring, _ number: Int) throws(RecordError) -> Feature {
        let words = line.split(separator: " ")
        var values: [(name: Substring, value: Substring)] = []
        for word in words.dropFirst(2) {
            guard let equals = word.firstIndex(of: "=") else {
                throw RecordError(line: number, message: "'\(word)' is no name=value")
            }
            values.append((word[..<equals], word[word.index(after: equals)...]))
        }
        guard words.count > 2, values.count >= 2, values[0].name == "number", values[1].name == "size",
            let feature = UInt32(values[0].value), feature <= 0xffff, let size = Int(values[1].value),
            (0...4096).contains(size)
        else {
            throw RecordError(line: number, message: "a feature is: feature NAME number=N size=N FIELD=OFFSET:SIZE...")
        }
        guard CText.isName(words[1]) else {
            throw RecordError(line: number, message: "'\(words[1].prefix(40))' is no name of a feature")
        }
        // The checks of addresses go by the members.
        if let known = Feature.released.first(where: { $0.number == feature && $0.hasAddresses }) {
            throw RecordError(line: number, message: "feature \(feature) is \(known.name), whose members are known")
        }
        var fields: [Field] = []
        let revision = values.first { $0.name == "revision" && !$0.value.contains(":") }?.value
        if let revision, !isWord(revision) {
            throw RecordError(line: number, message: "'\(revision.prefix(40))' is no name of a revision")
        }
        for (name, value) in values.dropFirst(2) where name != "revision" || value.contains(":") {
            guard CText.isName(name), !headerFields.contains(name), !fields.contains(where: { $0.name == name }) else {
                throw RecordError(line: number, message: "'\(name.prefix(40))' is no name of a field, or a second time")
            }
            let parts = value.split(separator: ":")
            guard parts.count >= 2, let offset = Int(parts[0]), let width = Int(parts[1]),
                [1, 2, 4, 8].contains(width),
                offset >= 0, offset <= size - width
            else { throw RecordError(line: number, message: "'\(name)' has no place in \(size) bytes") }
            let place = offset..<(offset + width)
            if let other = fields.first(where: { place.overlaps($0.offset..<($0.offset + $0.size)) }) {
                throw RecordError(line: number, message: "'\(name)' overlaps '\(other.name)'")
            }
            var format = Format.hexadecimal
            if parts.count > 2 {
                guard let known = Record.format(parts[2]) else {
                    throw RecordError(line: number, message: "'\(parts[2].prefix(40))' is no kind of a field")
                }
                format = known
            }
            let isDescriptor = if case .descriptor = format { true } else { false }
            fields.append(
                Field(
                    String(name), offset: offset, size: width, signed: isDescriptor && width == 4, .input,
                    format))
        }
        return Feature(
            feature, String(words[1]), size > 0 ? Layout(size: size, fields) : nil, revision: revision.map(String.init))
    }

    private mutating func operation(_ line: Substring, _ number: Int) throws(RecordError) -> Operation {
        var scanner = RecordScanner(line, number: number, room: room)
        defer { room = scanner.room }
        let name = try scanner.word()
        guard let signature = Signature.all[name] else {
            throw scanner.error("no operation '\(name.prefix(40))' is known")
        }
        try scanner.expect("(")
        var nodes: [RecordScanner.Node] = []
        var inside: RecordScanner.Node?
        while !scanner.take(")") {
            if !nodes.isEmpty { try scanner.expect(", ") }
            guard nodes.count < signature.parameters.count else {
                throw scanner.error("\(name) takes \(signature.parameters.count) arguments")
            }
            if signature.namesParameters {
                let wanted = signature.parameters[nodes.count].name
                guard try scanner.word() == wanted, scanner.take("=") else {
                    throw scanner.error("'\(wanted)=' is missing")
                }
            }
            nodes.append(try scanner.value())
            if scanner.take(" => ") { inside = try scanner.value() }
        }
        guard nodes.count == signature.parameters.count else {
            throw scanner.error("\(name) takes \(signature.parameters.count) arguments, not \(nodes.count)")
        }
        var operation = try call(signature, nodes, scanner)
        try answer(&operation, inside, &scanner)
        return operation
    }

    private func call(
        _ signature: Signature, _ nodes: [RecordScanner.Node], _ scanner: RecordScanner
    ) throws(RecordError) -> Operation {
        var operation = Operation(signature, [])
        if signature.name == "ioctl" { return try ioctl(nodes, scanner) }
        for (parameter, node) in zip(signature.parameters, nodes) {
            // What the kernel filled in is not given to it again.
            let type = parameter.isOutput ? nil : parameter.type
            operation.arguments.append(
                try RecordTyping(scanner, of: signature).value(node, parameter.format, name: parameter.name, type: type)
            )
        }
        return operation
    }

    private func ioctl(_ nodes: [RecordScanner.Node], _ scanner: RecordScanner) throws(RecordError) -> Operation {
        let typing = RecordTyping(scanner, of: .ioctl)
        let fd = Signature.ioctl.parameters[0]
        let number = Signature.ioctl.parameters[1]
        let descriptor = try typing.value(nodes[0], fd.format, name: fd.name, type: fd.type)
        guard case .word(let word) = nodes[1] else { throw scanner.error("an ioctl has a request") }
        var operation = Operation(.ioctl, [descriptor])
        if let request = Request.find(named: word) {
            operation.request = request
            operation.name = request.name
            operation.arguments.append(
                .number(UInt64(request.number), .names([.init(Int(request.number), request.name)])))
            operation.arguments.append(try argument(of: request, nodes[2], typing))
        } else {
            operation.arguments.append(try typing.value(nodes[1], number.format, name: number.name, type: number.type))
            operation.arguments.append(try typing.value(nodes[2], .hexadecimal))
        }
        return operation
    }

    private func argument(
        of request: Request, _ node: RecordScanner.Node, _ typing: RecordTyping
    ) throws(RecordError) -> Operation.Value {
        switch (request.argument, node) {
        case (.value(let format), .word): return try typing.value(node, format)
        case (.structure(let layout), .structure): return try typing.structure(node, layout)
        case (.feature, .structure(let members)):
            return try typing.structure(node, decoder.layout(members, typing))
        default: return try typing.value(node, .hexadecimal)
        }
    }

    private func answer(
        _ operation: inout Operation, _ inside: RecordScanner.Node?, _ scanner: inout RecordScanner
    ) throws(RecordError) {
        try scanner.expect(" = ")
        let typing = RecordTyping(scanner, of: operation.signature)
        if scanner.take("-1 ") {
            let name = try scanner.word()
            guard let errno = Errno(name: name) else { throw scanner.error("no error '\(name.prefix(20))' is known") }
            operation.errno = errno
            _ = scanner.take(" (\(errno.message))")
            operation.isInjected = scanner.take(" (injected)")
        } else {
            operation.result = try typing.value(try scanner.value(), operation.signature.result)
        }
        try checkResults([.init("", operation.result)], ["": operation.resultFormat], scanner)
        if let inside { operation.outputs = try outputs(inside, operation, typing) }
        while scanner.take(" ") {
            if let time = scanner.time() {
                operation.duration = time
                if scanner.take(" after ") {
                    guard let times = Int(try scanner.word()), (2...1 << 30).contains(times), scanner.take(" times")
                    else { throw scanner.error("'after N times' is missing") }
                    operation.times = times
                }
                break
            }
            operation.outputs += try outputs(try scanner.value(), operation, typing)
        }
        guard scanner.isAtEnd else { throw scanner.error("what is '\(scanner.rest.prefix(30))'?") }
    }

    private func outputs(
        _ node: RecordScanner.Node, _ operation: Operation, _ typing: RecordTyping
    ) throws(RecordError) -> [Operation.Member] {
        let value: Operation.Value
        switch operation.request?.argument {
        case .structure(let layout): value = try typing.structure(node, layout)
        default: value = try typing.value(node, .hexadecimal)
        }
        guard case .structure(let members) = value else { throw typing.scanner.error("outputs are {name=value}") }
        // An event names an object of any kind, and C has no such verb.
        let isEvent = if case .none? = Verbs.named(operation.signature.name)?.inC { true } else { false }
        if !isEvent { try checkResults(members, operation.outputFormats, typing.scanner) }
        return members
    }

    /// What a call gives a name to is of the name's kind: else a number of the record's could stand for a descriptor.
    private func checkResults(
        _ members: [Operation.Member], _ formats: [String: Format], _ scanner: RecordScanner
    ) throws(RecordError) {
        for member in members {
            switch member.value {
            case .symbol(let name, let offset):
                guard !Symbols.isResult(name, offset, formats[member.name] ?? .decimal) else { continue }
                let text = offset == 0 ? name : name + "+0x" + String(offset, radix: 16)
                throw scanner.error("this call gives nothing that is called '\(text)'")
            case .structure(let members): try checkResults(members, formats, scanner)
            case .list(let values):
                try checkResults(values.map { .init(member.name, $0) }, formats, scanner)
            default: continue
            }
        }
    }
}

extension Operation {
    /// How its result is written.
    fileprivate var resultFormat: Format {
        guard signature.name == "ioctl" else { return signature.result }
        switch request?.result {
        case .descriptor, .feature: return .descriptor
        default: return .decimal
        }
    }

    /// How what else comes out is written, by name.
    fileprivate var outputFormats: [String: Format] {
        guard signature.name == "ioctl" else { return signature.members.mapValues(\.format) }
        guard case .structure(let layout)? = request?.argument else { return [:] }
        return Dictionary(
            (layout.fields + layout.trailing.flatMap(\.fields)).map { ($0.name, $0.format) },
            uniquingKeysWith: { first, _ in first })
    }
}

extension Decoder {
    /// The layout of a feature's argument by its members.
    func layout(
        _ members: [(name: String, value: RecordScanner.Node)], _ typing: RecordTyping
    ) throws(RecordError) -> Layout {
        let header = layout(ofFeature: .max, 0)
        guard let named = members.first(where: { $0.name == "feature" }),
            case .structure(let first) = try typing.structure(.structure([named]), header),
            case .number(let number, _)? = first.first?.value
        else { return header }
        return layout(ofFeature: UInt32(truncatingIfNeeded: number), .max)
    }
}

extension Feature {
    fileprivate var hasAddresses: Bool {
        layout?.fields.contains { OperationInput.isAddress($0.name, $0.format) } ?? false
    }
}
