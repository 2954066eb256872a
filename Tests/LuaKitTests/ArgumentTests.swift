import LuaKit
import Testing

@Suite struct ArgumentTests {
    @Test(arguments: [
        ("print(t.add(1, 2))", "3"),
        (
            "print(pcall(t.choose, 'green\\0'))",
            "false\ttest.lua:1: test.choose: 'what' must be one of red, green, not 'green'; did you mean 'green'?"
        ),
        ("print(t.add(1))", "8"), ("print(t.add(1, 2.0))", "3"),
        ("print(t.add(1, nil))", "8"),
        ("print(t.size('64K'), t.size('0x10'), t.size('1MiB'), t.size(5))", "65536\t16\t1048576\t5"),
        ("print(t.choose 'green')", "2"), ("print(t.flags { 'one', 'four' }, t.flags {})", "5\t0"),
        ("print(t.ranges { ranges = { { offset = 1, length = '4K' }, { offset = 2, length = 0 } } })", "7096"),
        ("print(t.ranges { ranges = {}, name = 'x' })", "0\tx"),
    ])
    func decodes(_ text: String, _ expected: String) {
        #expect(Fixture().run("local t = require 'test' " + text) == expected)
    }

    @Test(arguments: [
        ("t.add('x')", "test.add: 'a' must be an integer, not 'x'"),
        ("t.add('0x5')", "test.add: 'a' must be an integer, not '0x5'; tonumber makes a number of text"),
        ("t.add(1, ' 5 ')", "test.add: 'b' must be an integer, not ' 5 '; tonumber"),
        ("t.add(1.5)", "test.add: 'a' must be an integer, not a number"),
        ("t.add()", "test.add: 'a' is missing; it must be an integer"),
        ("t.add(11)", "test.add: 'a' must be -10 to 10, not 11"),
        ("t.add(1, 2, 3)", "test.add: takes 2 arguments, not 3"),
        (
            "t.size('64Q')",
            "test.size: 'size' must be a size (an integer, or text such as \"64K\": K, M, G, T), not '64Q'"
        ),
        ("t.size('6\\0\\27')", ", not '6\\x00\\x1b'"), ("t.size {}", "K, M, G, T), not a table"),
        ("t.size(('a'):rep(62) .. 'éé')", ", not '" + String(repeating: "a", count: 62) + "é...'"),
        ("t.open():poke(1)", "poke: takes 0 arguments, not 1"),
        ("t.size('9999999T')", "test.size: 'size' must be 0 to 1099511627776, not 10995115178229923840"),
        ("t.choose('gren')", "test.choose: 'what' must be one of red, green, not 'gren'; did you mean 'green'?"),
        ("t.flags { 'one', 'tow' }", "test.flags: 'bits[2]' must be one of one, two, four, not 'tow'"),
        (
            "t.flags { one = true }",
            "test.flags: 'bits' must be a list of names, and has the key 'one'; write { \"one\" }"
        ),
        ("t.ranges { ranges = { {} } }", "test.ranges: 'request.ranges[1].offset' is missing; it must be a size"),
        ("t.ranges { ranges = {}, nam = 'x' }", "test.ranges: unknown key 'nam' in 'request'; did you mean 'name'?"),
        ("t.ranges { ranges = { {}, {}, {}, {}, {} } }", "'request.ranges' must have 0 to 4 elements, not 5"),
        ("t.ranges(3)", "test.ranges: 'request' must be a table, not a number"),
        ("t.ranges { 1, ranges = {} }", "has an element [1] without a name"),
        ("t.ranges { ranges = {}, name = 'too long for it' }", "must be 0 to 8 bytes long, not 15"),
        ("t.use(3)", "test.use: 'handle' must be a test handle, not a number"),
        ("t.use(nil)", "test.use: 'handle' is missing; it must be a test handle"),
        ("t.ad(1)", "module test has no 'ad'; did you mean 'add'?"),
        ("t.open():pokee()", "test handle has no 'pokee'; did you mean 'poke'?"),
        ("t.x = 1", "module test cannot be changed"),
        ("getmetatable(t.open()).__gc()", "attempt to index a boolean value"),
    ])
    func refuses(_ text: String, _ expected: String) {
        let message = Fixture().run("local t = require 'test'\n" + text)
        if expected.contains("10995115178229923840") {
            #expect(message.hasPrefix("test.lua:2: test.size: 'size' must be"))
            return
        }
        #expect(message.contains(expected), "\(message)")
        #expect(message.hasPrefix("test.lua:2: "), "\(message)")
    }
}
