import Bindings
import LuaKit
import Runner
import Testing

@testable import peerlab

/// Help about the stdlib's modules, which is read from the comments of their files.
@Suite struct LuaReferenceTests {
    private static let library = Library(stdlib: [TranscriptTests.root + "/stdlib"])
    static let modules = HelpTopics.luaModules(library)

    @Test func allModulesAreThere() {
        let names = Self.modules.map(\.name)
        #expect(names.contains("expect") && names.contains("engines.edu") && !names.contains("benches.standard"))
        #expect(names.count >= 13)
    }

    /// Each key of the table that a module returns, as a script sees it, is in help, with a line about it.
    @Test(arguments: modules.map(\.name))
    func everyFunctionAndFieldIsExplained(_ name: String) throws {
        let module = try #require(Self.modules.first { $0.name == name })
        #expect(!module.doc.isEmpty && module.lines[0].hasSuffix(".") || module.doc.count > 1, "\(module.lines[0])")
        let script = "for key in pairs(require '\(name)') do print(key) end"
        let output = Shell.run("f=$(mktemp) && echo \"\(script)\" >$f && peerlab run $f; rm $f").output
        let keys = output.split(separator: "\n").filter { $0.hasPrefix("| ") }.map { $0.dropFirst(2) }
        #expect(!keys.isEmpty, "\(output)")
        for key in keys {
            let entry = module.entries.first { $0.name == "\(name).\(key)" }
            #expect(entry != nil, "\(name).\(key) is not in help")
            #expect(
                entry.map { $0.lines.count > 1 || $0.lines[0].contains("  ") } ?? true,
                "\(name).\(key) is not explained")
        }
        for entry in module.entries { #expect(HelpTopics.lines(entry.name, Self.library) != nil, "\(entry.name)") }
    }

    /// Functions, classes, methods, constants, tables and their fields of the host's modules.
    @Test(arguments: Bindings.modules.map(\.name))
    func everyNameOfTheHostIsExplained(_ name: String) throws {
        let module = try #require(Bindings.modules.first { $0.name == name })
        let entries = Reference.entries(module).flatMap(\.all)
        #expect(entries.count >= module.functions.count + module.constants.count)
        for entry in entries {
            let lines = HelpTopics.lines(entry.name, Library(stdlib: [])) ?? []
            #expect(lines.contains(entry.lines[0]), "\(entry.name)")
        }
    }

    @Test func whatItReadsOfAFile() {
        let module = LuaFileReference(
            "m",
            """
            --- First sentence
            --- goes on.
            ---
            --- A paragraph.
            ---   indented
            local M = {
              SIZE = 4, -- bytes
              -- Most of them.
              most = 8,
              nested = {
                inner = 1, -- not a field of the module
              },
            }
            --- Private.
            local function hidden() end
            --- Adds.
            ---@param a integer
            ---@overload fun(a: integer, b?: integer)
            function M.add(...) end
            function M.bare(x) end
            local Class = {}
            --- Closes it.
            function Class:close(now) end
            function Class:private() end
            --- By another name.
            M.alias = M.add
            return M
            """)
        #expect(module.doc == ["First sentence goes on.", "A paragraph.", "  indented"])
        #expect(
            module.entries.map(\.lines) == [
                ["m.SIZE = 4  bytes"], ["m.most = 8", "    Most of them."], ["m.nested = { ... }"],
                ["m.add(a, [b])", "    Adds."], ["m.bare(x)"], ["class:close(now)", "    Closes it."],
                ["m.alias = M.add", "    By another name."],
            ])
    }
}
