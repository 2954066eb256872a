import CLuaShims
import Glibc

/// The C form of descriptions, which the trampoline reads. Lives as long as the Lua state that points into it.
final class DescriptionStorage {
    private var blocks: [UnsafeMutableRawPointer] = []

    deinit {
        for block in blocks { free(block) }
    }

    /// Frees `pointer` with this object; it must have come from the C allocator, as Swift's `allocate` does on Linux.
    func own(_ pointer: UnsafeMutableRawPointer) { blocks.append(pointer) }

    func string(_ text: String) -> UnsafePointer<CChar> {
        guard let copy = strdup(text) else { preconditionFailure("out of memory") }
        own(copy)
        return UnsafePointer(copy)
    }

    private func array<Element>(_ elements: [Element]) -> UnsafePointer<Element>? {
        guard !elements.isEmpty else { return nil }
        let copy = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        copy.initialize(from: elements, count: elements.count)
        own(copy)
        return UnsafePointer(copy)
    }

    typealias ClassLookup = (String) -> UnsafeMutablePointer<lk_class>?

    func function(
        _ function: Function, named name: String, receiver: String?, classes: ClassLookup
    ) -> UnsafePointer<lk_function> {
        var parameters = function.parameters
        if let receiver { parameters.insert(Parameter("self", .object(receiver), .required, "the object"), at: 0) }
        precondition(parameters.count <= LK_PARAMETERS_MAX, "\(name) has too many parameters")
        let selected = function.selectedEffects
        let selector = parameters.firstIndex { $0.name == selected?.parameter }
        precondition(selected == nil || selector != nil, "\(name) has no parameter of its selected effects")
        func bits(_ effects: [Effect]) -> UInt32 { effects.reduce(0) { $0 | $1.bit } }
        let row = lk_function(
            name: string(name), parameters: array(parameters.map { field($0, classes) }),
            count: CInt(parameters.count), entry: function.entry, effects: bits(function.effects),
            selector: CInt(selector ?? -1), selected: selected?.value ?? 0,
            selected_effects: bits(selected?.effects ?? []))
        guard let pointer = array([row]) else { preconditionFailure("one element") }
        return pointer
    }

    private func field(_ parameter: Parameter, _ classes: ClassLookup) -> lk_field {
        var fallback = lk_value()
        var optional = true
        let type = self.type(parameter.type, classes)
        switch parameter.fallback {
        case .required: optional = false
        case .absent where type.kind == LK_RECORD:
            // Where the table is left out, each key has its own fallback.
            let fields = UnsafeBufferPointer(start: type.fields, count: Int(type.count))
            fallback.pointer = UnsafeRawPointer(array(fields.map(\.fallback)))
            fallback.count = fields.count
            fallback.keys = type.keys
        case .absent: break
        case .integer(let value):
            fallback.present = true
            fallback.integer = value
        }
        return lk_field(
            name: string(parameter.name), was: parameter.was.map { string($0) }, type: type, optional: optional,
            fallback: fallback)
    }

    /// Pairs of old and new names, in the form that C searches; nil where nothing was renamed.
    func renamed(_ members: [(name: String, was: String?)]) -> UnsafePointer<lk_renamed>? {
        let renamed = members.compactMap { member in
            member.was.map { lk_renamed(was: string($0), name: string(member.name)) }
        }
        return renamed.isEmpty ? nil : array(renamed + [lk_renamed(was: nil, name: nil)])
    }

    /// A kind of table that functions return.
    func record(_ description: any ResultRecordDescription) -> UnsafePointer<lk_record> {
        let members = description.members
        guard
            let row = array([
                lk_record(
                    name: string(description.name), fields: array(members.map { string($0.name) }),
                    count: CInt(members.count), renamed: renamed(members))
            ])
        else { preconditionFailure("one element") }
        return row
    }

    private func type(_ type: LuaType, _ classes: ClassLookup) -> lk_type {
        var row = lk_type()
        switch type {
        case .integer(let range): row.set(LK_INTEGER, range)
        case .size(let range): row.set(LK_SIZE, range)
        case .time(let range): row.set(LK_TIME, range)
        case .number: row.kind = LK_NUMBER
        case .boolean: row.kind = LK_BOOLEAN
        case .string(let range): row.set(LK_STRING, Int64(range.lowerBound)...Int64(range.upperBound))
        case .choice(let names): setNames(&row, LK_ENUM, names)
        case .flags(let names): setNames(&row, LK_FLAGS, names)
        case .object(let name):
            guard let description = classes(name) else { preconditionFailure("no class \(name)") }
            row.kind = LK_OBJECT
            row.object = UnsafePointer(description)
        case .record(let keys):
            row.kind = LK_RECORD
            row.fields = array(keys.map { field($0.parameter, classes) })
            row.keys = array(keys.map(\.id))
            row.count = CInt(keys.count)
        case .list(let element, let range):
            row.set(LK_LIST, range)
            row.element = array([self.type(element, classes)])
        case .any: row.kind = LK_ANY
        }
        return row
    }

    private func setNames(_ row: inout lk_type, _ kind: lk_kind, _ names: [(name: String, value: Int64)]) {
        row.kind = kind
        row.names = array(names.map { Optional(string($0.name)) })
        row.values = array(names.map { $0.value })
        row.count = CInt(names.count)
    }
}

extension lk_type {
    fileprivate mutating func set(_ kind: lk_kind, _ range: ClosedRange<Int64>) {
        self.kind = kind
        minimum = range.lowerBound
        maximum = range.upperBound
    }
}
