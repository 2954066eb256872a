import LuaKit

/// Finds runs of a batch by a name that need not be whole.
public enum RunNames {
    /// What a name stands for.
    public enum Found: Equatable {
        /// These runs: one, or the cells and repetitions of one file.
        case runs([String])
        /// Runs of several files fit; the files.
        case several([String])
        /// No run fits; ids that are alike.
        case none(near: [String])
    }

    /// `name` is an id; an id without its repetition; the end of a path, with or without ".lua"; or a part of an id.
    /// The first of these that fits any run counts. `runs`: ids, each with its file.
    public static func find(_ name: String, in runs: [(id: String, file: String)]) -> Found {
        let rules: [((id: String, file: String)) -> Bool] = [
            { $0.id == name },
            { RunRecord.group(of: $0.id, in: $0.file) == name },
            {
                $0.file == name || ends($0.file, with: name) || ends($0.file, with: name + ".lua")
                    || ends($0.id, with: name)
            },
            { !name.isEmpty && $0.id.contains(name) },
        ]
        for rule in rules {
            let fitting = runs.filter(rule)
            guard !fitting.isEmpty else { continue }
            let files = Set(fitting.map(\.file)).sorted(by: NaturalOrder.precedes)
            return files.count == 1 ? .runs(fitting.map(\.id)) : .several(files)
        }
        var left = Array(Set(runs.map(\.file)))
        var near: [String] = []
        // Of a path, the file's own name is compared too.
        func short(_ file: String) -> String { file.split(separator: "/").last.map(String.init) ?? file }
        while near.count < 3, let one = nearest(to: name, in: left + left.map(short)) {
            guard let file = left.first(where: { $0 == one || short($0) == one }) else { break }
            near.append(file)
            left.removeAll { $0 == file }
        }
        return .none(near: near)
    }

    /// Whether a path ends with whole names: "b/c.lua" is an end of "a/b/c.lua".
    private static func ends(_ path: String, with end: String) -> Bool { path == end || path.hasSuffix("/" + end) }
}
