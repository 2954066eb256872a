import LuaKit
import Testing

@testable import Runner

/// What is left of a run whose process is ended.
@Suite struct RunProgressTests {
    private func result() -> ScenarioResult {
        ScenarioResult(file: "a.lua", name: "a", verdict: .pass, bench: "sim", bench_description: "", simulated: true)
    }

    private func story(_ events: RunEvent...) -> RunProgress {
        var progress = RunProgress()
        for event in events { progress.take(event) }
        return progress
    }

    private let death = RunProgress.Death(kind: .crash, "it fell over", position: "a.lua:3: ")

    private func ended(_ name: String) -> RunEvent { .ended(CaseResult(name: name, verdict: .pass, duration_ns: 1)) }

    @Test func whatHadEndedStaysWhatRanFailedAndTheRestWasNotRun() throws {
        let story = story(
            .begins(result()), .loaded(result(), cases: ["one", "two", "three"]), .starts(0), ended("one"), .starts(1))
        #expect(story.stage == "case 'two'")
        let found = try #require(story.ended(by: death))
        #expect(found.verdict == .fail)
        #expect(found.cases.map(\.name) == ["one", "two", "three"])
        #expect(found.cases.map(\.verdict) == [.pass, .fail, .notRun])
        #expect(found.cases[1].message == "a.lua:3: it fell over")
        #expect(found.cases[1].error?.kind == .crash)
        #expect(found.cases[2].message == "not run: it fell over")
    }

    private func found(_ log: String, _ message: String? = nil) -> RunEvent {
        var one = CaseResult(name: "one", verdict: message == nil ? .pass : .fail, duration_ns: 0)
        one.log = [log]
        one.message = message
        one.error = message.map { ErrorFields(ErrorValue(kind: .expectation, $0)) }
        return .found(one)
    }

    @Test func whatFailedFirstStaysAndWhatEndedTheRunStandsBesideIt() throws {
        let story = story(
            .begins(result()), .loaded(result(), cases: ["one", "two"]), .starts(0), found("before"),
            found("at it", "expected 2, found 1"))
        let one = try #require(story.ended(by: death)?.cases.first)
        #expect(one.message == "expected 2, found 1")
        #expect(one.error?.kind == .expectation)
        #expect(one.further?.map(\.line) == ["and while closing: a.lua:3: it fell over"])
        #expect(one.log == ["before", "at it"])
    }

    @Test func whatACaseHadFoundStaysWhereItHadNotFailed() throws {
        let story = story(.begins(result()), .loaded(result(), cases: ["one"]), .starts(0), found("before"))
        let one = try #require(story.ended(by: death)?.cases.first)
        #expect(one.message == "a.lua:3: it fell over")
        #expect(one.log == ["before"])
    }

    @Test func betweenCasesNoneIsBlamed() throws {
        var story = story(.begins(result()), .loaded(result(), cases: ["one", "two"]))
        #expect(story.stage == "what comes before the first case")
        #expect(story.ended(by: death)?.cases.map(\.verdict) == [.fail, .notRun, .notRun])
        story.take(.starts(0))
        story.take(ended("one"))
        #expect(story.stage == "what comes behind case 'one'")
        #expect(story.ended(by: death)?.cases.map(\.verdict) == [.pass, .fail, .notRun])
    }

    @Test func aScriptThatIsLoadedIsItsOwnCase() {
        #expect(story(.begins(result())).ended(by: death)?.cases.map(\.name) == ["a"])
        #expect(story().ended(by: death) == nil)
    }

    @Test func aStrangersNumbersAreNoPlace() {
        let story = story(.begins(result()), .loaded(result(), cases: ["one"]), .starts(-1), .starts(7), .starts(.max))
        #expect(story.stage == "what comes before the first case")
    }

    @Test func aRunThatIsOverIsWhole() throws {
        let story = story(
            .begins(result()), .loaded(result(), cases: ["one"]), .starts(0), ended("one"), .over(result()))
        #expect(story.whole?.cases.map(\.name) == ["one"])
    }
}
