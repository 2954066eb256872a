import Bindings
import Runner

/// What a scenario's table may have, from stdlib/meta/scenario.lua, which editors read too; a test compares that file with
/// the program.
enum ScenarioReference {
    /// What each topic explains, by the name in that file.
    static let topics = [
        "scenario": "scenario", "options": "scenario.option", "needs": "scenario.need", "effects": "scenario.effect",
    ]

    /// The lines of a topic; nil for other words.
    static func lines(_ topic: String, _ library: Library) -> [String]? {
        let all = entries(library)
        guard let name = topics[topic], let entry = all.first(where: { $0.name == name }) else { return nil }
        let more = topics.keys.filter { $0 != topic }.sorted().map { "`peerlab help \($0)`" }.joined(separator: ", ")
        let own = Array(entry.text.drop(while: \.isEmpty))
        guard topic == "scenario" else { return own + ["", "See also \(more)."] }
        let parts = all.filter { $0.name != name && !topics.values.contains($0.name) }
        let last = "`peerlab help case` for what a case's t offers. `peerlab init` makes a first scenario."
        return own + parts.flatMap { $0.members.isEmpty ? [""] + $0.text : $0.text } + [
            "", "See also \(more); \(last)",
        ]
    }

    /// Its classes with their fields, and its aliases.
    static func entries(_ library: Library) -> [ReferenceEntry] {
        guard let path = library.stdlibFile("meta/scenario.lua"),
            let text = try? InputFile.text(of: path, limit: InputFile.Limit.script)
        else { return [] }
        var found: [ReferenceEntry] = [], comment: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if let rest = cut("---@field ", line), let last = found.last {
                let members = last.members + [field(rest, of: last.name)]
                found[found.count - 1] = ReferenceEntry(last.name, last.lines, members)
            } else if let rest = cut("---| ", line), let last = found.last {
                found[found.count - 1] = ReferenceEntry(last.name, last.lines + ["    " + choice(rest)])
            } else if let rest = cut("---@class ", line) ?? cut("---@alias ", line) {
                let (name, form) = divided(rest)
                let head = "\(name): \(comment.joined(separator: " "))"
                found.append(ReferenceEntry(name, form.isEmpty ? [head] : [head, "    \(form)"]))
            }
            comment = line.hasPrefix("---") && !line.hasPrefix("---@") ? comment + [String(line.dropFirst(3))] : []
        }
        return found
    }

    private static func cut(_ mark: String, _ line: Substring) -> Substring? {
        line.hasPrefix(mark) ? line.dropFirst(mark.count) : nil
    }

    /// "name? string its name": names of optional ones are shown in brackets, as optional arguments are.
    private static func field(_ text: Substring, of owner: String) -> ReferenceEntry {
        let (word, rest) = divided(text)
        let (type, doc) = divided(rest[...])
        let name = word.hasSuffix("?") ? String(word.dropLast()) : word
        return ReferenceEntry("\(owner).\(name)", ["    \(word == name ? name : "[\(name)]"): \(type), \(doc)"])
    }

    /// "\"vfio\" # what it means"
    private static func choice(_ text: Substring) -> String {
        let (name, doc) = divided(text)
        return "\(name.filter { $0 != "\"" }): \(doc.drop { $0 == "#" || $0 == " " })"
    }

    /// Text before and behind the first blank that is in no brackets.
    private static func divided(_ text: Substring) -> (String, String) {
        var depth = 0
        for index in text.indices {
            switch text[index] {
            case "(", "<", "[": depth += 1
            case ")", ">", "]": depth -= 1
            case " " where depth == 0: return (String(text[..<index]), String(text[text.index(after: index)...]))
            default: break
            }
        }
        return (String(text), "")
    }
}
