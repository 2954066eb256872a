import LuaKit

/// A payload that counts how many of it live, and can refuse to close.
struct Handle: ~Copyable, LuaObject {
    static var luaName: String { "test handle" }
    let counter: Counter
    var isOpen = true
    let refusals: Int

    init(_ counter: Counter, refusals: Int = 0) {
        self.counter = counter
        self.refusals = refusals
        counter.live += 1
    }

    mutating func close() throws {
        counter.closings += 1
        if counter.closings <= refusals { throw ErrorValue(kind: .kernel, "still busy") }
        isOpen = false
    }

    deinit { counter.live -= 1 }
}

final class Counter {
    var live = 0
    var closings = 0
    weak var state: LuaState?
}

private enum RangesKeys {
    static let offset = Key<Int64>("offset", .size(0...Int64.max), "")
    static let length = Key<Int64>("length", .size(0...Int64.max), "")
    static let ranges = Key<[Table]>("ranges", .list(.record([offset, length]), 0...4), "")
    static let name = Key<String?>("name", .string(0...8), "")
}

let testModule = Module(
    "test", "For tests.",
    functions: [
        Function(
            "add",
            [Parameter("a", .integer(-10...10), .required, ""), Parameter("b", .integer(0...10), .integer(7), "")],
            returns: [.integer], "Adds.",
            entry: { Call($0, $1).run { call in call.push(call[0].int64 + call[1].int64) } }),
        Function(
            "size", [Parameter("size", .size(0...(1 << 40)), .required, "")], "A size.",
            entry: { Call($0, $1).run { call in call.push(call[0].int64) } }),
        Function(
            "choose", [Parameter("what", .choice([("red", 1), ("green", 2)]), .required, "")], "A choice.",
            entry: { Call($0, $1).run { call in call.push(call[0].int64) } }),
        Function(
            "flags", [Parameter("bits", .flags([("one", 1), ("two", 2), ("four", 4)]), .required, "")], "Flags.",
            entry: { Call($0, $1).run { call in call.push(call[0].int64) } }),
        Function(
            "ranges",
            [
                Parameter("request", .record([RangesKeys.ranges, RangesKeys.name]), .required, "")
            ], "Nested.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[0].table
                    let sum = request[RangesKeys.ranges].reduce(0) {
                        $0 + $1[RangesKeys.offset] * 1000 + $1[RangesKeys.length]
                    }
                    return call.push(sum) + (request[RangesKeys.name].map { call.push($0) } ?? 0)
                }
            }),
        Function(
            "open", [Parameter("refusals", .integer(0...10), .integer(0), "")], "A handle.",
            entry: {
                Call($0, $1).run { call in
                    let handle = Handle(call.context(Counter.self), refusals: call[0].int)
                    return call.push(object: handle, parent: 0, label: "number one")
                }
            }),
        Function(
            "use", [Parameter("handle", .object(Handle.self), .required, "")], "Uses a handle.",
            entry: { Call($0, $1).run { call in call.push(call[0].object(Handle.self).pointee.isOpen) } }),
        Function(
            "interrupt", [], "As Ctrl-C would.",
            entry: {
                Call($0, $1).run { call in
                    call.context(Counter.self).state?.interrupt()
                    return call.nothing
                }
            }),
        Function(
            "bytes", [Parameter("count", .integer(0...(1 << 30)), .required, "")], "So many bytes, beyond any limit.",
            entry: {
                Call($0, $1).run { call in call.push(value: Bytes([UInt8](repeating: 65, count: call[0].int))) }
            }),
        Function(
            "with",
            [
                Parameter("handle", .object(Handle.self), .required, ""),
                Parameter("list", .list(.integer(0...9), 0...20000), .required, ""),
            ], "Uses a handle after a long list was decoded.",
            entry: { Call($0, $1).run { call in call.push(call[0].object(Handle.self).pointee.isOpen) } }),
        Function(
            "fail", [], "Fails as a kernel would.",
            entry: {
                Call($0, $1).run { call in
                    var error = ErrorValue(kind: .kernel, "op: EINVAL on thing")
                    error.operation = "op"
                    error.errno = 22
                    error.name = "EINVAL"
                    error.object = "thing"
                    error.hint = "because"
                    throw error
                }
            }),
    ],
    classes: [
        ObjectClass(
            Handle.luaName, type: "test.handle", short: "handle", "A handle.",
            methods: [
                Function(
                    "poke", [], "Nothing.", entry: { Call($0, $1).run { call in call.nothing } })
            ],
            close: { closeObject($0, $1, $2, Handle.self) }, destroy: { destroyObject($0, Handle.self) })
    ])

/// A state with the test module, and what it printed.
final class Fixture {
    let counter = Counter()
    let state: LuaState
    let printed = Lines()

    final class Lines { var all: [String] = [] }

    init(modules: [String: String] = [:]) {
        let printed = printed
        state = LuaState(
            context: counter,
            find: { name throws(ErrorValue) in
                guard let text = modules[name] else { throw ErrorValue(kind: .script, "no module '\(name)'") }
                return LuaState.ModuleSource(text: Array(text.utf8), path: "=stdlib/\(name).lua")
            }, print: { printed.all.append($0) })
        counter.state = state
        state.offer([testModule])
    }

    /// Runs a chunk and returns what it printed, joined; the error's line where it fails.
    func run(_ text: String) -> String {
        printed.all = []
        do throws(ErrorValue) {
            _ = try state.run(Array(text.utf8), name: "@test.lua")
            return printed.all.joined(separator: "|")
        } catch {
            return error.line
        }
    }
}
