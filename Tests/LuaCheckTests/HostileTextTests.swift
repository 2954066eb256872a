import Glibc
import Kernel
import LuaKit
import Runner
import Testing

@testable import LuaCheck

/// Texts that come from elsewhere, and are no Lua or hardly any.
@Suite struct HostileTextTests {
    private func findings(_ text: String) throws -> [Finding] {
        try LuaChecker(Library(stdlib: [])).findings(in: Array(text.utf8), folder: "/dev/null")
    }

    private static func repeated(_ part: String, _ count: Int) -> String { String(repeating: part, count: count) }

    static let deep: [String] = [
        "return " + repeated("(", 100_000), "return " + repeated("{", 100_000), "x = " + repeated("- ", 100_000) + "1",
        repeated("if true then ", 100_000), repeated("do ", 100_000),
        "return " + repeated("function() return ", 100_000),
        "return " + repeated("1 .. ", 100_000) + "1", "return 1" + repeated(" + 1", 100_000),
        "local a return a" + repeated(".b", 100_000), "local a return a" + repeated("()", 100_000),
        "local a return a" + repeated("[a", 100_000), "local a a" + repeated(":b{", 100_000),
        "return " + repeated("not ", 100_000) + "1", repeated("goto a ", 100_000),
        repeated("local a <const> = 1 ", 100_000), "return [" + repeated("=", 1_000_000),
        repeated("a.b = c ", 50_000), "return \"" + repeated("\\u{", 100_000),
    ]

    /// Each ends with a finding, and the process goes on.
    @Test(arguments: deep.indices)
    func deepAndEndlessTextsAreFindings(_ index: Int) throws {
        #expect(try !findings(HostileTextTests.deep[index]).isEmpty)
    }

    @Test func longTextsWithoutMeaningHaveNoFinding() throws {
        #expect(try findings(HostileTextTests.repeated(";", 100_000)).isEmpty)
        #expect(try findings("--[" + HostileTextTests.repeated("=", 1_000_000)).isEmpty)
        // What looks like annotations: each is read once, and a line of it to some length.
        let blanks = HostileTextTests.repeated(" ", 500_000)
        #expect(
            try findings("---@class a\(blanks)|\n---@field a {\(blanks)" + HostileTextTests.repeated("{", 500_000))
                .isEmpty)
        #expect(try findings(HostileTextTests.repeated("---@param a (\n", 50_000) + "return {}").isEmpty)
    }

    /// A chain that Lua takes and the checker does not follow is not called an error.
    @Test func whatIsTooLongToBeFollowedIsSaid() throws {
        let found = try findings("return 1" + HostileTextTests.repeated(" + 1", 1000))
        #expect(found.map(\.severity) == [.warning])
        #expect(found.first?.message.hasPrefix("not checked any further") == true)
    }

    /// Comments of a module are read for the types of its functions.
    @Test(arguments: [
        "---) @overload fun(", "---@overload fun(a", "---@overload fun(:)", "---@overload fun(a, :, b)", "---@return :",
        "---@generic :", "---@param :", "---@param a |" + repeated(" ", 200_000) + "b",
        "---@return x" + repeated("[]", 60_000),
        "---@return x" + repeated("?", 200_000),
    ])
    func annotationsOfModulesAreOnlyText(_ comment: String) throws {
        var template = Array("/tmp/peerlab-XXXXXX".utf8CString)
        let folder = String(cString: try #require(mkdtemp(&template)))
        let file = try #require(fopen("\(folder)/m.lua", "w"))
        fputs("local m = {}\n\(comment)\nfunction m.f(a) return a end\nreturn m\n", file)
        fclose(file)
        defer { _ = (unlink("\(folder)/m.lua"), rmdir(folder)) }
        let text = "local m = require 'm'\nreturn m.f(1)\n"
        let found = try LuaChecker(Library(stdlib: [])).findings(in: Array(text.utf8), folder: folder)
        #expect(!found.contains { $0.severity == .error }, "\(found)")
    }

    @Test func thousandsOfFindingsEnd() throws {
        let found = try findings(HostileTextTests.repeated("unknown = another\n", 20_000))
        #expect((1...2 * Checker.mostFindings).contains(found.count))
    }

    @Test func bytesThatAreNoTextAreFindings() throws {
        for bytes: [UInt8] in [
            [0], [0xff, 0xfe], Array("local a\u{0} = 1".utf8), Array("return '".utf8) + [0xc3, 0x28],
        ] {
            let found = try LuaChecker(Library(stdlib: [])).findings(in: bytes, folder: "/dev/null")
            #expect(found.map(\.severity) == [.error], "\(bytes)")
        }
        // Within a string every byte is right.
        let string = Array("return '".utf8) + [0xff, 0, 0xc3] + Array("'".utf8)
        #expect(try LuaChecker(Library(stdlib: [])).findings(in: string, folder: "/dev/null").isEmpty)
    }

    @Test func emptyTextsHaveNoFinding() throws {
        for text in ["", "\n", "#!/bin/lua", "\u{feff}return 1", "-- only a comment", "--[[ \n ]]"] {
            #expect(try findings(text).isEmpty, "\(text)")
        }
    }

    /// Changes bytes of the repository's own files. The checker and Lua's compiler must say the same of what is no Lua.
    @Test func changedFilesAreJudgedAsLuaJudgesThem() throws {
        var random = SeededGenerator(seed: 20)
        let checker = try Repository.checker()
        let files = Repository.files(in: "\(Repository.root)/scripts/scenarios")
        var refused = 0
        for round in 0..<150 {
            let file = files[round % files.count]
            var text = try Repository.bytes(file)
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: text[place] = UInt8.random(in: 0...255, using: &random)
                case 1: text.remove(at: place)
                case 2: text.insert(contentsOf: text[place..<min(place + 40, text.count)], at: place)
                default: text.removeSubrange(place..<min(place + 200, text.count))
                }
            }
            var isLua = true
            do { try LuaState.compile(text) } catch { isLua = false }
            let parsed = (try? Parser.chunk(text, known: [])) != nil
            // Labels and loops are left to Lua; all else is read alike.
            #expect(parsed || !isLua, "\(file), round \(round)")
            if !isLua { refused += 1 }
            let found = checker.findings(in: text, folder: Repository.folder(file))
            #expect(isLua || found.contains { $0.severity == .error }, "\(file), round \(round)")
        }
        #expect(refused > 25)
    }
}
