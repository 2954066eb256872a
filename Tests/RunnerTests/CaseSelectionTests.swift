import LuaKit
import Testing

@testable import Runner

/// Cases that are selected by name.
@Suite struct CaseSelectionTests {
    @Test func nothingOfAPlainScriptRuns() throws {
        let alone = try Outcome("print 'it ran'", cases: ["one"], isPlain: true)
        #expect(alone.error?.message == "--case: a plain script has no cases" && alone.lines.isEmpty)
        let one = try Outcome("print 'it ran'", cases: ["one"], isOneOfMany: true, isPlain: true)
        #expect(one.result?.cases.map(\.verdict) == [.notSelected] && one.result?.verdict == .skip)
        #expect(!one.lines.contains { $0.contains("it ran") })
    }

    /// One whose text does not show it.
    @Test func aPlainScriptThatLooksLikeAScenarioMakesNoCalls() throws {
        let one = try Outcome("local function f() require('memory').alloc(4096) end return f()", cases: ["one"])
        #expect(one.error?.message.contains("--case: a plain script has no cases") == true)
    }

    @Test func aScenarioWithoutSuchACaseIsLeftOutWithItsCases() throws {
        let text = "return { cases = { { 'one', function() end }, { 'two', function() end } } }"
        let one = try Outcome(text, cases: ["three"], isOneOfMany: true)
        #expect(one.result?.cases.map(\.name) == ["one", "two"] && one.result?.notSelected == 2)
        #expect(one.result?.skipped == [] && one.result?.verdict == .skip)
        #expect(one.lines.contains("  not run  it has no case that --case selects"))
        let alone = try Outcome(text, cases: ["one", "twp"])
        #expect(alone.error?.message.contains("no case is called 'twp'; did you mean 'two'?") == true)
    }

    @Test func aRoleThatSelectedACaseIsHeardBeforeOneThatDidNot() {
        func merged(_ verdicts: (Verdict, ErrorKind?)...) -> CaseResult {
            var all: [String: CaseResult] = [:]
            for (name, (verdict, kind)) in zip(["a", "b"], verdicts) {
                var one = CaseResult(name: "c", verdict: verdict, duration_ns: 0)
                one.message = "\(verdict)"
                one.error = kind.map { ErrorFields(ErrorValue(kind: $0, "x")) }
                all[name] = one
            }
            return CaseResult.merged(all, ["a", "b"], leader: CaseResult(name: "c", verdict: .pass, duration_ns: 0))
        }
        #expect(merged((.notSelected, nil), (.pass, nil)).verdict == .pass)
        #expect(merged((.notSelected, nil), (.fail, .script)).verdict == .fail)
        #expect(merged((.notSelected, nil), (.fail, .peer)).verdict == .fail)
        let left = merged((.notSelected, nil), (.notSelected, nil))
        #expect(left.verdict == .notSelected && left.message == "notSelected")
    }
}
