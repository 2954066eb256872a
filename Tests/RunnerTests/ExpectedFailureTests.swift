import Kernel
import LuaKit
import Testing

@testable import Runner

/// Failures that are known.
@Suite struct ExpectedFailureTests {
    private static let script = """
        return { cases = {
          { "fails", function() error("it is broken") end },
          { "passes", function() end },
          { "skips", function(t) t:skip("not here") end },
        } }
        """

    private func verdicts(_ expected: ExpectedFailure...) throws -> (ScenarioResult, [String]) {
        let outcome = try Outcome(Self.script, expected: expected)
        return (try #require(outcome.result), outcome.lines)
    }

    @Test func aKnownFailureFailsNoRunAndSaysWhy() throws {
        let (result, lines) = try verdicts(ExpectedFailure(case: "fails", reason: "a bug of 7.3"))
        #expect(result.verdict == .expectedFailure)
        #expect(result.cases.map(\.verdict) == [.expectedFailure, .pass, .skip])
        #expect(result.cases[0].message?.hasSuffix("it is broken") == true, "what failed stays")
        #expect(result.cases[0].expected_failure == "a bug of 7.3")
        #expect(lines.contains { $0.hasPrefix("  xfail fails") })
        #expect(lines.contains("        expected to fail: a bug of 7.3"))
        #expect(Report.summary([result]) == "1 passed, 0 failed, 1 skipped, 1 failed as expected")
    }

    @Test func oneThatIsGoneIsAFailure() throws {
        let (result, lines) = try verdicts(
            ExpectedFailure(case: "fails", reason: "x"), ExpectedFailure(case: "pass*", reason: "a bug of 7.3"))
        #expect(result.verdict == .unexpectedPass && result.cases[1].verdict == .unexpectedPass)
        #expect(result.cases[1].message == "expected to fail, but passed; it was expected because: a bug of 7.3")
        #expect(lines.contains { $0.hasPrefix("  XPASS passes") })
        #expect(Report.summary([result]).hasSuffix("1 failed as expected, 1 expected to fail, but passed"))
    }

    @Test func whatFailsSometimesMayPass() throws {
        let (result, _) = try verdicts(
            ExpectedFailure(case: "fails", reason: "x"),
            ExpectedFailure(case: "passes", reason: "y", sometimes: true))
        #expect(result.verdict == .expectedFailure && result.cases[1].verdict == .pass)
    }

    @Test func aWholeRunMayBeExpectedToFail() throws {
        let (result, _) = try verdicts(ExpectedFailure(case: nil, reason: "this kernel cannot"))
        #expect(result.verdict == .expectedFailure && result.cases[1].verdict == .pass)
        let mended = try Outcome(
            "return { cases = { { 'one', function() end } } }",
            expected: [ExpectedFailure(case: nil, reason: "this kernel cannot")])
        #expect(mended.result?.verdict == .unexpectedPass && mended.result?.cases[0].verdict == .pass)
        #expect(mended.lines.contains("  EXPECTED TO FAIL, BUT PASSED: this kernel cannot"))
    }

    @Test func aWholeRunIsNotMendedByASelectionOfItsCases() throws {
        let whole = ExpectedFailure(case: nil, reason: "this kernel cannot")
        let part = try Outcome(Self.script, expected: [whole], cases: ["passes"])
        #expect(part.result?.verdict == .pass)
        #expect(part.result?.cases.map(\.verdict) == [.notSelected, .pass, .notSelected])
        #expect(!part.lines.contains { $0.contains("BUT PASSED") })
        #expect(try Outcome(Self.script, expected: [whole], cases: ["fails"]).result?.verdict == .expectedFailure)
        let named = ExpectedFailure(case: "passes", reason: "x")
        #expect(try Outcome(Self.script, expected: [named], cases: ["passes"]).result?.verdict == .unexpectedPass)
    }

    @Test func anotherFailureStillFails() throws {
        let (result, _) = try verdicts(ExpectedFailure(case: "skips", reason: "x"))
        #expect(result.verdict == .fail && result.cases.map(\.verdict) == [.fail, .pass, .skip])
    }

    @Test func aScenarioMayDeclareThem() throws {
        func run(_ entries: String) throws -> Outcome {
            try Outcome(
                "return { expected_failures = { \(entries) }, cases = { { 'fails', function() error('no') end } } }")
        }
        let known = try run("{ case = 'fails', reason = 'known' }")
        #expect(known.result?.verdict == .expectedFailure && known.result?.cases[0].expected_failure == "known")
        #expect(try run("{ case = 'fails', reason = 'known', bench = 'sim' }").result?.verdict == .expectedFailure)
        #expect(try run("{ case = 'fails', reason = 'known', bench = 'host' }").result?.verdict == .fail)
        #expect(
            try run("{ case = 'fials', reason = 'known' }").error?.message.contains("did you mean 'fails'?") == true)
        #expect(try run("{ case = 'fails' }").error?.message.contains("has no reason") == true)
        #expect(try run("{ case = 'fails', reason = 'x', benches = 'sim' }").error?.message.contains("'bench'") == true)
        #expect(try run("{ reason = 'x', bench = 'simulator' }").error != nil)
        #expect(try run("'fails'").error != nil)
    }

    @Test func whatEndsItsProcessMayBeExpected() throws {
        var result = ScenarioResult(
            file: "a.lua", name: "a", verdict: .pass, bench: "sim", bench_description: "", simulated: true)
        result.expected_failures = [ExpectedFailure(case: "two", reason: "it panics")]
        func ended(in number: Int) throws -> ScenarioResult {
            var progress = RunProgress()
            progress.take(.begins(result))
            progress.take(.loaded(result, cases: ["one", "two", "three"]))
            progress.take(.starts(number))
            return try #require(progress.ended(by: RunProgress.Death(kind: .kernelDied, "the kernel panicked")))
        }
        #expect(try ended(in: 0).verdict == .fail)
        let known = try ended(in: 1)
        #expect(known.cases.map(\.verdict) == [.expectedFailure, .notRun])
        #expect(known.verdict == .fail, "nobody knows what the third case would have done")
        result.expected_failures = [ExpectedFailure(case: nil, reason: "it panics")]
        #expect(try ended(in: 1).verdict == .expectedFailure)
    }

    @Test func whatTheKernelComplainsOfIsNotTheKnownFailure() {
        var one = CaseResult(name: "a", verdict: .fail, duration_ns: 0)
        var findings = KernelFindings()
        findings.lines = ["WARNING: at drivers/vfio/x.c:1"]
        one.kernel = findings
        one.judge([ExpectedFailure(case: "a", reason: "EINVAL")])
        #expect(one.verdict == .fail)
        one.kernel = nil
        one.judge([ExpectedFailure(case: "a", reason: "EINVAL")], isCase: false)
        #expect(one.verdict == .fail, "it is not the case of that name")
        one.judge([ExpectedFailure(case: "a", reason: "EINVAL")])
        #expect(one.verdict == .expectedFailure)
    }

    // MARK: The file

    private func names(_ text: String, _ run: String) throws -> [String] {
        try ExpectedFailures(text, path: "known").failures(of: run).map { $0.name ?? "*" }
    }

    @Test func aFileListsRunsAndCases() throws {
        let text = """
            # known failures of 7.3

            tph-set.lua > the tag is refused   # mlx5 keeps 8 bits, see #12
            scenarios/a.lua                    # not yet
            sometimes wire*.lua[size=64] > x   # slow
            """
        #expect(try names(text, "scripts/scenarios/tph-set.lua") == ["the tag is refused"])
        #expect(try names(text, "tph-set.lua[size=64]") == ["the tag is refused"], "every cell")
        #expect(try names(text, "my-tph-set.lua").isEmpty, "a path ends with whole names")
        #expect(try names(text, "x/scenarios/a.lua") == ["*"])
        #expect(try names(text, "wired.lua[size=64]") == ["x"])
        #expect(try names(text, "wired.lua[size=4K]").isEmpty && names(text, "wired.lua").isEmpty)
        let known = try ExpectedFailures(text, path: "known")
        #expect(known.failures(of: "tph-set.lua")[0].reason == "mlx5 keeps 8 bits, see #12")
        #expect(known.failures(of: "wire.lua[size=64]")[0].sometimes == true)
        #expect(known.failures(of: "x[1]/tph-set.lua").count == 1, "brackets of a folder are no cell")
        #expect(known.unused(by: [("tph-set.lua", ["the tag is refused"]), ("wire.lua[size=64]", ["y"])]) == [4, 5])
    }

    @Test(arguments: [
        ("a.lua > one", "known:1: the line has no reason behind ' # ': 'a.lua > one'; a line is FILE > CASE  # REASON"),
        ("\na.lua > one  #", "known:2: the line has no reason"), ("* > *", "known:1: the line has no reason"),
        ("> one # known", "known:1: the line names no file"), ("a.lua >  # known", "known:1: the line names no case"),
    ])
    func aLineThatIsNoneIsRefused(_ text: String, _ said: String) throws {
        let error = #expect(throws: ErrorValue.self) { try ExpectedFailures(text, path: "known") }
        #expect(error?.line.hasPrefix(said) == true && error?.errno == nil, "\(error?.line ?? "")")
    }

    @Test(arguments: [
        ("abc", "abc", true), ("abc", "a*", true), ("abc", "*c", true), ("abc", "*b*", true), ("abc", "a*c*", true),
        ("abc", "ab", false), ("abc", "a*bc*d", false), ("aba", "ab*ba", false), ("", "*", true), ("abab", "*ab", true),
    ])
    func aStarStandsForAnyText(_ text: String, _ pattern: String, _ isMatch: Bool) {
        #expect(WildcardText.matches(text, pattern) == isMatch)
    }
}
