import LuaKit
import Testing

@Suite struct LuaStateTests {
    @Test(arguments: [
        ("x = 1", "assignment to undeclared variable 'x'; write 'local x'"),
        ("print(pritn)", "undeclared variable 'pritn'; did you mean 'print'?"),
        ("string.dump(print)", "attempt to call a nil value (field 'dump')"),
        ("os.exit()", "undeclared variable 'os'"), ("io.open('x')", "undeclared variable 'io'"),
        ("debug.getinfo(1)", "undeclared variable 'debug'"), ("dofile('x')", "undeclared variable 'dofile'"),
        ("package.loadlib()", "undeclared variable 'package'"),
        ("setmetatable(_G, {})", "cannot change a protected metatable"),
        ("require 'nothing'", "no module 'nothing'"),
    ])
    func isStrict(_ text: String, _ expected: String) {
        #expect(Fixture().run(text).contains(expected), "\(Fixture().run(text))")
    }

    @Test func takesTextChunksOnly() {
        #expect(Fixture().run("print(load('\\27Lua'))").contains("attempt to load a binary chunk"))
        #expect(Fixture().run("\u{1B}Lua").contains("binary chunk"))
        #expect(Fixture().run("print(load('return 1 + 1')())") == "2")
        #expect(Fixture().run("print(load('return x', 'c', {x = 5})())") == "5")
    }

    @Test func modulesLoadOnceAndNotInCircles() {
        let modules = ["a": "print 'a' return {}", "loop": "return require 'loop'", "none": "local x = 1"]
        #expect(Fixture(modules: modules).run("require 'a' require 'a'") == "a")
        #expect(Fixture(modules: modules).run("require 'loop'").contains("module 'loop' requires itself"))
        #expect(Fixture(modules: modules).run("require 'none'").contains("module 'none' returns nothing"))
    }

    @Test func aShebangLineKeepsLineNumbers() {
        #expect(Fixture().run("#!/usr/bin/env peerlab\nerror 'x'") == "test.lua:2: x")
        #expect(Fixture().run("\u{FEFF}#!/usr/bin/env peerlab\nerror 'x'") == "test.lua:2: x")
    }

    @Test func anInterruptStopsEvenWhatCatchesErrors() {
        let fixture = Fixture()
        fixture.state.interrupt()
        let message = fixture.run("while true do pcall(function() while true do end end) end")
        #expect(message.hasSuffix("interrupted"))
    }

    /// Interrupted as by a signal, from inside: `interrupt` is what a signal handler calls.
    @Test(arguments: [
        "local co = coroutine.create(function() t.interrupt() while true do end end) coroutine.resume(co) print 'on'",
        "local f = coroutine.wrap(function() t.interrupt() while true do end end) pcall(f) print 'on'",
        "coroutine.wrap(function() coroutine.wrap(function() t.interrupt() while true do end end)() print 'on' end)()",
        "local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) t.interrupt() while true do end",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() t.interrupt() "
            + "while true do end end }) coroutine.yield() end) coroutine.resume(co) coroutine.close(co) print 'on'",
    ])
    func anInterruptFindsTheCoroutineThatRuns(_ text: String) {
        let message = Fixture().run("local t = require 'test' " + text)
        #expect(message.hasSuffix("interrupted"), "\(message)")
    }

    @Test(arguments: [
        (
            "local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end) "
                + "print(coroutine.resume(co, 1)) print(coroutine.resume(co, 5)) print(coroutine.resume(co))",
            "true\t2|true\t10|false\tcannot resume dead coroutine"
        ),
        (
            "local f = coroutine.wrap(function(...) for i, v in ipairs {...} do coroutine.yield(v) end end) "
                + "print(f(7, 8), f(), f())", "7\t8"
        ),
        ("local f = coroutine.wrap(function() error 'x' end) print(pcall(f))", "false\ttest.lua:1: x"),
        ("local f = coroutine.wrap(function() error({1}) end) local ok, e = pcall(f) print(ok, e[1])", "false\t1"),
        ("for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do print(v) end", "1|2|3"),
        ("print(coroutine.close(coroutine.create(print)))", "true"),
        (
            "local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() error 'x' end }) "
                + "coroutine.yield() end) coroutine.resume(co) print(coroutine.close(co))", "false\ttest.lua:1: x"
        ),
        ("print(pcall(coroutine.close, coroutine.running()))", "false\tcannot close a running coroutine"),
        ("print(coroutine.isyieldable(), coroutine.status(coroutine.create(print)))", "false\tsuspended"),
        (
            "print(pcall(coroutine.resume, 5))",
            "false\tbad argument #1 to 'coroutine.resume' (thread expected, got number)"
        ),
    ])
    func coroutinesBehaveAsLuas(_ text: String, _ expected: String) {
        #expect(Fixture().run(text) == expected)
    }

    @Test func nearestNames() {
        #expect(nearest(to: "regoin", in: ["region", "ranges"]) == "region")
        #expect(nearest(to: "zzz", in: ["region", "ranges"]) == nil)
        #expect(parseSize("64K") == 65536 && parseSize("") == nil && parseSize("1KB") == nil && parseSize("0x") == nil)
    }
}
