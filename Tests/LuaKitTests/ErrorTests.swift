import LuaKit
import Testing

@Suite struct ErrorTests {
    @Test func carriesFieldsBothWays() throws {
        let fixture = Fixture()
        let text = """
            local t = require 'test'
            local ok, e = pcall(t.fail)
            print(ok, e.kind, e.operation, e.errno, e.name, e.object, e.hint, type(e.traceback))
            print(tostring(e))
            """
        #expect(
            fixture.run(text)
                == "false\tkernel\top\t22\tEINVAL\tthing\tbecause\tstring|test.lua:2: op: EINVAL on thing")
        do throws(ErrorValue) {
            _ = try fixture.state.run(Array("require 'test'.fail()".utf8), name: "@test.lua")
            Issue.record("it did not fail")
        } catch {
            #expect(error.errno == 22)
            #expect(error.name == "EINVAL")
            #expect(error.hint == "because")
            #expect(error.line == "test.lua:1: op: EINVAL on thing")
            #expect(error.traceback?.contains("test.lua:1") == true)
        }
    }

    @Test(arguments: [
        ("error('plain')", "test.lua:1: plain"), ("error({})", "{}"), ("error()", "nil"),
        ("local x = nil + 1", "test.lua:1: attempt to perform arithmetic on a nil value"),
        ("error(setmetatable({}, {__tostring = function() error('again') end}))", "again"),
        ("coroutine.wrap(function() require 'test'.fail() end)()", "op: EINVAL on thing"),
    ])
    func anythingRaisedIsALine(_ text: String, _ expected: String) {
        #expect(Fixture().run(text).contains(expected))
    }

    /// Lua's own error has neither.
    @Test(arguments: [
        "local t = {}\nwhile true do t[#t + 1] = ('x'):rep(1 << 16) .. #t end",
        "local function f() local t = {}\nwhile true do t[#t + 1] = ('x'):rep(1 << 16) .. #t end end f()",
    ])
    func aScriptWithoutMemoryIsToldItsKindAndLine(_ text: String) {
        let fixture = Fixture()
        fixture.state.limitMemory(8 << 20)
        do throws(ErrorValue) {
            _ = try fixture.state.run(Array(text.utf8), name: "@test.lua")
            Issue.record("it did not fail")
        } catch {
            #expect(error.kind == .memory)
            #expect(error.line.hasPrefix("test.lua:2: not enough memory: the 8 MiB "))
        }
    }

    @Test func patternsAreLuasWhateverAScriptMakesOfThem() {
        let fixture = Fixture()
        #expect(fixture.run("string.find = function() return 1 end") == "")
        #expect(fixture.state.finds("^refcount_t: under%a+", in: "refcount_t: underflow"))
        #expect(!fixture.state.finds("^underflow", in: "refcount_t: underflow"))
        #expect(!fixture.state.finds("[", in: "["), "it is no pattern")
        #expect(fixture.state.finds("b", in: "a\u{0}b"))
    }

    @Test func errorsOfAModuleNameTheScriptsLine() {
        let fixture = Fixture(modules: ["helper": "return { go = function() require 'test'.fail() end }"])
        #expect(fixture.run("local h = require 'helper'\n\nh.go()") == "test.lua:3: op: EINVAL on thing")
    }
}
