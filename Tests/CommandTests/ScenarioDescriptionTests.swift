import ArgumentParser
import Commands
import Glibc
import LuaKit
import Runner
import Testing

@testable import peerlab

/// What a scenario's file says of itself while it is loaded, before its bench is there.
@Suite struct ScenarioDescriptionTests {
    private static let text = """
        local case = require "case"
        local isReal = case:bench() == "real"
        return {
          name = "either", effects = isReal and { "raw" } or {},
          cases = { [isReal and "real" or "simulated"] = function() end },
        }
        """

    private func described(isSimulated: Bool) throws -> Scenario {
        let description = try description(Self.text, isSimulated: isSimulated)
        #expect(description.error == nil)
        return try #require(description.scenario)
    }

    private func description(_ text: String, isSimulated: Bool = true) throws -> ScenarioDescription {
        var path = Array("/tmp/peerlab-description.XXXXXX.lua".utf8CString)
        let descriptor = mkstemps(&path, 4)
        let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(name) }
        #expect(writeAll(Array(text.utf8), to: descriptor))
        close(descriptor)
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        return try ScenarioDescription(name, library, isSimulated: isSimulated)
    }

    /// Whoever asks what a file is does not run a plain script, which would then run twice.
    @Test(arguments: [
        ("error('it ran')", false, false), ("if true then return end error('it ran')", false, false),
        ("error('it ran') return {}", false, true), ("return { one = 1 }", true, true),
    ])
    func aPlainScriptIsNotRun(_ text: String, _ isModule: Bool, _ hasError: Bool) throws {
        let description = try description(text)
        #expect(description.scenario == nil && description.isModule == isModule)
        #expect((description.error != nil) == hasError, "\(description.error?.line ?? "")")
    }

    @Test func itIsToldOfTheBenchThatWasAskedFor() throws {
        let real = try described(isSimulated: false), simulated = try described(isSimulated: true)
        #expect(real.cases.map(\.name) == ["real"] && real.effects?.contains(.raw) == true)
        #expect(simulated.cases.map(\.name) == ["simulated"] && simulated.effects?.contains(.raw) == false)
    }

    @Test(arguments: [("sim", true), ("sim:lab", true), ("lab", false), ("host", false)])
    func benchesAreKnownByTheirNames(_ name: String, _ isSimulated: Bool) throws {
        #expect(try BenchOptions.parse(["--bench", name]).isSimulated == isSimulated)
    }
}
