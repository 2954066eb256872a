import Bindings
import Glibc
import Kernel
public import LuaKit
import Synchronization

/// Where `require` finds Lua files: the script's own folder first, then the stdlib.
public struct Library: Sendable {
    private let stdlib: [String]
    /// The folder to which a bundle was unpacked; messages name its files as in the bundle.
    public var unpacked: String?

    /// The name of a file in messages.
    public func shown(_ path: String) -> String {
        guard let unpacked, path.hasPrefix(unpacked + "/") else { return path }
        return String(path.dropFirst(unpacked.utf8.count + 1))
    }

    /// `stdlib`: folders to search after the script's own, in order.
    public init(stdlib: [String]) { self.stdlib = stdlib }

    /// The text of module `name` ("engines.edu" is engines/edu.lua), for a script in `folder`. `loaded` gets its name
    /// where it is of that folder.
    public func find(
        _ name: String, from folder: String, loaded: LoadedModules? = nil
    ) throws(ErrorValue) -> LuaState.ModuleSource {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        // Only plain names, so that no module lies outside the searched folders.
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

    /// Names of the Lua files in the folder of a module that was not found.
    private static func modules(in folder: String, below parts: ArraySlice<Substring>) -> [String] {
        let files = names(inFolder: ([folder] + parts.map(String.init)).joined(separator: "/"))
        let names = files.filter { $0.hasSuffix(".lua") && ModuleFile.isName($0.dropLast(4)) }.prefix(1000)
            .map { (parts + [$0.dropLast(4)]).joined(separator: ".") }
        return names.sorted()
    }

    /// The path of a file of the stdlib ("benches/standard.lua").
    public func stdlibFile(_ path: String) -> String? {
        stdlib.map { "\($0)/\(path)" }.first { access($0, R_OK) == 0 }
    }

    /// Folders from which modules are read beside a script's own.
    public var folders: [String] { stdlib }

    /// Reads a module beside the script; nil where there is none.
    private static func own(_ file: String, in folder: String, _ name: String) throws(ErrorValue) -> [UInt8]? {
        do throws(Failure) { return try ModuleFile.bytes(of: file, in: folder) } catch {
            guard error.errno == .tooManyLinks else { throw ErrorValue(kind: .script, "require: \(error.message)") }
            throw ErrorValue(
                kind: .script,
                "require: \(folder)/\(file), module '\(name)', is a link, or lies behind one; name the folder that it is in "
                    + "with --lib")
        }
    }

    /// Reads a module in a folder that the user named; nil where there is none. A link that leads out of the folder is
    /// refused.
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

    /// Reads a file that the user named.
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
    /// The table that a Lua data file returns. The file can require other files, but not the bench's modules.
    public func table(of path: String) throws(ErrorValue) -> LuaValue {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return try table(text: try Library.named(path), name: "@" + path, from: folder)
    }

    /// Calls the function that a stdlib module returns, with a word of letters, digits, '-', '_' and '.', and returns
    /// its table.
    public func table(of module: String, for word: String) throws(ErrorValue) -> LuaValue {
        let isPlain = { (text: String) in
            text.utf8.allSatisfy { isalnum(Int32($0)) != 0 && $0 < 0x80 || "-_.".utf8.contains($0) }
        }
        guard isPlain(module), isPlain(word) else { throw ErrorValue(kind: .usage, "'\(word)' is no plain word") }
        // /dev/null as the script's folder: only the stdlib is searched.
        return try table(
            text: Array("return require \"\(module)\"(\"\(word)\")".utf8), name: "=\(word)", from: "/dev/null")
    }

    /// The options that a function of a stdlib module makes: the table that it returns without an argument. nil where it
    /// does not add what it is given to them, or makes no table.
    public func options(madeBy function: String, of module: String) throws(ErrorValue) -> [String: LuaValue]? {
        guard function.utf8.allSatisfy({ isalnum(Int32($0)) != 0 && $0 < 0x80 || $0 == 0x5f }) else { return nil }
        let given = "given"
        let text = """
            local make = require("\(module)").\(function)
            return { own = make(), more = make { \(given) = true } }
            """
        let state = LuaState(
            context: NoContext(),
            find: { name throws(ErrorValue) in
                // Nothing of the bench's modules is called where options are made.
                guard Bindings.modules.contains(where: { $0.name == name }) else {
                    return try find(name, from: "/dev/null")
                }
                return LuaState.ModuleSource(text: Array("return {}".utf8), path: "=\(name)")
            }, print: { _ in })
        state.limitMemory(Limits.defaultMemory)
        guard case .table(let results, _) = try state.run(Array(text.utf8), name: "=\(module)"),
            case .table(let own)? = results["own"], case .table(var more)? = results["more"],
            more.removeValue(forKey: given) == .boolean(true), more == own
        else { return nil }
        return own
    }

    /// The globals that every script has, with the members of those that are tables: whether each is a function.
    public func globals() throws(ErrorValue) -> [String: [String: Bool]?] {
        let text = """
            local names = {}
            for name, value in pairs(_G) do
              local members = {}
              for member, inner in pairs(type(value) == "table" and value ~= _G and value or {}) do
                members[member] = type(inner) == "function"
              end
              names[name] = type(value) == "table" and members or false
            end
            return names
            """
        guard case .table(let names) = try table(text: Array(text.utf8), name: "=globals", from: "/dev/null") else {
            return [:]
        }
        return names.mapValues { value in
            guard case .table(let members) = value else { return nil }
            return members.mapValues { $0 == .boolean(true) }
        }
    }

    private func table(text: [UInt8], name: String, from folder: String) throws(ErrorValue) -> LuaValue {
        let state = LuaState(
            context: NoContext(), find: { name throws(ErrorValue) in try find(name, from: folder) }, print: { _ in })
        state.limitMemory(Limits.defaultMemory)
        guard case .table(let fields, _) = try state.run(text, name: name) else { return .none }
        return .table(fields)
    }
}

/// Modules that a script has loaded from its own folder, in all its roles.
public final class LoadedModules: Sendable {
    private let names = Mutex<Set<String>>([])

    /// Empty.
    public init() {}

    func add(_ name: String) { names.withLock { _ = $0.insert(name) } }

    /// Paths like "engines/edu.lua", sorted.
    var sorted: [String] { names.withLock { $0.sorted() } }
}

/// Context for data files, which call no function of ours.
private final class NoContext {}
