import Kernel

/// Calls of libibverbs in C.
extension CStep {
    /// False where it is no verb, or one that has no form in C.
    mutating func verb(_ file: inout CExport) -> Bool {
        guard let verb = Verbs.named(operation.signature.name) else { return false }
        if case .none = verb.inC { return false }
        file.needVerbs()
        var inner = empty
        inner.body(verb, &file)
        for object in objects {
            put("if (!\(names[object]))")
            put("\t\(stop(object));")
        }
        put("{")
        append(inner.lines)
        put("}")
        return true
    }

    private mutating func body(_ verb: any AnyVerb, _ file: inout CExport) {
        switch verb.inC {
        case .none: break
        case .plain: call("\(operation.signature.name)(\(all))", verb, &file)
        case .call(let text, let declarations):
            for declaration in declarations {
                switch declaration {
                case .lines(let lines): for line in lines { put("\t" + filled(line)) }
                case .structure(let text, let index): attributes(text, index)
                }
            }
            call(filled(text), verb, &file)
        case .number(let text): number("result(\(filled(text)))", &file)
        case .deviceList: deviceList(&file)
        case .gidTable: gids(&file)
        case .completionEvent: event(&file)
        case .work(let kind): work(kind)
        case .completions: poll(file)
        }
    }

    private mutating func call(_ text: String, _ verb: any AnyVerb, _ file: inout CExport) {
        if let made = verb.made { make(made.type, text, &file) } else { refusal(text) }
        guard verb.ends, case .symbol(let ended, _)? = operation.arguments.first else { return }
        put("\tif (got == 0) {")
        for name in file.ended(ended) { put("\t\t\(names[name]) = NULL;") }
        put("\t}")
    }

    /// Names of the objects that go in, also within structures.
    private var objects: [String] {
        var names: [String] = []
        for (parameter, value) in zip(operation.signature.parameters, operation.arguments) {
            switch (parameter.format, value) {
            case (.handle, .symbol(let name, _)): names.append(name)
            case (_, .list), (_, .structure): names += CStep.symbols(value).filter(Symbols.isObject)
            default: break
            }
        }
        return names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// A text with arguments for `$0`, `$1` and so on.
    private func filled(_ text: String) -> String {
        var parts = text.split(separator: "$", omittingEmptySubsequences: false)[...]
        var filled = String(parts.popFirst() ?? "")
        for part in parts {
            let digits = part.prefix { $0.isNumber }
            filled += Int(digits).map(argument) ?? ""
            filled += part.dropFirst(digits.count)
        }
        return filled
    }

    private var all: String { operation.arguments.indices.map(argument).joined(separator: ", ") }

    /// The recorded answer, below 0 for an errno.
    private var wanted: String { operation.errno.map { "-" + $0.name } ?? "0" }

    private mutating func compare(_ value: String, _ wanted: String?) {
        for line in compared(operation.signature.name, value, wanted) { put("\t" + line) }
    }

    /// Of a call that gives an object.
    private mutating func make(_ type: String, _ text: String, _ file: inout CExport) {
        put("\t\(type)got = \(text);")
        put("")
        guard case .symbol(let made, _) = operation.result else { return compare("got ? 0 : -errno", wanted) }
        compare("got ? 0 : -errno", nil)
        if decision?.wrong.isOfCall ?? false {
            put("\tif (!got)")
            put("\t\tlongjmp(end, 1);")
        }
        put("\t\(file.declare(made, type)) = got;")
        for member in operation.outputs {
            guard case .symbol(let name, _) = member.value else { continue }
            put("\t\(file.declare(name, "uint32_t")) = got->\(member.name);")
        }
    }

    /// Of a call that gives an errno, or -1 and one.
    private mutating func refusal(_ text: String) {
        put("\tint got = \(text);")
        put("")
        compare("got > 0 ? -got : got < 0 ? -errno : 0", wanted)
    }

    private mutating func deviceList(_ file: inout CExport) {
        put("\tint count = 0;")
        put("\tstruct ibv_device **list = ibv_get_device_list(&count);")
        put("")
        compare("list ? 0 : -errno", wanted)
        guard case .list(let devices)? = operation.outputs.first?.value else { return }
        for case .structure(let members) in devices {
            guard case .text(let name)? = members.first?.value, case .symbol(let symbol, _)? = members.last?.value
            else { continue }
            let variable = file.declare(symbol, "struct ibv_device *")
            put("\tfor (int i = 0; list && i < count; i++)")
            // One that is opened is an argument of the program's.
            let asked = file.opens(symbol) ? "paths[\(file.index(ofRDMADevice: name))]" : CText.quoted(name)
            put("\t\tif (!strcmp(ibv_get_device_name(list[i]), \(asked)))")
            put("\t\t\t\(variable) = list[i];")
        }
    }

    private mutating func gids(_ file: inout CExport) {
        guard case .list(let entries)? = operation.outputs.first?.value else { return }
        for case .structure(let members) in entries {
            guard case .symbol(let symbol, _)? = members.first?.value, !file.hasMade(symbol) else { continue }
            let variable = file.declare(symbol, "union ibv_gid")
            let numbers = members.dropFirst().map { text($0.value) }
            guard numbers.count >= 2 else { continue }
            put(
                "\tanswer(\(number), \"ibv_query_gid\", ibv_query_gid(\(argument(0)), \(numbers[1]), \(numbers[0]), "
                    + "&\(variable)) ? -errno : 0, 0);")
        }
    }

    private mutating func event(_ file: inout CExport) {
        put("\tstruct pollfd what = { .fd = \(argument(0))->fd, .events = POLLIN };")
        put("\tstruct ibv_cq *cq;")
        put("\tvoid *context;")
        number(
            "result(poll(&what, 1, \(argument(1))))", &file,
            "if (got > 0 && !ibv_get_cq_event(\(argument(0)), &cq, &context))",
            "\tibv_ack_cq_events(cq, 1);")
    }

    /// Compares a number, after these lines.
    private mutating func number(_ text: String, _ file: inout CExport, _ after: String...) {
        put("\tlong got = \(text);")
        put("")
        for line in after { put("\t" + line) }
        answered("got", &file)
    }

    private func members(_ index: Int) -> [Operation.Member] {
        if case .structure(let members) = operation.arguments[index] { members } else { [] }
    }

    private mutating func attributes(_ declaration: String, _ index: Int) {
        put("\t\(declaration) = {")
        for line in initializers(members(index)) { put("\t\t" + line) }
        put("\t};")
    }

    private func initializers(_ members: [Operation.Member]) -> [String] {
        let route = ["dgid", "sgid_index", "flow_label", "hop_limit", "traffic_class"]
        return members.flatMap { member -> [String] in
            if case .structure(let path) = member.value {
                return [".\(member.name) = {"] + initializers(path).map { "\t" + $0 } + ["},"]
            }
            let name = route.contains(member.name) ? "grh.\(member.name)" : member.name
            let isEnumeration = ["qp_state", "cur_qp_state", "path_mtu", "path_mig_state"].contains(name)
            let cast =
                isEnumeration
                ? "(enum ibv_\(name == "path_mtu" ? "mtu" : name == "path_mig_state" ? "mig_state" : "qp_state"))" : ""
            if case .bytes(let bytes) = member.value { return [".\(name).raw = \(CText.bytes(bytes)),"] }
            return [".\(name) = \(cast)\(cast.isEmpty ? text(member.value) : "(\(text(member.value)))"),"]
        }
    }

    private mutating func work(_ kind: String) {
        guard case .list(let requests) = operation.arguments[1], !requests.isEmpty else { return }
        for (index, request) in requests.enumerated() {
            guard case .structure(let members) = request else { continue }
            put("\tstruct ibv_sge list_\(index)[] = {")
            for piece in pieces(members) { put("\t\t\(piece),") }
            put("\t};")
        }
        put("\tstruct ibv_\(kind)_wr wr[\(requests.count)] = {")
        for (index, request) in requests.enumerated() {
            guard case .structure(let members) = request else { continue }
            put("\t\t[\(index)] = {")
            put("\t\t\t" + fields(members).joined(separator: " "))
            let next = index + 1 < requests.count ? "&wr[\(index + 1)]" : "NULL"
            put(
                "\t\t\t.sg_list = list_\(index), .num_sge = \(pieces(members).isEmpty ? 0 : pieces(members).count), .next = \(next),"
            )
            put("\t\t},")
        }
        put("\t};")
        put("\tstruct ibv_\(kind)_wr *bad;")
        refusal("\(operation.signature.name)(\(argument(0)), wr, &bad)")
    }

    private func pieces(_ members: [Operation.Member]) -> [String] {
        guard case .list(let pieces)? = members.first(where: { $0.name == "sg_list" })?.value else { return [] }
        return pieces.compactMap { piece in
            guard case .structure(let members) = piece else { return nil }
            return "{ " + members.map { ".\($0.name) = \(text($0.value))" }.joined(separator: ", ") + " }"
        }
    }

    /// Members of a work request, with the place that unions give them.
    private func fields(_ members: [Operation.Member]) -> [String] {
        let names = Set(members.map(\.name))
        let union =
            names.contains("compare_add")
            ? "wr.atomic." : names.contains("ah") ? "wr.ud." : names.contains("mw") ? "bind_mw." : "wr.rdma."
        return members.compactMap { member in
            switch member.name {
            case "sg_list": return nil
            case "opcode": return ".opcode = (enum ibv_wr_opcode)(\(text(member.value))),"
            case "wr_id", "send_flags", "imm_data": return ".\(member.name) = \(text(member.value)),"
            case "mr", "addr", "length", "mw_access_flags":
                return ".\(union)bind_info.\(member.name) = \(text(member.value)),"
            default: return ".\(union)\(member.name) = \(text(member.value)),"
            }
        }
    }

    /// Whether the status of a completion shows a bug: the first with the wrong one, which it then judges.
    private mutating func decidedStatus(_ status: Operation.Value, at index: Int, _ all: [Operation.Value]) -> Bool {
        guard let decision, case .status(let wrong) = decision.wrong, case .number(wrong, _) = status else {
            return false
        }
        let isFirst = !all[..<index].contains { value in
            guard case .structure(let members) = value else { return false }
            if case .number(wrong, _)? = members.first(where: { $0.name == "status" })?.value { return true }
            return false
        }
        guard isFirst else { return false }
        let value = "(int)wc[\(index)].status"
        put(
            "\t\tdecide(\(number), \"the completion\", ibv_wc_status_str(wc[\(index)].status), "
                + "\(value) == \(wrong), \(decision.isRight(value)));")
        return true
    }

    private mutating func poll(_ file: CExport) {
        var wanted: [Operation.Value] = []
        if case .list(let list)? = operation.outputs.first?.value { wanted = list }
        put("\tstruct ibv_wc wc[\(max(1, wanted.count))];")
        put("\tint found = 0;")
        put("")
        put("\tfor (int i = 0; i < 20000 && found < \(wanted.count); i++) {")
        put("\t\tint got = ibv_poll_cq(\(argument(0)), \(wanted.count) - found, wc + found);")
        put("")
        put("\t\tif (got < 0)")
        put("\t\t\tbreak;")
        put("\t\tfound += got;")
        put("\t\tif (!got)")
        put("\t\t\tusleep(100);")
        put("\t}")
        put("\tequal(\(number), \"completions\", (unsigned)found, \(wanted.count));")
        for (index, value) in wanted.enumerated() {
            guard case .structure(let members) = value else { continue }
            put("\tif (found > \(index)) {")
            let status =
                members.first { $0.name == "status" }.map { decidedStatus($0.value, at: index, wanted) } ?? false
            // What nothing before it gave has no variable.
            for member in members
            where CStep.symbols(member.value).allSatisfy(file.hasMade) && !(status && member.name == "status") {
                put(
                    "\t\tequal(\(number), \(CText.quoted(member.name)), (unsigned long long)wc[\(index)].\(member.name), "
                        + "\(text(member.value)));")
            }
            put("\t}")
        }
    }
}
