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

    private let death = RunProgress.Death(kind: "crash", "it fell over", position: "a.lua:3: ")

    private func ended(_ name: String) -> RunEvent { .ended(CaseResult(name: name, verdict: .pass, duration_ns: 1)) }

    @Test func whatHadEndedStaysWhatRanFailedAndTheRestWasNotRun() throws {
        let story = story(
            .begins(result()), .loaded(result(), cases: ["one", "two", "three"]), .starts(0), ended("one"), .starts(1))
        #expect(story.place == "case 'two'")
        let found = try #require(story.ended(by: death))
        #expect(found.verdict == .fail)
        #expect(found.cases.map(\.name) == ["one", "two", "three"])
        #expect(found.cases.map(\.verdict) == [.pass, .fail, .notRun])
        #expect(found.cases[1].message == "a.lua:3: it fell over")
        #expect(found.cases[1].error?.kind == "crash")
        #expect(found.cases[2].message == "not run: it fell over")
    }

    @Test func betweenCasesNoneIsBlamed() throws {
        var story = story(.begins(result()), .loaded(result(), cases: ["one", "two"]))
        #expect(story.place == "what comes before the first case")
        #expect(story.ended(by: death)?.cases.map(\.verdict) == [.fail, .notRun, .notRun])
        story.take(.starts(0))
        story.take(ended("one"))
        #expect(story.place == "what comes behind case 'one'")
        #expect(story.ended(by: death)?.cases.map(\.verdict) == [.pass, .fail, .notRun])
    }

    @Test func aScriptThatIsLoadedIsItsOwnCase() {
        #expect(story(.begins(result())).ended(by: death)?.cases.map(\.name) == ["a"])
        #expect(story().ended(by: death) == nil)
    }

    @Test func aStrangersNumbersAreNoPlace() {
        let story = story(.begins(result()), .loaded(result(), cases: ["one"]), .starts(-1), .starts(7), .starts(.max))
        #expect(story.place == "what comes before the first case")
    }

    @Test func aRunThatIsOverIsWhole() throws {
        let story = story(
            .begins(result()), .loaded(result(), cases: ["one"]), .starts(0), ended("one"), .over(result()))
        #expect(story.whole?.cases.map(\.name) == ["one"])
    }
}
