import Kernel

/// Calls of libibverbs in C.
extension CStep {
    /// False where it is no such call, or one that libraries before rdma-core 59 lack.
    mutating func verb(_ file: inout CExport) -> Bool {
        let function = operation.signature.name
        guard function.hasPrefix("ibv_"), !["ibv_reg_mr_ex", "ibv_alloc_dmah", "ibv_dealloc_dmah"].contains(function)
        else { return false }
        file.needVerbs()
        var inner = CStep(operation, line: line)
        guard inner.body(&file) else { return false }
        let objects = zip(operation.signature.parameters, operation.arguments).compactMap { parameter, value in
            if case .handle = parameter.format, case .symbol(let name, _) = value {
                CText.identifier(name)
            } else {
                nil
            }
        }
        if objects.isEmpty {
            put("{")
        } else {
            put("if (\(objects.joined(separator: " && "))) {")
        }
        for line in inner.lines { put(line) }
        put(objects.isEmpty ? "}" : "} else {")
        if !objects.isEmpty {
            put("\tlacking(\(line), \(CText.quoted(objects.joined(separator: ", "))));")
            put("}")
        }
        return true
    }

    private mutating func body(_ file: inout CExport) -> Bool {
        switch operation.signature.name {
        case "ibv_get_device_list": deviceList(&file)
        case "ibv_open_device": make("struct ibv_context *", "ibv_open_device(\(argument(0)))", &file)
        case "ibv_alloc_pd": make("struct ibv_pd *", "ibv_alloc_pd(\(argument(0)))", &file)
        case "ibv_reg_mr":
            let text = "ibv_reg_mr(\(argument(0)), (void *)(\(argument(1))), \(argument(2)), \(argument(3)))"
            make("struct ibv_mr *", text, &file)
        case "ibv_reg_dmabuf_mr": make("struct ibv_mr *", "ibv_reg_dmabuf_mr(\(all))", &file)
        case "ibv_create_comp_channel":
            make("struct ibv_comp_channel *", "ibv_create_comp_channel(\(argument(0)))", &file)
        case "ibv_create_cq":
            let text = "ibv_create_cq(\(argument(0)), \(argument(1)), NULL, \(argument(2)), 0)"
            make("struct ibv_cq *", text, &file)
        case "ibv_query_device":
            put("\tstruct ibv_device_attr attr;")
            refusal("ibv_query_device(\(argument(0)), &attr)")
        case "ibv_query_port":
            put("\tstruct ibv_port_attr attr;")
            refusal("ibv_query_port(\(argument(0)), \(argument(1)), &attr)")
        case "ibv_close_device", "ibv_dealloc_pd", "ibv_dereg_mr", "ibv_destroy_comp_channel", "ibv_destroy_cq",
            "ibv_destroy_qp", "ibv_destroy_ah", "ibv_destroy_srq", "ibv_req_notify_cq":
            refusal("\(operation.signature.name)(\(all))")
        case "ibv_modify_cq":
            put("\tstruct ibv_modify_cq_attr attr = {")
            put("\t\t.attr_mask = IBV_CQ_ATTR_MODERATE, .moderate = { \(argument(1)), \(argument(2)) },")
            put("\t};")
            refusal("ibv_modify_cq(\(argument(0)), &attr)")
        case "ibv_query_gid_table": gids(&file)
        case "ibv_get_cq_event": event()
        default: return queue(&file)
        }
        return true
    }

    private mutating func queue(_ file: inout CExport) -> Bool {
        switch operation.signature.name {
        case "ibv_create_qp": createQueuePair(&file)
        case "ibv_modify_qp":
            attributes("struct ibv_qp_attr attr", 1)
            refusal("ibv_modify_qp(\(argument(0)), &attr, \(argument(2)))")
        case "ibv_create_ah":
            attributes("struct ibv_ah_attr attr", 1)
            make("struct ibv_ah *", "ibv_create_ah(\(argument(0)), &attr)", &file)
        case "ibv_create_srq":
            put("\tstruct ibv_srq_init_attr attr = { .attr = { \(argument(1)), \(argument(2)), \(argument(3)) } };")
            make("struct ibv_srq *", "ibv_create_srq(\(argument(0)), &attr)", &file)
        case "ibv_modify_srq":
            put("\tstruct ibv_srq_attr attr = { .srq_limit = \(argument(1)) };")
            refusal("ibv_modify_srq(\(argument(0)), &attr, IBV_SRQ_LIMIT)")
        case "ibv_post_send": work("send", "ibv_post_send")
        case "ibv_post_recv": work("recv", "ibv_post_recv")
        case "ibv_post_srq_recv": work("recv", "ibv_post_srq_recv")
        case "ibv_poll_cq": poll()
        default: return false
        }
        return true
    }

    private var all: String { operation.arguments.indices.map(argument).joined(separator: ", ") }

    private var wanted: String { operation.errno?.name ?? "0" }

    /// Of a call that gives an object.
    private mutating func make(_ type: String, _ text: String, _ file: inout CExport) {
        put("\t\(type)got = \(text);")
        put("")
        put("\trefused(\(line), \(CText.quoted(operation.signature.name)), got ? 0 : -errno, \(wanted));")
        guard case .symbol(let made, _) = operation.result else { return }
        put("\t\(file.declare(made, type)) = got;")
        for member in operation.outputs {
            guard case .symbol(let name, _) = member.value, ["lkey", "rkey", "qp_num"].contains(member.name) else {
                continue
            }
            put("\tif (got)")
            put("\t\t\(file.declare(name, "uint32_t")) = got->\(member.name);")
        }
    }

    /// Of a call that gives an errno, or -1 and one.
    private mutating func refusal(_ text: String) {
        put("\tint got = \(text);")
        put("")
        put(
            "\trefused(\(line), \(CText.quoted(operation.signature.name)), got > 0 ? -got : got < 0 ? -errno : 0, \(wanted));"
        )
    }

    private mutating func deviceList(_ file: inout CExport) {
        put("\tint count = 0;")
        put("\tstruct ibv_device **list = ibv_get_device_list(&count);")
        put("")
        put("\trefused(\(line), \"ibv_get_device_list\", list ? 0 : -errno, \(wanted));")
        guard case .list(let devices)? = operation.outputs.first?.value else { return }
        for case .structure(let members) in devices {
            guard case .text(let name)? = members.first?.value, case .symbol(let symbol, _)? = members.last?.value
            else { continue }
            let variable = file.declare(symbol, "struct ibv_device *")
            put("\tfor (int i = 0; list && i < count; i++)")
            put("\t\tif (!strcmp(ibv_get_device_name(list[i]), \(CText.quoted(name))))")
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
                "\trefused(\(line), \"ibv_query_gid\", ibv_query_gid(\(argument(0)), \(numbers[1]), \(numbers[0]), "
                    + "&\(variable)) ? -errno : 0, 0);")
        }
    }

    private mutating func event() {
        put("\tstruct pollfd what = { .fd = \(argument(0))->fd, .events = POLLIN };")
        put("\tstruct ibv_cq *cq;")
        put("\tvoid *context;")
        put("\tlong got = result(poll(&what, 1, \(argument(1))));")
        put("")
        put("\tif (got > 0 && !ibv_get_cq_event(\(argument(0)), &cq, &context))")
        put("\t\tibv_ack_cq_events(cq, 1);")
        var inner = CStep(operation, line: line)
        inner.compareResult("got")
        for line in inner.lines { put(line) }
    }

    private mutating func createQueuePair(_ file: inout CExport) {
        put("\tstruct ibv_qp_init_attr attr = {")
        put("\t\t.qp_type = (enum ibv_qp_type)(\(argument(1))), .send_cq = \(argument(2)), .recv_cq = \(argument(3)),")
        put("\t\t.srq = \(argument(4)), .sq_sig_all = \(argument(5)),")
        put("\t\t.cap = { \(operation.arguments.indices.dropFirst(6).map(argument).joined(separator: ", ")) },")
        put("\t};")
        make("struct ibv_qp *", "ibv_create_qp(\(argument(0)), &attr)", &file)
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

    private mutating func work(_ kind: String, _ function: String) {
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
        refusal("\(function)(\(argument(0)), wr, &bad)")
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
        let union = names.contains("compare_add") ? "wr.atomic." : names.contains("ah") ? "wr.ud." : "wr.rdma."
        return members.compactMap { member in
            switch member.name {
            case "sg_list": return nil
            case "opcode": return ".opcode = (enum ibv_wr_opcode)(\(text(member.value))),"
            case "wr_id", "send_flags", "imm_data": return ".\(member.name) = \(text(member.value)),"
            default: return ".\(union)\(member.name) = \(text(member.value)),"
            }
        }
    }

    private mutating func poll() {
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
        put("\tequal(\(line), \"completions\", (unsigned)found, \(wanted.count));")
        for (index, value) in wanted.enumerated() {
            guard case .structure(let members) = value else { continue }
            put("\tif (found > \(index)) {")
            for member in members {
                put(
                    "\t\tequal(\(line), \(CText.quoted(member.name)), (unsigned long long)wc[\(index)].\(member.name), "
                        + "\(text(member.value)));")
            }
            put("\t}")
        }
    }
}
