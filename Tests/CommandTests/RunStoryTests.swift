import LabBench
import Results
import Testing

@testable import Runner
@testable import peerlab

/// What a guest tells while it runs makes the results of one that dies, and nothing else.
@Suite struct RunStoryTests {
    static func result(_ file: String, bench: String = "lab") -> ScenarioResult {
        ScenarioResult(
            file: file, name: file, verdict: .pass, bench: bench,
            bench_description: "kernel 7.3.4 in \(LabOptions.insides[0])", simulated: false)
    }

    static func ended(_ name: String) -> RunEvent { .ended(CaseResult(name: name, verdict: .pass, duration_ns: 1)) }

    private func story(_ files: [String], _ events: [RunEvent]) -> RunStory {
        let story = RunStory(files, accepts: LabResult.areLabs)
        // As they come: in pieces of any length.
        let bytes = events.flatMap { RunMessage($0).line }
        for start in stride(from: 0, to: bytes.count, by: 7) {
            story.add(Array(bytes[start..<min(start + 7, bytes.count)]))
        }
        return story
    }

    static let panic = LabVerdict.panicked(
        consoleTail: "[  1.0] before\n[  2.0] Kernel panic - not syncing: sysrq triggered crash\n[  2.1] Call Trace:")

    static func begun(_ file: String, _ cases: String...) -> [RunEvent] {
        [.begins(Self.result(file)), .loaded(Self.result(file), cases: cases)]
    }

    @Test func aKernelThatDiesIsAResult() throws {
        let story = story(
            ["a.lua", "b.lua", "c.lua"],
            Self.begun("a.lua", "only") + [.starts(0), Self.ended("only"), .over(Self.result("a.lua"))]
                + Self.begun("b.lua", "fine", "panics", "never") + [.starts(0), Self.ended("fine"), .starts(1)])
        let results = try #require(story.results { RunProgress.Death.of(Self.panic, in: $0) })
        #expect(results.map(\.verdict) == [.pass, .fail, .notRun])
        #expect(results[1].cases.map(\.verdict) == [.pass, .fail, .notRun])
        #expect(
            results[1].cases[1].message
                == "the kernel died in case 'panics': Kernel panic - not syncing: sysrq triggered crash")
        #expect(results[1].cases[1].kernel?.lines.count == 3)
        #expect(results[2].file == "c.lua")
        let lines = story.lines(of: results)
        #expect(lines.first?.hasPrefix("  FAIL  panics") == true)
        #expect(lines.last == "2 passed, 1 failed, 0 skipped, 2 not run")
    }

    @Test func aGuestThatStandsStillNamesItsCase() throws {
        let story = story(["a.lua"], Self.begun("a.lua", "hangs") + [.starts(0)])
        let results = try #require(story.results { RunProgress.Death.of(.hung(consoleTail: ""), in: $0) })
        #expect(
            results[0].cases[0].message
                == "the guest stood still in case 'hangs': nothing was heard of it for 30 s")
    }

    @Test func anEndOfItsOwnIsNone() {
        let story = story(["a.lua"], Self.begun("a.lua", "one"))
        #expect(story.results { RunProgress.Death.of(.finished(exitCode: 2), in: $0) } == nil)
        #expect(story.results { RunProgress.Death.of(.refused(reason: ""), in: $0) } == nil)
        #expect(story.results { RunProgress.Death.of(.finished(exitCode: 139), in: $0) }?.count == 1)
    }

    @Test func otherFilesBenchesAndOrdersAreNotBelieved() {
        let lies: [[RunEvent]] = [
            Self.begun("/etc/passwd", "one"), Self.begun("b.lua", "one"), [Self.ended("one")], [.starts(0)],
            [.over(Self.result("a.lua"))],
            [.begins(Self.result("a.lua", bench: "host"))],
            Self.begun("a.lua", "x") + [.over(Self.result("a.lua")), Self.ended("late")],
            Self.begun("a.lua", "x") + Self.begun("a.lua", "x") + Self.begun("a.lua", "x"),
        ]
        for (number, events) in lies.enumerated() {
            let story = story(["a.lua"], events)
            #expect(story.results { RunProgress.Death.of(Self.panic, in: $0) } == nil, "lie \(number)")
        }
    }

    @Test(arguments: ["{}\n", "[]\n", "x\n", "\n", "{\"run\":\"a\"}\n", "{\"event\":{\"starts\":{\"_0\":1e300}}}\n"])
    func whatIsNoMessageEndsTheStory(_ text: String) {
        let story = RunStory(["a.lua"], accepts: LabResult.areLabs)
        story.add(Array(text.utf8))
        #expect(!story.isHonest)
    }

    @Test func noMoreIsKeptThanALimit() {
        let story = RunStory(["a.lua"], most: 1000, accepts: LabResult.areLabs)
        for _ in 0..<101 { story.add(Array(repeating: 0x20, count: 10)) }
        #expect(!story.isHonest)
    }
}
