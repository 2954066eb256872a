import Runner
import Testing

@testable import LuaCheck

@Suite struct MistakeTests {
    @Test func eachIsFoundAndNothingElse() throws {
        let checker = try Repository.checker()
        for mistake in Mistake.all + Mistake.ofTables {
            let found = checker.findings(in: Array((mistake.text + "\n").utf8), folder: "/dev/null")
            #expect(found.map(\.line) == mistake.findings, "\(mistake.name)")
        }
    }

    /// A file's own mistakes do not become those of another one.
    @Test func nothingIsKeptBetweenFiles() throws {
        let checker = try Repository.checker()
        for mistake in Mistake.all { _ = checker.findings(in: Array(mistake.text.utf8), folder: "/dev/null") }
        #expect(
            checker.findings(
                in: Array("local expect = require 'expect'\nexpect.equal(1, 1)\n".utf8), folder: "/dev/null") == [])
    }
}

extension Finding {
    var line: String { "\(place.line):\(place.column): \(severity.rawValue): \(message)" }
}
