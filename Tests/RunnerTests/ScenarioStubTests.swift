import Glibc
import LuaKit
import Testing

@testable import Runner

/// stdlib/meta/scenario.lua, by which editors know what a scenario may declare.
@Suite struct ScenarioStubTests {
    private static func lines() throws -> [Substring] {
        let root = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined())
        return try InputFile.text(of: "\(root)/stdlib/meta/scenario.lua", limit: 1 << 20)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Names of the fields of a class.
    private static func fields(of name: String) throws -> Set<String> {
        let lines = try lines()
        let start = try #require(lines.firstIndex { $0 == "---@class \(name)" })
        let fields = lines[(start + 1)...].prefix { $0.hasPrefix("---@field ") }
        return Set(fields.map { $0.dropFirst("---@field ".count).prefix { $0 != " " && $0 != "?" } }.map(String.init))
    }

    /// The names of an alias, each on a line with what it means.
    private static func names(of alias: String) throws -> [String] {
        let lines = try lines()
        let start = try #require(lines.firstIndex { $0 == "---@alias \(alias)" })
        return try lines[(start + 1)...].prefix { $0.hasPrefix("---| ") }.map { line in
            let parts = line.dropFirst("---| ".count).split(separator: " # ")
            try #require(parts.count == 2, "\(line)")
            return parts[0].filter { $0 != "\"" }
        }
    }

    /// The texts that a field may have.
    private static func choices(of field: String) throws -> [String] {
        let line = try #require(try lines().first { $0.hasPrefix("---@field \(field) ") })
        return line.split(separator: " ")[2].split(separator: "|").map { $0.filter { $0 != "\"" } }
    }

    @Test func namesWhatTheProgramReads() throws {
        #expect(try ScenarioStubTests.fields(of: "scenario") == Scenario.keys)
        #expect(try ScenarioStubTests.fields(of: "scenario.option") == OptionSchema.keys)
        #expect(try ScenarioStubTests.fields(of: "scenario.expected_failure") == ExpectedFailure.keys)
        #expect(try ScenarioStubTests.names(of: "scenario.need") == Need.allCases.map(\.rawValue))
        #expect(try ScenarioStubTests.choices(of: "type") == OptionSchema.types)
        #expect(try ScenarioStubTests.names(of: "scenario.effect") == Effect.allCases.map(\.rawValue))
    }
}
