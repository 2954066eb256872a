import ConnectX
import Glibc

/// What Sources/ConnectX says of its commands: Tests/Escapes/fuzz-guest lists the declarations, one a line.
struct Formats {
    /// A command: its number and lengths, and the fields of its input, those of contexts within it too.
    struct Command {
        let opcode: Int
        let name: String
        let input, output: Int
        var fields: [Field] = []
    }

    private(set) var commands: [Command] = []
    private var fields: [String: Field] = [:]
    /// In the order of the list, as a dictionary has none.
    private var names: [String] = []
    private var areas: [String: Int] = [:]

    /// The structures that areas of commands hold.
    private static let contexts = [
        "cq_context": "cqc", "eq_context_entry": "eqc", "srq_context_entry": "srqc", "memory_key_mkey_entry": "mkc",
        "qpc": "qpc", "ctx": "rmpc", "hca_vport_context": "hca_vport_context", "capability": "cmd_hca_cap",
        "register_data": "resource_dump", "page_fault_info": "mem_page_fault_info",
    ]

    /// nil where the list cannot be read, or lacks what is asked for.
    init?(_ path: String) {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, 512, file) != nil {
            let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let words = String(decoding: bytes, as: UTF8.self).split(separator: " ").map(String.init)
            switch words.first {
            case "command" where words.count == 5:
                commands.append(
                    Command(
                        opcode: number(words[1]), name: words[2], input: number(words[3]), output: number(words[4])))
            case "field" where words.count == 4:
                fields[words[1]] = Field("of the list", bit: number(words[2]), width: number(words[3]))
                names.append(words[1])
            case "area" where words.count == 4: areas[words[1]] = number(words[2])
            default: return nil
            }
        }
        commands.sort { $0.opcode < $1.opcode }
        for index in commands.indices { commands[index].fields = inputFields(commands[index].name) }
        guard commands.count > 60, commands.count(where: { $0.fields.count > 2 }) > 30 else { return nil }
    }

    private func number(_ text: String) -> Int {
        (text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)) ?? 0
    }

    /// A field by its structure's and its own name, in bytes that begin with that structure or have it from `offset` on.
    func field(_ name: String, at offset: Int = 0) -> Field {
        guard let field = fields[name] else { fatalError("the list has no \(name)") }
        return field.at(offset)
    }

    func area(_ name: String) -> Int {
        guard let area = areas[name] else { fatalError("the list has no \(name)") }
        return area
    }

    func command(_ opcode: Int) -> Command {
        guard let command = commands.first(where: { $0.opcode == opcode }) else { fatalError("no command \(opcode)") }
        return command
    }

    /// Declarations stand once for commands whose inputs are alike.
    private func inputFields(_ name: String) -> [Field] {
        var structure = name.lowercased() + "_in"
        if name.hasSuffix("_QP"), name.contains("2") || name.hasPrefix("SQD") { structure = "rst2init_qp_in" }
        if name == "ACCESS_REG" { structure = "access_register_in" }
        var all = [Field("op_mod", bit: 0x30, width: 16), Field("number", bit: 0x48, width: 24)]
        all += names.filter { $0.hasPrefix(structure + ".") }.compactMap { fields[$0] }
        for (area, offset) in areas.sorted(by: { $0.key < $1.key }) where area.hasPrefix(structure + ".") {
            guard var context = Formats.contexts[String(area.dropFirst(structure.count + 1))] else { continue }
            if context == "srqc", structure.contains("xrc") { context = "xrc_srqc" }
            all += names.filter { $0.hasPrefix(context + ".") }.compactMap { fields[$0]?.at(offset) }
            guard context == "qpc" else { continue }
            // The primary path, which lies within.
            all += names.filter { $0.hasPrefix("ads.") }.compactMap { fields[$0]?.at(offset + 0x18) }
        }
        return all
    }
}
