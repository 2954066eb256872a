import LuaKit
import Testing

/// Arguments that a description would have to change to take are refused, with what was meant.
@Suite struct RefusedArgumentTests {
    @Test(arguments: [
        (
            "t.ranges { ranges = { offset = 0, length = 1 } }",
            "'request.ranges' must be a list, and has the key '%'; write { { % = ... } }, a table for each element"
        ),
        ("t.ranges { ranges = { { offset = 0, length = 1 }, extra = 4 } }", "must be a list, and has the key 'extra'"),
        (
            "t.ranges { ranges = { [2] = { offset = 0, length = 1 } } }",
            "must be a list without holes, and has nothing at [1] but 1 elements in all"
        ),
        ("t.ranges { ranges = { [1.5] = 1 } }", "must be a list, and has a key of type number"),
        ("t.ranges { { offset = 0, length = 1 } }", "has an element [1] without a name"),
        ("t.flags { two = true }", "must be a list of names, and has the key 'two'; write { \"two\" }"),
        ("t.flags { [3] = 'two' }", "must be a list without holes"),
        (
            "t.open().poke()",
            "handle:poke: it is a method and has no object here; call it with a colon, handle:poke(...)"
        ),
        ("t:add(1)", "test.add: it is no method; call it with a dot, test.add(...)"),
    ])
    func sayWhatWasMeant(_ call: String, _ message: String) {
        let found = Fixture().run("local t = require 'test'\n" + call)
        let parts = message.split(separator: "%").map(String.init)
        #expect(parts.allSatisfy { found.contains($0) }, "\(found)")
    }

    @Test func anUndeclaredModuleIsToBeRequired() {
        let found = Fixture(modules: ["expect": "return {}"]).run("expect.equal(1, 1)")
        #expect(found.hasSuffix("undeclared variable 'expect'; write: local expect = require \"expect\""))
    }
}
