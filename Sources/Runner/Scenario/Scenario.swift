public import Bindings
public import LuaKit

/// A scenario as its file declares it.
public struct Scenario {
    /// A case: its name and its function.
    public struct Case {
        /// Its name in the `cases` table.
        public let name: String
        let function: LuaFunction
    }

    /// Its declared name, or the file's.
    public let name: String
    /// One sentence; empty where there is none.
    public let about: String
    /// Of a reproducer: which kernel releases or revisions of a series it concerns.
    public let concerns: String?
    /// Of a reproducer: the behaviour of a correct kernel.
    public let expected: String?
    /// Of a reproducer: the behaviour of a kernel with the bug.
    public let seen: String?
    /// Options, sorted by name.
    public let options: [OptionSchema]
    /// Abilities that the bench must have.
    public let needs: [Need]
    /// Effects that it declares; nil where it declares none, which restricts nothing.
    public let effects: Set<Effect>?
    /// Names of the roles that run each case together; empty for a scenario without roles.
    public let roles: [String]
    /// In the order of the `cases` list.
    public let cases: [Case]

    /// Words by which batches select.
    public let tags: [String]
    /// Limits of one run.
    public let limits: Limits
    /// Options with several values each; a batch runs every combination.
    public let matrix: [MatrixRow]
    /// Failures that are known, on the bench on which it was loaded.
    public let expectedFailures: [ExpectedFailure]

    /// What it opens that is granted by a name, as its options and needs tell.
    public var grantedDevices: Set<GrantedDevice> {
        var found: Set<GrantedDevice> = []
        for option in options {
            switch option.kind {
            case .pci: found.insert(.function)
            case .rdma: found.insert(.nic)
            default: continue
            }
        }
        if needs.contains(where: { [.vfio, .dmabuf, .dmabufTPH].contains($0) }) { found.insert(.function) }
        if needs.contains(where: { [.rdma, .regDmabufMR, .dmah].contains($0) }) { found.insert(.nic) }
        return found
    }

    /// The keys of a scenario's table.
    public static let keys: Set<String> = [
        "name", "about", "concerns", "expected", "seen", "options", "needs", "effects", "roles", "cases", "tags",
        "timeout", "memory", "matrix", "expected_failures",
    ]

    /// From the table that a scenario's file returned.
    init(
        _ fields: [String: LuaValue], functions: [String: FunctionTable], file: String, on bench: String
    ) throws(ErrorValue) {
        for key in fields.keys.sorted() where !Scenario.keys.contains(key) {
            throw unknownKey(key, in: "the scenario", of: Scenario.keys)
        }
        name = try Scenario.text("name", fields) ?? file
        about = try Scenario.text("about", fields) ?? ""
        concerns = try Scenario.text("concerns", fields)
        expected = try Scenario.text("expected", fields)
        seen = try Scenario.text("seen", fields)
        options = try Scenario.options(fields["options"])
        needs = try Scenario.needs(fields["needs"])
        effects = try Scenario.effects(fields["effects"])
        roles = try Scenario.roles(fields["roles"])
        cases = try Scenario.cases(fields["cases"], functions["cases"] ?? FunctionTable())
        guard roles.isEmpty || cases.count <= RoleState.mostCases else {
            throw ErrorValue(
                kind: .script,
                "a scenario with roles has at most \(RoleState.mostCases) cases, and this one has \(cases.count)")
        }
        tags = try Scenario.tags(fields["tags"])
        limits = try Limits(fields)
        matrix = try MatrixRow.rows(fields["matrix"], options)
        expectedFailures = try ExpectedFailure.list(
            fields["expected_failures"], cases: cases.map(\.name), on: bench)
    }

    /// What is wrong with one key's value, without a run; nil where nothing is. `options` are those that `matrix` may
    /// name, `cases` the names that `expected_failures` may have, nil where they are not known. The functions of `cases`
    /// are not looked at.
    public static func problem(
        with key: String, _ value: LuaValue, options: [OptionSchema], cases: [String]? = nil
    ) -> String? {
        let fields = [key: value]
        do throws(ErrorValue) {
            switch key {
            case "name", "about", "concerns", "expected", "seen": _ = try text(key, fields)
            case "options": _ = try Scenario.options(value)
            case "needs": _ = try needs(value)
            case "effects": _ = try effects(value)
            case "roles": _ = try roles(value)
            case "tags": _ = try tags(value)
            case "timeout", "memory": _ = try Limits(fields)
            case "matrix": _ = try MatrixRow.rows(value, options)
            // The bench decides only which of them count.
            case "expected_failures": _ = try ExpectedFailure.list(value, cases: cases, on: "sim")
            default: break
            }
            return nil
        } catch {
            return error.message
        }
    }

    private static func text(_ key: String, _ fields: [String: LuaValue]) throws(ErrorValue) -> String? {
        switch fields[key] {
        case nil: return nil
        case .string(let text)?: return text
        case let value?: throw ErrorValue(kind: .script, "'\(key)' must be a string, not a \(value.typeName)")
        }
    }

    private static func options(_ value: LuaValue?) throws(ErrorValue) -> [OptionSchema] {
        guard let value else { return [] }
        guard case .table(let table) = value else {
            throw ErrorValue(kind: .script, "'options' must be a table of tables, not a \(value.typeName)")
        }
        var options: [OptionSchema] = []
        for (name, entry) in table.sorted(by: { $0.key < $1.key }) { options.append(try OptionSchema(name, entry)) }
        return options
    }

    private static func needs(_ value: LuaValue?) throws(ErrorValue) -> [Need] {
        guard let value, value != .table([:]) else { return [] }
        guard case .list(let list) = value else {
            throw ErrorValue(kind: .script, "'needs' must be a list of names, not a \(value.typeName)")
        }
        var needs: [Need] = []
        for entry in list {
            guard case .string(let name) = entry else {
                throw ErrorValue(kind: .script, "'needs' must be a list of names; it has a \(entry.typeName)")
            }
            guard let need = Need(rawValue: name) else {
                let known = Need.allCases.map(\.rawValue)
                let near = nearest(to: name, in: known).map { "; did you mean '\($0)'?" } ?? ""
                throw ErrorValue(
                    kind: .script, "unknown need '\(name)'\(near) (known: \(known.joined(separator: ", ")))")
            }
            needs.append(need)
        }
        return needs
    }

    private static func effects(_ value: LuaValue?) throws(ErrorValue) -> Set<Effect>? {
        guard let value else { return nil }
        guard value != .table([:]) else { return [] }
        guard case .list(let list) = value else {
            throw ErrorValue(kind: .script, "'effects' must be a list of names, not a \(value.typeName)")
        }
        var effects: Set<Effect> = []
        for entry in list {
            guard case .string(let name) = entry, let effect = Effect(rawValue: name) else {
                let name = plainText(entry)
                let known = Effect.allCases.map(\.rawValue)
                let near = nearest(to: name, in: known).map { "; did you mean '\($0)'?" } ?? ""
                throw ErrorValue(
                    kind: .script, "unknown effect '\(name)'\(near) (known: \(known.joined(separator: ", ")))")
            }
            effects.insert(effect)
        }
        return effects
    }

    private static func roles(_ value: LuaValue?) throws(ErrorValue) -> [String] {
        guard let value, value != .table([:]) else { return [] }
        guard case .list(let list) = value, (2...8).contains(list.count) else {
            throw ErrorValue(kind: .script, "'roles' must be a list of two to eight names")
        }
        var names: [String] = []
        for entry in list {
            guard case .string(let name) = entry, !name.isEmpty, name.utf8.count <= 64, !names.contains(name) else {
                throw ErrorValue(kind: .script, "'roles' must be a list of different names")
            }
            names.append(name)
        }
        return names
    }

    /// Values for the options: defaults, then what `--set` gives.
    func values(_ settings: [(name: String, value: String)]) throws(ErrorValue) -> [String: LuaValue] {
        var values: [String: LuaValue] = [:]
        for option in options { values[option.name] = option.fallback }
        for setting in settings {
            guard let option = options.first(where: { $0.name == setting.name }) else {
                throw Scenario.unknownOption(setting.name, options.map(\.name))
            }
            values[option.name] = try option.parse(setting.value)
        }
        for option in options {
            guard let value = values[option.name] else {
                throw ErrorValue(
                    kind: .usage, "option '\(option.name)' has no default; give it with --set \(option.name)=...")
            }
            // A default such as "64K" becomes a number here.
            switch option.kind {
            case .integer, .size, .sizes, .number:
                if case .string(let text) = value { values[option.name] = try option.parse(text) }
            default: break
            }
        }
        return values
    }

    static func unknownOption(_ name: String, _ known: [String]) -> ErrorValue {
        guard !known.isEmpty else {
            return ErrorValue(kind: .usage, "unknown option '\(name)': this script declares no options")
        }
        let near = nearest(to: name, in: known).map { "; did you mean '\($0)'?" } ?? ""
        return ErrorValue(
            kind: .usage, "unknown option '\(name)'\(near) (known: \(known.joined(separator: ", ")))")
    }
}
