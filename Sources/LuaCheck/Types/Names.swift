import Bindings
import LuaKit
import Runner

/// What every file can name: globals, described modules, and the classes of their objects.
final class Names {
    /// What `require` finds.
    enum Found {
        case type(ValueType)
        /// Why there is no such module.
        case absent(String)
    }

    /// Globals, as a state of ours has them.
    private(set) var globals: [String: ValueType] = [:]
    /// Described modules by name.
    let described = Dictionary(uniqueKeysWithValues: modules.map { ($0.name, $0) })
    /// Classes by the name of their objects.
    let classes: [String: ObjectClass]
    /// The LuaLS types of classes and tables.
    private let types: [String: ValueType]
    /// Classes that annotations of shipped modules describe, of those that were required.
    private(set) var annotated: [String: AnnotatedClass] = [:]
    /// See ``isBase(_:)``.
    private var bases: Set<String> = []
    /// Types that were asked for, by their text.
    private var named: [String: ValueType] = [:]
    private let library: Library
    /// Options that functions of shipped modules make, by their names.
    private var made: [String: [OptionSchema]?] = [:]

    init(_ library: Library) throws(ErrorValue) {
        self.library = library
        let all = modules.flatMap(\.classes)
        classes = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
        var types = Dictionary(uniqueKeysWithValues: all.map { ($0.type, ValueType.object($0.name)) })
        for record in modules.flatMap({ Reference.records($0) }) { types[record.name] = .record(record) }
        self.types = types
        for (name, members) in try library.globals() {
            guard let members else {
                globals[name] = .function(.library(name))
                continue
            }
            let shape = TableShape(name)
            for (member, isFunction) in members {
                shape.fields[member] = isFunction ? .function(.library("\(name).\(member)")) : .unknown
            }
            shape.isSealed = true
            globals[name] = .table(shape)
        }
        for name in ["_G", "_VERSION"] { globals[name] = .unknown }
    }

    /// The options that a function of a shipped module makes; nil where they are not known.
    func options(madeBy maker: (module: String, function: String)) -> [OptionSchema]? {
        let name = "\(maker.module).\(maker.function)"
        if let known = made[name] { return known }
        var schemas: [OptionSchema]?
        if let options = try? library.options(madeBy: maker.function, of: maker.module) {
            schemas = try? options.map { name, value throws(ErrorValue) in try OptionSchema(name, value) }
        }
        made[name] = .some(schemas)
        return schemas
    }

    /// What a case's function gets first.
    var caseType: ValueType { described["case"].map { .module($0) } ?? .unknown }

    /// Whether a name is that of a module which every script can require.
    func isModule(_ name: String) -> Bool {
        described[name] != nil || library.stdlibFile(name + ".lua") != nil
    }

    /// Notes what annotations of a shipped module describe.
    func add(_ annotations: Annotations) {
        annotated.merge(annotations.classes) { known, _ in known }
        bases.formUnion(annotations.bases)
        named = [:]
    }

    /// Whether other classes have a class's fields as well: a table of it may be one of theirs, or of a script's own.
    func isBase(_ one: AnnotatedClass) -> Bool { bases.contains(one.name) }

    /// A class and those whose fields and methods it has as well.
    func line(of first: AnnotatedClass) -> [AnnotatedClass] {
        var line = [first]
        while let parent = line.last?.parent.flatMap({ annotated[$0] }), !line.contains(where: { $0 === parent }) {
            line.append(parent)
        }
        return line
    }

    /// The type that an annotation names.
    func type(named name: String) -> ValueType {
        guard name.utf8.count <= AnnotatedType.longest else { return .unknown }
        if let known = named[name] { return known }
        let type = look(up: name)
        named[name] = type
        return type
    }

    private func look(up name: String) -> ValueType {
        let alternatives = AnnotatedType.alternatives(of: name).filter { $0 != "nil" }
        guard alternatives.count == 1, let name = alternatives.first else { return .unknown }
        if name.hasPrefix("fun(") { return .unknown }
        if name.hasSuffix("[]") { return .list(type(named: String(name.dropLast(2)))) }
        if name.hasPrefix("{"), name.hasSuffix("}") {
            return .instance(AnnotatedClass(fields: String(name.dropFirst().dropLast())))
        }
        if let known = annotated[name] { return .instance(known) }
        switch name {
        case "integer": return .integer(nil)
        case "number": return .number(nil)
        case "boolean": return .boolean
        case "string": return .string(nil)
        default: return types[name] ?? .unknown
        }
    }

    /// The results of functions of Lua's library that have one type whatever they are given.
    func results(ofLibrary name: String, _ arguments: [ValueType]) -> [ValueType] {
        switch name {
        case "tostring", "type", "string.format", "string.rep", "string.sub", "string.lower", "string.upper",
            "string.char", "string.reverse", "string.pack", "table.concat", "utf8.char":
            [.string(nil)]
        case "string.gsub": [.string(nil), .integer(nil)]
        case "string.len", "string.packsize", "rawlen": [.integer(nil)]
        case "rawequal", "math.ult": [.boolean]
        case "close", "print": [.nil]
        default: [.unknown]
        }
    }
}
