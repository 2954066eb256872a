import Glibc
import Kernel
public import LuaKit

/// Where `require` finds Lua files: the script's own folder first, then the stdlib.
public struct Library: Sendable {
    private let stdlib: [String]

    /// `stdlib` are the folders to search, in order, after the script's own.
    public init(stdlib: [String]) { self.stdlib = stdlib }

    /// The text of module `name` ("engines.edu" is engines/edu.lua).
    func find(_ name: String, from folder: String) throws(ErrorValue) -> LuaState.ModuleSource {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        // Nothing but names: a module never leaves the folders it is looked for in.
        guard
            parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" } })
        else { throw ErrorValue(kind: "script", "require: '\(name)' is no module name") }
        let file = parts.joined(separator: "/") + ".lua"
        if let text = try Library.read(file, in: folder, name) {
            return LuaState.ModuleSource(text: text, path: "@\(folder)/\(file)")
        }
        for place in stdlib {
            guard let text = try Library.read(file, in: place, name) else { continue }
            return LuaState.ModuleSource(text: text, path: "=stdlib/\(file)")
        }
        throw ErrorValue(
            kind: "script",
            "require: no module '\(name)': no \(file) in \(([folder] + stdlib).joined(separator: ", "))")
    }

    /// A file of the stdlib ("benches/standard.lua").
    public func stdlibFile(_ path: String) -> String? {
        stdlib.map { "\($0)/\(path)" }.first { access($0, R_OK) == 0 }
    }

    /// The folders that modules are read from beside a script's own.
    public var folders: [String] { stdlib }

    /// A module's text; nil where it is not there. A link that leads out of the folder is refused.
    private static func read(_ file: String, in folder: String, _ name: String) throws(ErrorValue) -> [UInt8]? {
        guard let place = resolved("\(folder)/\(file)") else { return nil }
        guard let root = resolved(folder), place.hasPrefix(root == "/" ? root : root + "/") else {
            throw ErrorValue(
                kind: "script",
                "require: \(folder)/\(file), module '\(name)', is a link out of its folder; name the folder that it is in "
                    + "with --lib")
        }
        return read(place)
    }

    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    static func read(_ path: String) -> [UInt8]? { try? contents(of: path) }

    /// The bytes of a file, which may be a pipe.
    static func contents(of path: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure("read", Errno(errno), object: path) }
            if count == 0 { return text }
            text += chunk[..<count]
            // /dev/zero has no end.
            guard text.count <= 1 << 30 else { throw Failure("read", Errno(EFBIG), object: path) }
        }
    }

    /// The same for a file that the user named.
    static func named(_ path: String) throws(ErrorValue) -> [UInt8] {
        do throws(Failure) {
            return try contents(of: path)
        } catch {
            throw ErrorValue(kind: "usage", "cannot read \(path): \(error.errno.message) (\(error.errno.name))")
        }
    }
}

extension Library {
    /// What a Lua file that declares data returns; it can require other files, and nothing of the bench.
    public func table(of path: String) throws(ErrorValue) -> LuaValue {
        let text = try Library.named(path)
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let state = LuaState(
            context: NoContext(), find: { name throws(ErrorValue) in try find(name, from: folder) }, print: { _ in })
        state.limitMemory(Limits.defaultMemory)
        guard case .table(let fields, _) = try state.run(text, name: "@" + path) else { return .none }
        return .table(fields)
    }
}

/// A file of data calls nothing of ours.
private final class NoContext {}
