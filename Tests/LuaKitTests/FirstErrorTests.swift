import LuaKit
import Testing

/// What ends a call is the first error; what fails while that closes things stands beside it.
@Suite struct FirstErrorTests {
    /// Runs a chunk that fails: the error's line, and the messages of what failed besides.
    private func failure(_ text: String, _ fixture: Fixture = Fixture()) -> (line: String, further: [String]) {
        let line = fixture.run("local t = require 'test'\n" + text)
        return (line, fixture.state.takeFailuresOfClosing().map(\.message))
    }

    @Test func whatAnObjectIsRefusedStandsBesideTheError() {
        let found = failure("local h <close> = t.open(1) error 'real'")
        #expect(found.line == "test.lua:2: real")
        #expect(found.further == ["still busy"])
    }

    @Test func whatClosingRaisesStandsBesideTheErrorInOrder() {
        let found = failure(
            """
            local function closing(text) return setmetatable({}, { __close = function() error(text, 0) end }) end
            local a <close>, b = closing 'third', 0
            local c <close> = closing 'second'
            error('first', 0)
            """)
        #expect(found.line == "first")
        #expect(found.further == ["second", "third"])
    }

    @Test func theErrorThatClosingRaisesAgainIsToldOnce() {
        let found = failure(
            """
            local a <close> = setmetatable({}, { __close = function(_, e) error(e, 0) end })
            t.fail()
            """)
        #expect(found.line == "test.lua:3: op: EINVAL on thing")
        #expect(found.further == [])
    }

    @Test func aRefusalWithoutAnErrorIsTheError() {
        let found = failure("do local h <close> = t.open(1) end print 'not reached'")
        #expect(found.line == "test.lua:2: still busy")
        #expect(found.further == [])
    }

    @Test func aScriptThatCatchesGetsTheFirstError() {
        let found = failure(
            """
            local ok, err = pcall(function() local h <close> = t.open(1) error('real', 0) end)
            print(ok, err)
            """)
        #expect(found.line == "false\treal")
        #expect(found.further == ["still busy"])
    }

    @Test func whatACoroutineClosesIsToldToo() {
        let found = failure(
            """
            coroutine.wrap(function() local h <close> = t.open(1) error('real', 0) end)()
            """)
        #expect(found.line.hasSuffix("real"))
        #expect(found.further == ["still busy"])
    }

    @Test(arguments: [
        "coroutine.wrap(body)()", "local ok, e = coroutine.resume(coroutine.create(body)) error(e, 0)",
    ])
    func whatClosingRaisesInACoroutineStandsBesideItsError(_ call: String) {
        let found = failure(
            """
            local function closing(text) return setmetatable({}, { __close = function() error(text, 0) end }) end
            local function body()
              local a <close> = closing 'third'
              local b <close> = closing 'second'
              error('first', 0)
            end
            \(call)
            """)
        #expect(found.line.hasSuffix("first"))
        #expect(found.further == ["second", "third"])
    }

    @Test func aCoroutineGivesAndTakesAsLuas() {
        let fixture = Fixture()
        let line = fixture.run(
            """
            local co = coroutine.create(function(a, b)
              local c, d = coroutine.yield(a + b)
              local ok, e = pcall(function() coroutine.yield(c * d) error('caught', 0) end)
              return ok, e, nil
            end)
            local one, two = select(2, coroutine.resume(co, 1, 2)), select(2, coroutine.resume(co, 3, 4))
            local all = table.pack(coroutine.resume(co))
            print(one, two, all.n, all[1], all[2], all[3], coroutine.status(co), (coroutine.resume(co)))
            """)
        #expect(line == "3\t12\t4\ttrue\tfalse\tcaught\tdead\tfalse")
    }

    @Test func aFinalizersFailureHasTheEraOfItsObject() {
        let fixture = Fixture()
        fixture.state.era = 1
        _ = fixture.run("local k = setmetatable({}, { __gc = function() error('one', 0) end })")
        fixture.state.era = 2
        _ = fixture.run(
            """
            setmetatable({}, { __gc = function() error('two', 0) end })
            for _ = 1, 100000 do local _ = {} end
            """)
        fixture.state.collect()
        let found = fixture.state.takeFailuresOfFinalizers()
        #expect(
            found.map { "\($0.era ?? -1) \($0.error.message)" }.sorted() == [
                "1 in a finalizer (__gc): one", "2 in a finalizer (__gc): two",
            ])
    }

    @Test func whenMemoryIsOverThatIsTheError() {
        let fixture = Fixture()
        fixture.state.limitMemory(8 << 20)
        let found = failure(
            """
            local a <close> = setmetatable({}, { __close = function() error('closing', 0) end })
            local list = {}
            for i = 1, 1e8 do list[i] = { i } end
            """, fixture)
        #expect(found.line.contains("not enough memory"))
        #expect(found.further == ["closing"])
    }

    @Test func anErrorFarDownIsTold() {
        let found = failure(
            """
            local a <close> = setmetatable({}, { __close = function() error('closing', 0) end })
            local function down(n) return 1 + down(n + 1) end
            down(1)
            """)
        #expect(found.line.contains("stack overflow"))
        #expect(found.further == ["closing"])
    }

    @Test(arguments: [("error('lost', 0)", "lost"), ("t.fail()", "test.lua:2: op: EINVAL on thing")])
    func whatAFinalizerRaisesIsTold(_ body: String, _ message: String) {
        let fixture = Fixture()
        let found = failure(
            "setmetatable({}, { __gc = function() \(body) end }) collectgarbage() print 'here'", fixture)
        #expect(found.line == "here")
        #expect(fixture.state.takeFailuresOfFinalizers().map(\.error.message) == ["in a finalizer (__gc): \(message)"])
    }

    @Test func whatAFinalizerRaisesWhileACoroutineIsClosedIsTold() {
        let fixture = Fixture()
        let found = failure(
            "local co = coroutine.create(function() local x <close> = setmetatable({}, { __close = function() "
                + "setmetatable({}, { __gc = function() error('lost', 0) end }) collectgarbage() end }) coroutine.yield() end) "
                + "coroutine.resume(co) coroutine.close(co) print 'here'", fixture)
        #expect(found.line == "here")
        #expect(fixture.state.takeFailuresOfFinalizers().map(\.error.message) == ["in a finalizer (__gc): lost"])
    }

    @Test func whatAFinalizerRaisesAtTheEndIsTold() {
        let fixture = Fixture()
        _ = fixture.run("local t = setmetatable({}, { __gc = function() error('late', 0) end })")
        fixture.state.close()
        #expect(fixture.state.takeFailuresOfFinalizers().map(\.error.message) == ["in a finalizer (__gc): late"])
    }

    @Test func theErrorIsToldBeforeAnythingIsClosed() {
        let fixture = Fixture()
        var order: [String] = []
        fixture.state.raised = { order.append("\($0.message), \(fixture.counter.closings) closed") }
        _ = failure("local h <close> = t.open(1) error('real', 0)", fixture)
        #expect(order == ["real, 0 closed"])
        #expect(fixture.counter.closings > 0)
    }

    @Test(arguments: [
        ("error({ code = 5, list = { 1, 'a' } })", #"{code = 5, list = {1, "a"}}"#), ("error({ 1, 2 })", "{1, 2}"),
        ("error(setmetatable({}, { __tostring = function() return 'told' end }))", "told"), ("error(nil)", "nil"),
    ])
    func anErrorThatIsNoTextIsShown(_ text: String, _ message: String) {
        #expect(failure(text).line == message)
    }

    @Test func anErrorJoinsTexts() {
        let found = failure(
            """
            local _, err = pcall(t.fail)
            print("x: " .. err, err .. "!", err .. 5)
            """)
        #expect(
            found.line == "x: test.lua:2: op: EINVAL on thing\ttest.lua:2: op: EINVAL on thing!\t"
                + "test.lua:2: op: EINVAL on thing5")
    }
}
