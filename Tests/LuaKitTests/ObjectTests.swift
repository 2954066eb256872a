import LuaKit
import Testing

@Suite struct ObjectTests {
    @Test func closesOnceByMethodScopeAndCollector() {
        let fixture = Fixture()
        #expect(fixture.run("local t = require 'test' local h <close> = t.open() h:close() h:close()") == "")
        #expect(fixture.counter.closings == 1)
        #expect(fixture.counter.live == 0)
        #expect(fixture.run("local t = require 'test' t.open()") == "")
        fixture.state.collect()
        #expect(fixture.counter.closings == 2)
        #expect(fixture.counter.live == 0)
    }

    @Test func closingTheStateClosesWhatIsLeft() {
        let fixture = Fixture()
        #expect(fixture.run("_ENV = {h = require 'test'.open()} kept = h") == "")
        fixture.state.close()
        #expect(fixture.counter.live == 0)
    }

    @Test func saysWhereItWasClosed() {
        let message = Fixture().run("local t = require 'test'\nlocal h = t.open()\nh:close()\nt.use(h)")
        #expect(message == "test.lua:4: test.use: 'handle' is closed (number one, closed at line 3)")
    }

    @Test func staysOpenWhereClosingIsRefused() {
        let fixture = Fixture()
        let text = """
            local t = require 'test'
            local h = t.open(1)
            local ok, err = pcall(h.close, h)
            print(ok, err.kind, t.use(h), tostring(h))
            h:close()
            print(tostring(h))
            """
        #expect(fixture.run(text) == "false\tkernel\ttrue\ttest handle number one|test handle number one (closed)")
        #expect(fixture.counter.live == 0)
    }

    @Test func aRefusalWhileCollectingIsKeptForTheReport() {
        let fixture = Fixture()
        _ = fixture.run("require 'test'.open(10)")
        fixture.state.collect()
        #expect(fixture.state.failuresWhileCollecting.map(\.message) == ["still busy"])
        #expect(fixture.counter.live == 0)
    }

    /// A young collection runs within the decoding of the long list.
    @Test func anObjectThatAFinalizerClosesDuringTheCallIsRefused() {
        let fixture = Fixture()
        let text = """
            local t = require 'test'
            collectgarbage('generational', 1, 1)
            local list = {}
            for i = 1, 20000 do list[i] = 1 end
            local calling, closed = false, false
            for i = 1, 50 do
              collectgarbage()
              local h = t.open()
              setmetatable({}, { __gc = function() if calling then closed = true h:close() end end })
              calling = true
              local ok, err = pcall(t.with, h, list)
              calling = false
              if closed then print(ok or err.message) break end
            end
            """
        #expect(fixture.run(text).hasPrefix("test.with: 'handle' is closed (number one"))
        #expect(fixture.counter.live == 0)
    }

    /// A call of a state that has used up its memory begins with a collection. Nothing else here allocates, which would be one too.
    @Test(arguments: ["t.use(h)", "t.with(h, list)", "h:poke()"])
    func anObjectThatTheCollectionBeforeACallClosesIsRefused(_ call: String) {
        let fixture = Fixture()
        fixture.state.limitMemory(1 << 20)
        let text = """
            local t = require 'test'
            local h, list = t.open(), {}
            collectgarbage('stop')
            local g, s = setmetatable({}, { __gc = function() h:close() end }), t.bytes(4 << 20)
            g, s = nil, nil
            \(call)
            """
        #expect(fixture.run(text).contains("is closed (number one, closed at line 4)"))
        #expect(fixture.counter.live == 0)
    }

    @Test(arguments: ["error(l)", "return l", "error { l = l }"])
    func aStringThatATableNamesOftenIsNotCopiedAsOften(_ text: String) {
        let fixture = Fixture()
        fixture.state.limitMemory(64 << 20)
        let message = fixture.run(
            "local s, l = ('a'):rep(8 << 20), {} for i = 1, 400 do l[i] = s end \(text)")
        // What is returned is not shown.
        #expect(message.contains("too large") || text.hasPrefix("return"), "\(message.prefix(200))")
    }

    @Test func closeInsideACoroutineThatIsClosed() {
        let fixture = Fixture()
        let text = """
            local t = require 'test'
            local co = coroutine.create(function() local h <close> = t.open() coroutine.yield() end)
            coroutine.resume(co)
            coroutine.close(co)
            """
        #expect(fixture.run(text) == "")
        #expect(fixture.counter.live == 0)
    }
}
