public import LuaKit
public import Runner

/// Finds mistakes in Lua files without running them.
public final class LuaChecker {
    /// The largest file that is checked, in bytes.
    public static let largest = 4 << 20

    private let library: Library
    private let names: Names
    /// Modules of Lua files that were looked at, by folder and name; nil while they are.
    private var known: [String: Names.Found?] = [:]

    /// A checker of files that find modules in `library`.
    public init(_ library: Library) throws(ErrorValue) {
        self.library = library
        names = try Names(library)
    }

    /// The findings in a file's text, in its order. `folder` is where it lies.
    public func findings(in text: [UInt8], folder: String) -> [Finding] {
        let refusal = LuaChecker.refusal(of: text)
        let chunk: Chunk
        do throws(SyntaxError) {
            chunk = try Parser.chunk(text, known: Set(names.globals.keys))
        } catch {
            // Lua's own compiler has the last word: what it takes is no error.
            guard refusal != nil else {
                return [Finding(error.place, .warning, "not checked any further: \(error.message)")]
            }
            return [Finding(error.place, .error, error.message)]
        }
        if let refusal { return [refusal] }
        let checker = Checker(chunk, names) { [unowned self] in find($0, from: folder) }
        checker.run()
        return checker.findings.sorted {
            ($0.place, $0.severity.rawValue, $0.message) < ($1.place, $1.severity.rawValue, $1.message)
        }
    }

    /// Whether a file is seen to return nothing, so that it is no scenario and no module. False where its text is no Lua.
    public static func returnsNothing(_ text: [UInt8]) -> Bool {
        guard let chunk = try? Parser.chunk(text, known: []) else { return false }
        return chunk.main.returned.allSatisfy(\.isEmpty)
    }

    /// Why Lua's compiler refuses a text.
    private static func refusal(of text: [UInt8]) -> Finding? {
        do throws(ErrorValue) {
            try LuaState.compile(text)
            return nil
        } catch {
            // "?:LINE: MESSAGE"
            let parts = error.message.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, var line = Int(parts[1]) else {
                return Finding(Place(line: 1, column: 1), .error, error.message)
            }
            let message = String(parts[2].drop { $0 == " " })
            // Of a `goto` Lua tells at the end of its block, with its line in the message.
            if let named = message.firstRange(of: "> at line "), let own = Int(message[named.upperBound...]) {
                line = own
            }
            return Finding(Place(line: line, column: 1), .error, message)
        }
    }

    // MARK: Modules

    /// What `require` gives to a file in a folder.
    private func find(_ name: String, from folder: String) -> Names.Found {
        let key = "\(folder)\u{0}\(name)"
        if let found = known[key] {
            // One that is being looked at requires itself.
            return found ?? .type(.unknown)
        }
        known[key] = .some(nil)
        let found = look(for: name, from: folder)
        known[key] = .some(found)
        return found
    }

    private func look(for name: String, from folder: String) -> Names.Found {
        if let module = names.described[name] { return .type(.module(module)) }
        let source: LuaState.ModuleSource
        do throws(ErrorValue) {
            source = try library.find(name, from: folder)
        } catch {
            guard let absent = error.absentModule else { return .absent(error.message) }
            let near = nearest(to: name, in: absent.known + names.described.keys.sorted())
            let reason = "require: no module '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? "")
            return .absent(reason)
        }
        guard source.text.count <= LuaChecker.largest,
            let chunk = try? Parser.chunk(source.text, known: Set(names.globals.keys))
        else { return .type(.unknown) }
        // Others' annotations may say less than their files do; those of ours are tested.
        let isShipped = source.path.hasPrefix("=")
        if isShipped { names.add(Annotations(chunk)) }
        // The modules of a script's folder see that folder, and those of the stdlib too.
        let checker = Checker(chunk, names) { [unowned self] in find($0, from: folder) }
        checker.run()
        return .type(exported(checker.result, name, chunk, isSealed: isShipped))
    }

    /// What others see of a module's result.
    private func exported(_ result: ValueType, _ name: String, _ chunk: Chunk, isSealed: Bool) -> ValueType {
        switch result {
        case .table(let shape):
            let outside = TableShape("module \(name)")
            outside.isWhole = shape.isWhole
            outside.isSealed = isSealed && shape.isWhole
            for (field, type) in shape.fields {
                if case .function(.own(let body)) = type {
                    var signature = Signature("\(name).\(field)", body, chunk.annotations, isShipped: isSealed)
                    if isSealed, signature.makesOptions { signature.options = (name, field) }
                    outside.fields[field] = .function(.foreign(signature))
                } else {
                    outside.fields[field] = type.isPlain ? type : .unknown
                }
            }
            return .table(outside)
        case .function(.own(let body)):
            return .function(.foreign(Signature(name, body, chunk.annotations, isShipped: isSealed)))
        default: return result.isPlain ? result : .unknown
        }
    }
}

extension ValueType {
    /// Whether it refers to nothing of a file's own.
    fileprivate var isPlain: Bool {
        switch self {
        case .table, .function, .options: false
        default: true
        }
    }
}
