import Bindings
import LuaKit
import Testing

/// Names of before version 0.2: each is an error that tells the new one.
@Suite struct RenamedTests {
    struct Row: CustomTestStringConvertible, Sendable {
        let call: String
        let name: String
        var testDescription: String { "\(call): \(name)" }
    }

    private static func keys(_ type: LuaType) -> [Parameter] {
        switch type {
        case .record(let fields): fields.map(\.parameter) + fields.flatMap { keys($0.type) }
        case .list(let element, _): keys(element)
        default: []
        }
    }

    /// Calls of a function, each with one key under its old name.
    private static func calls(_ function: Function, _ callee: String, _ receiver: String?) -> [Row] {
        let all = ((receiver.map { [$0] } ?? []) + function.parameters.map { text($0.type) }).joined(separator: ", ")
        return function.parameters.flatMap { keys($0.type) }.compactMap { key in
            guard let was = key.was else { return nil }
            let old = all.replacing("{\(key.name) = ", with: "{\(was) = ").replacing(
                " \(key.name) = ", with: " \(was) = ")
            return Row(call: "\(callee)(\(old))", name: key.name)
        }
    }

    static let rows: [Row] = modules.flatMap { module in
        module.functions.flatMap { calls($0, "require(\"\(module.name)\").\($0.name)", nil) }
            + module.classes.flatMap { description in
                let receiver = "objects[\"\(description.name)\"]"
                return description.methods.flatMap { method in
                    calls(method, "\(receiver).\(method.name)", receiver)
                        + (method.was.map { [Row(call: "return \(receiver).\($0)", name: method.name)] } ?? [])
                }
            }
    }

    private static func message(_ call: String) throws -> String {
        let lines = try linesPrinted(
            by: openObjects + "local ok, err = pcall(function() \(call) end) print(ok, err and err.message)")
        return try #require(lines.first)
    }

    @Test(arguments: rows)
    func anOldNameIsToldTheNewOne(_ row: Row) throws {
        #expect(try Self.message(row.call).contains("since version 0.2 it is called '\(row.name)'"))
    }

    @Test func thereAreOldNames() {
        #expect(Self.rows.count > 40)
    }

    @Test(arguments: [
        ("return device:info().regions", "vfio.info has no 'regions': since version 0.2 it is called 'num_regions'"),
        ("return device:info().flag", "vfio.info has no 'flag'; did you mean 'flags'?"),
        ("return device:info()[1]", "vfio.info has no member 1"),
        ("return require('bench'):tlps {}", "bench.tlps: it is no method; call it with a dot, bench.tlps(...)"),
        ("return require('bench'):clear_tlps()", "call it with a dot, bench.clear_tlps(...)"),
        (
            "sys.sleep '1x'",
            "'duration_ms' must be a time (milliseconds as an integer, or text such as \"30s\": ms, s, m, h)"
        ),
        ("sys.sleep '2h'", "'duration_ms' must be 0 to 3600000, not 7200000"),
    ])
    func whatATableOrAModuleDoesNotHaveIsRefused(_ call: String, _ text: String) throws {
        let message = try Self.message(call)
        #expect(message.contains(text), "\(message)")
    }

    @Test(arguments: [("'250ms'", 250), ("'1.5s'", 1500), ("'1m'", 60_000), ("'1h'", 3_600_000), ("7", 7)])
    func aTimeIsAnIntegerOrText(_ time: String, _ milliseconds: Int) throws {
        let lines = try linesPrinted(
            by: openObjects + "local before = sys.now() sys.sleep(\(time)) print((sys.now() - before) // 1000000)")
        #expect(lines == ["\(milliseconds)"])
    }

    @Test func whatIsAbsentIsNilAndWhatAScriptAddsStays() throws {
        let lines = try linesPrinted(
            by: openObjects + "local r = sys.read(-1, 4) print(r.bytes, r.name) r.note = 1 print(r.note)")
        #expect(lines == ["nil\tEBADF", "1"])
    }
}
