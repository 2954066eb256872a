import LuaKit
import Runner
import Testing

@testable import LuaCheck

@Suite struct CompletionTests {
    /// Candidates in a session that has a device, an answer and a table.
    private func candidates(_ text: String) throws -> [String] {
        let kinds: [String: Session.Kind] = [
            "vfio": .module("vfio"), "t": .module("case"), "dev": .described("vfio device"),
            "info": .described("vfio.region"), "mine": .table(["one", "two"]), "word": .string("a"),
        ]
        return try Completion(Library(stdlib: [])).candidates(text, variables: ["dev", "device_id"]) { path in
            path.count == 1 ? kinds[path[0]] : nil
        }
    }

    @Test func namesAreThoseOfTheSessionAndOfModules() throws {
        #expect(try candidates("dev") == ["dev", "device_id"])
        #expect(try candidates("print(vf") == ["vfio"])
        #expect(try candidates("x = toint") == [])
        #expect(try candidates("tostr") == ["tostring"])
    }

    @Test func membersAreThoseOfTheValue() throws {
        #expect(try candidates("vfio.op") == ["vfio.open"])
        #expect(try candidates("vfio.CON") == ["vfio.CONFIG"])
        #expect(try candidates("dev:re") == ["dev:region_info", "dev:read", "dev:reset"])
        #expect(try candidates("info.si") == ["info.size"])
        #expect(try candidates("print(mine.t") == ["mine.two"])
        #expect(try candidates("word:up") == ["word:upper"])
        #expect(try candidates("nothing.a") == [])
        #expect(try candidates("nothing().a") == [])
    }

    @Test func theCaseHasMethodsAndFunctions() throws {
        #expect(try candidates("t:lo") == ["t:log"])
        #expect(try candidates("t:fa") == [])
        #expect(try candidates("t.fa") == ["t.fail"])
    }

    @Test func keysAreThoseOfTheArgument() throws {
        #expect(try candidates("dev:export_dmabuf { reg") == ["region_index ="])
        #expect(try candidates("dev:export_dmabuf { region_index = 2, r") == ["ranges ="])
        #expect(try candidates("dev:export_dmabuf { ranges = { { ") == ["offset =", "length ="])
        #expect(try candidates("dev:export_dmabuf { ranges = { { offset = 0, ") == ["length ="])
        let lines = "dev:export_dmabuf {\n  ranges = { { offset = 0, length = 1 } },\n  o"
        #expect(try candidates(lines) == ["open_flags ="])
        #expect(try candidates("vfio.open(\"0000:01:00.0\", { v") == ["via ="])
        // A value, not a key.
        #expect(try candidates("dev:export_dmabuf { region_index = dev") == ["dev", "device_id"])
    }

    @Test func whatIsNoLuaHasNoKeys() throws {
        for text in ["}}}}", "((((", "{", "dev:export_dmabuf { \"", "\u{0}", "::::", "...", "dev:", ":", "."] {
            _ = try candidates(text)
        }
        #expect(try candidates(String(repeating: "{", count: 10_000)).count > 10)
    }
}
