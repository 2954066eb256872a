public import LuaKit
public import Runner

/// Completes names, methods, fields and keys of table arguments at the end of a text.
public final class Completion {
    private let names: Names

    /// For the modules of `library`.
    public init(_ library: Library) throws(ErrorValue) { names = try Names(library) }

    /// The words that may stand at the end of a text: the whole of a chain such as "dev:read".
    /// - Parameters:
    ///   - variables: names of the session.
    ///   - kind: what a variable, or a field of one, is.
    public func candidates(
        _ text: String, variables: [String], kind: ([String]) -> Session.Kind?
    ) -> [String] {
        let chain = String(text.reversed().prefix { $0.isLetter || $0.isNumber || "_.:".contains($0) }.reversed())
        guard let separator = chain.lastIndex(where: { $0 == "." || $0 == ":" }) else {
            let before = String(text.dropLast(chain.count))
            let keys = expectedKeys(before, kind).map { "\($0) =" }
            let all = keys.isEmpty ? Set(variables + names.described.keys + names.globals.keys).sorted() : keys
            return all.filter { $0.hasPrefix(chain) }
        }
        let owner = chain[..<separator].split { $0 == "." || $0 == ":" }.map(String.init)
        guard !owner.isEmpty else { return [] }
        let partial = chain[chain.index(after: separator)...]
        let isMethod = chain[separator] == ":"
        return members(kind(owner), isMethod).filter { $0.hasPrefix(partial) }.map { chain[...separator] + $0 }
    }

    private func members(_ kind: Session.Kind?, _ isMethod: Bool) -> [String] {
        switch kind {
        case .module(let name):
            guard let module = names.described[name] else { return [] }
            let functions = module.functions.filter { isMethod == ($0.parameters.first?.name == "case") }
            return functions.map(\.name) + (isMethod ? [] : module.constants.map(\.name))
        case .described(let name):
            if let described = names.classes[name] { return described.methods.map(\.name) + ["close"] }
            if case .record(let record) = names.type(named: name), !isMethod { return record.described.map(\.name) }
            return []
        case .table(let names): return names
        case .string where isMethod:
            guard case .table(let shape)? = names.globals["string"] else { return [] }
            return shape.fields.keys.sorted()
        default: return []
        }
    }

    // MARK: Keys

    /// An open bracket: what may stand in it.
    private struct Frame {
        /// Types of the arguments from the first one on; of a table there is one, its own.
        var types: [LuaType] = []
        var isTable = false
        var index = 0
        /// The key whose value comes.
        var key: String?
        var given: Set<String> = []

        /// The type of what comes next.
        var next: LuaType? {
            guard isTable else { return index < types.count ? types[index] : nil }
            switch types.first {
            case .record(let keys): return key.flatMap { name in keys.first { $0.name == name }?.type }
            case .list(let element, _): return element
            default: return nil
            }
        }
    }

    /// Keys that the innermost open table may have, without those that it has.
    private func expectedKeys(_ text: String, _ kind: ([String]) -> Session.Kind?) -> [String] {
        var lexer = Lexer(Array(text.utf8))
        var frames: [Frame] = []
        var chain: [String] = []
        var last = Token.end
        while let next = try? lexer.next().token, next != .end {
            switch next {
            case .name(let name):
                if last != .symbol(.dot), last != .symbol(.colon) { chain = [] }
                chain.append(name)
            case .symbol(.dot), .symbol(.colon): break
            case .symbol(.assign):
                if let frame = frames.indices.last, frames[frame].isTable, let key = chain.last {
                    frames[frame].key = key
                    frames[frame].given.insert(key)
                }
                chain = []
            case .symbol(.leftParenthesis):
                frames.append(Frame(types: parameters(chain, kind)))
                chain = []
            case .symbol(.leftBrace):
                let own = chain.isEmpty ? frames.last?.next : parameters(chain, kind).first
                frames.append(Frame(types: own.map { [$0] } ?? [], isTable: true))
                chain = []
            case .symbol(.rightParenthesis), .symbol(.rightBrace):
                _ = frames.popLast()
                chain = []
            case .symbol(.comma), .symbol(.semicolon):
                if let frame = frames.indices.last {
                    frames[frame].index += 1
                    frames[frame].key = nil
                }
                chain = []
            default: chain = []
            }
            last = next
        }
        guard let frame = frames.last, frame.isTable, frame.key == nil, case .record(let keys)? = frame.types.first
        else { return [] }
        return keys.map(\.name).filter { !frame.given.contains($0) }
    }

    /// Types of the arguments of the function that a chain names.
    private func parameters(_ chain: [String], _ kind: ([String]) -> Session.Kind?) -> [LuaType] {
        guard chain.count > 1, let name = chain.last else { return [] }
        let functions: [Function]
        switch kind(Array(chain.dropLast())) {
        case .module(let module): functions = names.described[module]?.functions ?? []
        case .described(let owner): functions = names.classes[owner]?.methods ?? []
        default: functions = []
        }
        let parameters = functions.first { $0.name == name }?.parameters ?? []
        return parameters.drop { $0.name == "case" }.map(\.type)
    }
}
