import ArgumentParser
import Glibc
import LuaKit
import Runner

/// Scenarios that come with this program, which commands take by name.
enum ShippedScenarios {
    /// What is in a folder, in words of `peerlab list`; the raw value is the folder below scripts/.
    enum Kind: String, CaseIterable {
        case scenarios, reproducers
    }

    /// A file with a scenario.
    struct File {
        let kind: Kind
        /// Its name without .lua, which is the scenario's.
        let name: String
        let path: String
    }

    /// All, sorted by kind and name. A file that says nothing of cases is a module of the others.
    static var all: [File] {
        Kind.allCases.flatMap { kind -> [File] in
            guard let folder = folder(kind) else { return [] }
            return names(inFolder: folder).filter { $0.hasSuffix(".lua") }.sorted().map {
                File(kind: kind, name: String($0.dropLast(4)), path: "\(folder)/\($0)")
            }.filter { file in
                let text = try? InputFile.text(of: file.path, limit: InputFile.Limit.script)
                return text?.contains("cases") == true
            }
        }
    }

    /// The folder of a kind, from the working folder where it is below that: the names of a batch's runs have it.
    private static func folder(_ kind: Kind) -> String? {
        ShippedFolders.first("scripts/\(kind.rawValue)").map(ShippedFolders.fromHere)
    }

    /// What a word of the command line means: a file that is there, a scenario that comes with peerlab, or, where
    /// `takesKinds`, all of one kind. A word that is none of them, and no path, is refused with suggestions; paths are
    /// left to who opens them.
    static func path(_ word: String, takesKinds: Bool = false) throws(ValidationError) -> String {
        guard isName(word), access(word, F_OK) != 0 else { return word }
        if takesKinds, let folder = Kind(rawValue: word).flatMap(folder) { return folder }
        let files = all
        if let file = files.first(where: { $0.name == word }) { return file.path }
        guard Kind(rawValue: word) == nil else {
            throw ValidationError(
                "'\(word)' are many: `peerlab batch \(word)` runs them all, `peerlab list \(word)` names them")
        }
        let near = nearest(to: word, in: files.map(\.name)).map { "; did you mean '\($0)'?" } ?? ""
        throw ValidationError(
            "no file '\(word)' is here, and no scenario of that name comes with peerlab\(near) (peerlab list)")
    }

    /// The same for several words.
    static func paths(_ words: [String], takesKinds: Bool = false) throws(ValidationError) -> [String] {
        var paths: [String] = []
        for word in words { paths.append(try path(word, takesKinds: takesKinds)) }
        return paths
    }

    /// Whether a word is the name of one.
    static func isShipped(_ word: String) -> Bool { isName(word) && all.contains { $0.name == word } }

    /// Whether a word may be a shipped scenario's name: paths, files with an extension and patterns are none.
    static func isName(_ word: String) -> Bool {
        !word.isEmpty
            && word.utf8.allSatisfy { isalnum(Int32($0)) != 0 && $0 < 0x80 || $0 == 0x2d || $0 == 0x5f }
    }
}
