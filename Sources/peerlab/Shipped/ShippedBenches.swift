import LuaKit
import Results
import Runner

/// The simulated benches that come with this program.
struct ShippedBench {
    /// What is behind "sim:".
    let name: String
    /// What it is, in a sentence or two: the comment at the file's top.
    let about: String
    let path: String

    /// All, sorted by name. A file of the folder that returns no table helps others to make theirs.
    static func all(_ library: Library) -> [ShippedBench] {
        var benches: [String: ShippedBench] = [:]
        for folder in library.folders.reversed() {
            for file in names(inFolder: "\(folder)/benches") where file.hasSuffix(".lua") {
                let path = "\(folder)/benches/\(file)", name = String(file.dropLast(4))
                guard case .table? = try? library.table(of: path),
                    let text = try? InputFile.text(of: path, limit: InputFile.Limit.script)
                else { continue }
                let about = LuaFileReference.comment(atTopOf: text).joined(separator: " ")
                benches[name] = ShippedBench(name: name, about: about, path: path)
            }
        }
        return benches.values.sorted { NaturalOrder.precedes($0.name, $1.name) }
    }

    /// Whether a word is the name of one.
    static func isOne(_ word: String, _ library: Library) -> Bool { all(library).contains { $0.name == word } }

    /// How names of other labs are composed, a line each.
    static func labNames(_ library: Library) -> [String] {
        guard let path = library.stdlibFile("benches/lab_machine.lua"),
            let text = try? InputFile.text(of: path, limit: InputFile.Limit.script)
        else { return [] }
        return LuaFileReference.comment(atTopOf: text)
    }

    /// Why there is no bench of a name, and what there is.
    static func unknown(_ name: String, _ library: Library) -> ErrorValue {
        let known = all(library).map(\.name)
        let near = nearest(to: name, in: known).map { "; did you mean 'sim:\($0)'?" } ?? "."
        return ErrorValue(
            kind: .usage,
            "no bench 'sim:\(name)'\(near) There are \(known.joined(separator: ", ")), and lab-... for other labs "
                + "(peerlab help benches); a file is named with its .lua")
    }
}
