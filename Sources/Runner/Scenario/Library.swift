import Glibc
import Kernel
public import LuaKit
import Synchronization

/// Where `require` finds Lua files: the script's own folder first, then the stdlib.
public struct Library: Sendable {
    private let stdlib: [String]
    /// The folder that a bundle was unpacked to: its files are called as they are in the bundle.
    public var unpacked: String?

    /// What a script's file is called.
    public func shown(_ path: String) -> String {
        guard let unpacked, path.hasPrefix(unpacked + "/") else { return path }
        return String(path.dropFirst(unpacked.utf8.count + 1))
    }

    /// `stdlib` are the folders to search, in order, after the script's own.
    public init(stdlib: [String]) { self.stdlib = stdlib }

    /// The text of module `name` ("engines.edu" is engines/edu.lua).
    func find(
        _ name: String, from folder: String, loaded: LoadedModules? = nil
    ) throws(ErrorValue) -> LuaState.ModuleSource {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        // Nothing but names: a module never leaves the folders it is looked for in.
        guard parts.allSatisfy(ModuleFile.isName) else {
            throw ErrorValue(kind: .script, "require: '\(name)' is no module name")
        }
        let file = parts.joined(separator: "/") + ".lua"
        if let text = try Library.own(file, in: folder, name) {
            loaded?.add(file)
            return LuaState.ModuleSource(text: text, path: "@" + shown("\(folder)/\(file)"))
        }
        for place in stdlib {
            guard let text = try Library.read(file, in: place, name) else { continue }
            return LuaState.ModuleSource(text: text, path: "=stdlib/\(file)")
        }
        var error = ErrorValue(
            kind: .script,
            "require: no module '\(name)': no \(file) in \(([folder] + stdlib).joined(separator: ", "))")
        error.absentModule = (name, ([folder] + stdlib).flatMap { Library.modules(in: $0, below: parts.dropLast()) })
        throw error
    }

    /// Names of the Lua files beside one that was looked for.
    private static func modules(in folder: String, below parts: ArraySlice<Substring>) -> [String] {
        let files = names(inFolder: ([folder] + parts.map(String.init)).joined(separator: "/"))
        let names = files.filter { $0.hasSuffix(".lua") && ModuleFile.isName($0.dropLast(4)) }.prefix(1000)
            .map { (parts + [$0.dropLast(4)]).joined(separator: ".") }
        return names.sorted()
    }

    /// A file of the stdlib ("benches/standard.lua").
    public func stdlibFile(_ path: String) -> String? {
        stdlib.map { "\($0)/\(path)" }.first { access($0, R_OK) == 0 }
    }

    /// The folders that modules are read from beside a script's own.
    public var folders: [String] { stdlib }

    /// A module beside the script; nil where there is none.
    private static func own(_ file: String, in folder: String, _ name: String) throws(ErrorValue) -> [UInt8]? {
        do throws(Failure) { return try ModuleFile.bytes(of: file, in: folder) } catch {
            guard error.errno == .tooManyLinks else { throw ErrorValue(kind: .script, "require: \(error.message)") }
            throw ErrorValue(
                kind: .script,
                "require: \(folder)/\(file), module '\(name)', is a link, or lies behind one; name the folder that it is in "
                    + "with --lib")
        }
    }

    /// A module of a folder that the user named; nil where it is not there. A link that leads out of the folder is refused.
    private static func read(_ file: String, in folder: String, _ name: String) throws(ErrorValue) -> [UInt8]? {
        guard let place = resolved("\(folder)/\(file)") else { return nil }
        guard let root = resolved(folder), place.hasPrefix(root == "/" ? root : root + "/") else {
            throw ErrorValue(
                kind: .script,
                "require: \(folder)/\(file), module '\(name)', is a link out of its folder; name the folder that it is in "
                    + "with --lib")
        }
        return try? InputFile.bytes(of: place, limit: InputFile.Limit.script)
    }

    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The same for a file that the user named.
    static func named(_ path: String) throws(ErrorValue) -> [UInt8] {
        do throws(Failure) {
            return try InputFile.bytes(of: path, limit: InputFile.Limit.script, mayBeStream: true)
        } catch {
            let isRefused = ["EINVAL", "EISDIR", "EFBIG"].contains(error.errno.name)
            let reason = isRefused ? error.hint.map { ": \($0)" } ?? "" : ""
            throw ErrorValue(
                kind: .usage, "cannot read \(path): \(error.errno.message) (\(error.errno.name))\(reason)")
        }
    }
}

extension Library {
    /// What a Lua file that declares data returns; it can require other files, and nothing of the bench.
    public func table(of path: String) throws(ErrorValue) -> LuaValue {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return try table(text: try Library.named(path), name: "@" + path, from: folder)
    }

    /// What a module of the stdlib returns, a function, when it is called with a word: letters, digits, '-', '_' and '.' alone.
    public func table(of module: String, for word: String) throws(ErrorValue) -> LuaValue {
        let isPlain = { (text: String) in
            text.utf8.allSatisfy { isalnum(Int32($0)) != 0 && $0 < 0x80 || "-_.".utf8.contains($0) }
        }
        guard isPlain(module), isPlain(word) else { throw ErrorValue(kind: .usage, "'\(word)' is no plain word") }
        // With no folder of a script's: only the stdlib has it.
        return try table(
            text: Array("return require \"\(module)\"(\"\(word)\")".utf8), name: "=\(word)", from: "/dev/null")
    }

    private func table(text: [UInt8], name: String, from folder: String) throws(ErrorValue) -> LuaValue {
        let state = LuaState(
            context: NoContext(), find: { name throws(ErrorValue) in try find(name, from: folder) }, print: { _ in })
        state.limitMemory(Limits.defaultMemory)
        guard case .table(let fields, _) = try state.run(text, name: name) else { return .none }
        return .table(fields)
    }
}

/// The modules from its own folder that a script has loaded, in all of its roles.
public final class LoadedModules: Sendable {
    private let names = Mutex<Set<String>>([])

    /// None yet.
    public init() {}

    func add(_ name: String) { names.withLock { _ = $0.insert(name) } }

    /// "engines/edu.lua", sorted.
    var sorted: [String] { names.withLock { $0.sorted() } }
}

/// A file of data calls nothing of ours.
private final class NoContext {}
