import LuaKit
import Testing

private enum Keys {
    static let size = Key<UInt32>("size", default: 5, "")
    static let name = Key<String?>("name", "")
    static let isGreen = Key<Bool?>("colour", .choice([("red", 0), ("green", 1)]), "")
    static let list = Key<[UInt16]?>("list", .list(.integer(0...9), 0...3), "")
    static let first = Key<UInt8>("first", "")
    static let other = Key<UInt8>("other", "")
}

private struct Point {
    let x: Int
    let note: String?
}
private let point = ResultRecord<Point>(
    "keys.point", "A point.", [ResultField("x", .bytes, "where") { $0.x }, ResultField("note", "what") { $0.note }])

private func module(_ functions: [Function]) -> Module { Module("keys", "For tests.", functions: functions) }

private let functions = [
    Function(
        "read", [Parameter("request", .record([Keys.size, Keys.name, Keys.isGreen, Keys.list]), .absent, "")], "",
        entry: {
            Call($0, $1).run { call in
                let request = call[0].table
                let list = request[Keys.list].map { $0.map(String.init).joined(separator: " ") } ?? "nil"
                return call.push(
                    "\(request[Keys.size]) \(request[Keys.name] ?? "nil") "
                        + "\(request[Keys.isGreen].map { "\($0)" } ?? "nil") \(list)")
            }
        }),
    Function(
        "point", [], returns: [.record(point)], "",
        entry: { Call($0, $1).run { call in call.push(Point(x: 3, note: nil), as: point) } }),
    Function(
        "wrong", [Parameter("request", .record([Keys.first]), .required, "")], "",
        entry: { Call($0, $1).run { call in call.push(Int64(call[0].table[Keys.other])) } }),
]

private func run(_ text: String) throws -> [String] {
    final class Lines { var all: [String] = [] }
    let lines = Lines()
    let state = LuaState(
        context: lines, find: { name throws(ErrorValue) in throw ErrorValue(kind: .script, name) },
        print: { lines.all.append($0) })
    state.offer([module(functions)])
    _ = try state.run(Array("local keys = require 'keys' \(text)".utf8), name: "@test.lua")
    return lines.all
}

/// Table arguments are read by their keys.
@Suite struct KeyTests {
    @Test(arguments: [
        ("{}", "5 nil nil nil"), ("", "5 nil nil nil"), ("nil", "5 nil nil nil"),
        ("{ list = { 1, 2 }, colour = 'green', name = 'n', size = 7 }", "7 n true 1 2"),
        ("{ colour = 'red', list = {} }", "5 nil false "),
    ])
    func aKeyHasItsValueOrWhatStandsForIt(_ table: String, _ found: String) throws {
        #expect(try run("print(keys.read(\(table)))") == [found])
    }

    @Test func aResultHasItsFields() throws {
        #expect(try run("local p = keys.point() print(p.x, p.note, next(p, next(p)))") == ["3\tnil\tnil"])
    }

    @Test func aKeyThatIsNotDescribedEndsTheProgram() async {
        await #expect(processExitsWith: .failure) { _ = try run("keys.wrong { first = 1 }") }
    }

    @Test func aTypeThatDoesNotFitEndsTheProgram() async {
        await #expect(processExitsWith: .failure) { _ = Key<UInt8>("size", .integer(0...256), "") }
        await #expect(processExitsWith: .failure) { _ = Key<Bool>("size", .choice([("two", 2)]), "") }
        await #expect(processExitsWith: .failure) { _ = Key<String>("size", .boolean, "") }
    }

    @Test func aKeyTwiceAndARequiredKeyOfAnOptionalTableEndTheProgram() async {
        await #expect(processExitsWith: .failure) {
            _ = Function("f", [Parameter("t", .record([Keys.size, Keys.size]), .required, "")], "") { _, _ in 0 }
        }
        await #expect(processExitsWith: .failure) {
            _ = Function("f", [Parameter("t", .record([Keys.first]), .absent, "")], "") { _, _ in 0 }
        }
    }
}
