import ArgumentParser
import Bindings
import LuaKit
import Runner

/// What help can explain beside commands and scenarios.
enum HelpTopics {
    /// The command that words name ("device", "several"); nil where the first is none. Throws where a later word is none.
    static func command(_ words: [String]) throws(ValidationError) -> (any ParsableCommand.Type)? {
        var found: any ParsableCommand.Type = Peerlab.self
        for (index, word) in words.enumerated() {
            let known = found.configuration.subcommands
            guard let next = known.first(where: { $0.configuration.commandName == word }) else {
                if index == 0 { return nil }
                let names = known.compactMap { $0.configuration.commandName }
                let list = names.isEmpty ? "it has none" : "it has \(names.joined(separator: ", "))"
                throw ValidationError("\(words[..<index].joined(separator: " ")) has no command '\(word)': \(list)")
            }
            found = next
        }
        return found
    }

    /// A module's lines, those of all that has this name ("vfio.open", "device:reset", "reset"), or a bench's.
    static func lines(_ topic: String, _ library: Library) -> [String]? {
        if let lines = ScenarioReference.lines(topic, library) { return lines }
        if let module = Bindings.modules.first(where: { $0.name == topic }) { return Reference.lines(module) }
        let own = luaModules(library)
        if let module = own.first(where: { $0.name == topic }) { return module.lines }
        let all =
            (Bindings.modules.flatMap(Reference.entries) + own.flatMap(\.entries)
            + ScenarioReference.entries(library)).flatMap(\.all)
        // What scripts call the running case.
        let mark = ["t:", "t.", "case:"].first(where: topic.hasPrefix)
        let name = mark.map { "case." + topic.dropFirst($0.count) } ?? topic
        var found = all.filter { $0.name == name }
        if found.isEmpty { found = all.filter { lastPart($0.name) == name } }
        guard found.isEmpty else { return found.flatMap(\.text) }
        let bench = ShippedBench.all(library).first { topic == "sim:\($0.name)" || topic == $0.name }
        if let bench { return ["--bench sim:\(bench.name): \(bench.about)"] }
        return ErrorReference.isErrno(topic) ? ErrorReference.lines(topic) : nil
    }

    /// The modules of the stdlib, by name.
    static func luaModules(_ library: Library) -> [LuaFileReference] {
        var found: [String: LuaFileReference] = [:]
        for folder in library.folders.reversed() {
            for part in ["", "engines/"] {
                for file in names(inFolder: "\(folder)/\(part)") where file.hasSuffix(".lua") {
                    let name = part.replacing("/", with: ".") + file.dropLast(4)
                    guard let text = try? InputFile.text(of: "\(folder)/\(part)\(file)", limit: InputFile.Limit.script)
                    else { continue }
                    found[name] = LuaFileReference(name, text)
                }
            }
        }
        return found.values.sorted { $0.name < $1.name }
    }

    /// `peerlab help modules`
    static func modules(_ library: Library) -> [String] {
        func list(_ modules: [(name: String, doc: String)]) -> [String] {
            let width = modules.map(\.name.count).max() ?? 0
            return modules.map { "  \($0.name)" + String(repeating: " ", count: width - $0.name.count) + "  \($0.doc)" }
        }
        let own = luaModules(library).map { (name: $0.name, doc: sentence($0.doc.first ?? "")) }
        return ["of the program:"] + list(Bindings.modules.map { (name: $0.name, doc: sentence($0.doc)) }) + [
            "", "of the stdlib:",
        ]
            + list(own) + ["", "`peerlab help MODULE` shows one, `peerlab help MODULE.NAME` a function or field."]
    }

    /// The first sentence of a text.
    private static func sentence(_ text: String) -> String {
        text.firstRange(of: ". ").map { text[..<$0.lowerBound] + "." } ?? text
    }

    /// `peerlab help benches`
    static func benches(_ library: Library) -> [String] {
        let all = ShippedBench.all(library), readme = ShippedFolders.first("stdlib").map(ShippedFolders.fromHere)
        let width = all.map(\.name.count).max() ?? 0
        return [
            "--bench sim:NAME runs on a model of one of these machines; without a name it is standard. Any other machine",
            "may be described in a file: --bench sim:FILE.lua (\(readme ?? "stdlib")/README.md has the keys).", "",
        ]
            + all.map {
                "  \($0.name)" + String(repeating: " ", count: width - $0.name.count) + "  \($0.about)"
            } + [""] + ShippedBench.labNames(library)
    }

    /// The nearest of all topics, of which the last part counts alone too: "vfio.open" is near "opne".
    static func nearest(to word: String) -> String? {
        var topics: [String: String] = [:]
        for topic in all {
            topics[topic] = topic
            if let last = lastPart(topic), topics[last] == nil { topics[last] = topic }
        }
        return LuaKit.nearest(to: word, in: topics.keys.sorted()).flatMap { topics[$0] }
    }

    /// The module or class whose name begins a word ("sys" of "sys.none"); nil where there is none.
    static func module(of word: String) -> String? {
        guard let end = word.lastIndex(where: { ".:".contains($0) }) else { return nil }
        let name = String(word[..<end])
        return all.contains(name) ? name : nil
    }

    private static func lastPart(_ name: String) -> String? { name.split { ".:".contains($0) }.last.map(String.init) }

    /// Every word that help takes, for suggestions and completion.
    static var all: [String] {
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        let own = luaModules(library)
        let commands = Peerlab.configuration.subcommands.filter { $0.configuration.shouldDisplay }
        let entries =
            Bindings.modules.flatMap(Reference.entries) + own.flatMap(\.entries) + ScenarioReference.entries(library)
        var words = commands.compactMap { $0.configuration.commandName } + ["benches", "errors", "modules"]
        words += ScenarioReference.topics.keys
        words += ShippedScenarios.all.map(\.name)
        words += Bindings.modules.map(\.name) + own.map(\.name)
        return words + entries.flatMap(\.all).map(\.name)
    }
}
