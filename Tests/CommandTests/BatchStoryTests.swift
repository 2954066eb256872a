import LabBench
import Results
import Testing

@testable import Runner
@testable import peerlab

/// What a guest that several runs share tells of them, and whose its death is.
@Suite struct BatchStoryTests {
    private func batch(_ messages: [RunMessage]) -> BatchStory {
        let story = BatchStory(["a.lua", "b.lua"])
        for message in messages { story.add(message.line) }
        return story
    }

    private func record(_ id: String) -> RunRecord {
        RunRecord(id: id, file: id, outcome: .pass, started: "", limits: Limits())
    }

    @Test func aBatchKeepsWhatHadEndedAndWhatRan() {
        let messages =
            (RunStoryTests.begun("a.lua", "x") + [
                .starts(0), RunStoryTests.ended("x"), .over(RunStoryTests.result("a.lua")),
            ]).map {
                RunMessage(run: "a.lua", $0)
            }
            + [RunMessage(record("a.lua"))]
            + (RunStoryTests.begun("b.lua", "fine", "panics") + [.starts(0), RunStoryTests.ended("fine"), .starts(1)])
            .map {
                RunMessage(run: "b.lua", $0)
            }
        let records = batch(messages).end(by: RunStoryTests.panic).records
        #expect(records.map(\.outcome) == [.pass, .fail])
        #expect(records.last?.reason?.hasPrefix("panics: the kernel died in case 'panics'") == true)
        #expect(records.last?.result?.cases.count == 2)
    }

    @Test func aBatchBelievesNoOtherRuns() {
        #expect(!batch([RunMessage(record("c.lua"))]).isHonest)
        #expect(!batch([RunMessage(record("a.lua")), RunMessage(record("a.lua"))]).isHonest)
        #expect(!batch([RunMessage(run: "c.lua", .begins(RunStoryTests.result("c.lua")))]).isHonest)
        #expect(!batch([RunMessage(run: "a.lua", .begins(RunStoryTests.result("a.lua", bench: "host")))]).isHonest)
        #expect(batch([RunMessage(record("a.lua")), RunMessage(record("b.lua"))]).isHonest)
    }

    private func messages(_ id: String, _ events: [RunEvent]) -> [RunMessage] {
        (RunStoryTests.begun(id, "one", "two") + events).map { RunMessage(run: id, $0) }
    }

    @Test func onlyTheRunWhoseCaseWasOnIsBlamed() {
        let between = [RunEvent.starts(0), RunStoryTests.ended("one")]
        let (records, suspects) = batch(messages("a.lua", [.starts(0)]) + messages("b.lua", between))
            .end(by: RunStoryTests.panic)
        #expect(records.map(\.id) == ["a.lua"] && suspects.isEmpty)
        #expect(records.first?.result?.cases.map(\.verdict) == [.fail, .notRun])
    }

    @Test func ofSeveralNobodyKnowsWhich() {
        let story = batch(messages("a.lua", [.starts(0)]) + messages("b.lua", [.starts(0)]))
        let (records, suspects) = story.end(by: RunStoryTests.panic)
        #expect(records.isEmpty && suspects == ["a.lua", "b.lua"])
        // What ends with all its runs is no death.
        #expect(story.end(by: .timedOut(seconds: 1)).records.map(\.id) == ["a.lua", "b.lua"])
    }

    /// It is this program's own fault: nobody is tried again alone, all that ran have failed.
    @Test func aCrashOfTheDevicesIsAFailureOfAllThatRan() {
        let story = batch(messages("a.lua", [.starts(0)]) + messages("b.lua", [.starts(0)]))
        let crash = LabVerdict.devicesFailed(stderr: "Fatal error (signal 5)")
        let (records, suspects) = story.end(by: crash)
        #expect(records.map(\.outcome) == [.fail, .fail] && suspects.isEmpty && !BatchStory.isDeath(crash))
        #expect(
            records.first?.reason?.contains("the process of the emulated devices has crashed in case 'one'") == true)
    }

    @Test func aRunThatWasOverIsItsOwn() {
        let over = [RunEvent.starts(0), RunStoryTests.ended("one"), .over(RunStoryTests.result("b.lua"))]
        let (records, _) = batch(messages("a.lua", [.starts(0)]) + messages("b.lua", over)).end(by: RunStoryTests.panic)
        #expect(records.map(\.outcome) == [.pass, .fail] && records.map(\.id) == ["b.lua", "a.lua"])
    }
}
