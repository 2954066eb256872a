import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

private func answers(_ record: Record) -> [Answer] {
    let replay = Replay(on: SimKernel(.standard), isReal: false)
    return record.entries.compactMap { replay.answer($0) }
}

@Suite struct MinimiserTests {
    private func minimise(_ record: Record, _ expression: String?) throws -> (Record, Minimiser.Progress)? {
        guard
            var minimiser = Minimiser(
                record, until: try expression.map { try FailureExpression($0) }, answers: answers, isOver: { false },
                report: { _ in })
        else { return nil }
        return (minimiser.run(), minimiser.progress)
    }

    @Test func onlyWhatTheFailureNeedsIsLeft() throws {
        let (smaller, _) = try #require(
            try minimise(standardRecord(), "operation == IOMMU_IOAS_UNMAP && errno == ENOENT"))
        // The iommufd, its space, and the refusal: a device, memory and the first unmap have no part in it.
        #expect(smaller.operations.map(\.operation.name) == ["open", "IOMMU_IOAS_ALLOC", "IOMMU_IOAS_UNMAP"])
        #expect(answers(smaller).last?.errno == "ENOENT")
    }

    @Test func withoutAnExpressionTheLastRefusalCounts() throws {
        let (smaller, _) = try #require(try minimise(standardRecord(), nil))
        #expect(smaller.operations.last?.operation.errno?.name == "ENOENT")
    }

    /// The standard record's last refusal, behind a failure of the script.
    private func failed(_ line: String) throws -> Record {
        var lines = try standardRecord().text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let last = try #require(lines.lastIndex { $0.contains("-1 ENOENT") })
        lines.insert(line, at: last)
        return try Record(parsing: lines.joined(separator: "\n"))
    }

    @Test func whatCleaningUpIsRefusedIsNotTheFailure() throws {
        #expect(try minimise(failed("#! failed: expected 2, found 1"), nil) == nil)
    }

    @Test func theRefusalThatFailedTheScriptIsTheFailure() throws {
        var lines = try standardRecord().text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let last = try #require(lines.lastIndex { $0.contains("-1 ENOENT") })
        lines.insert("#! failed IOMMU_IOAS_UNMAP ENOENT: nothing there", at: last + 1)
        let record = try Record(parsing: lines.joined(separator: "\n"))
        #expect(record.failures.map(\.failure.call?.errno) == ["ENOENT"])
        #expect(try Record(parsing: record.text).failures.map(\.failure) == record.failures.map(\.failure))
        let (smaller, _) = try #require(try minimise(record, nil))
        #expect(smaller.operations.last?.operation.name == "IOMMU_IOAS_UNMAP")
    }

    @Test func aDifferenceFromTheRecordIsAFailure() throws {
        let text = try standardRecord().text.split(separator: "-1 ENOENT (No such file or directory)")
            .joined(separator: "-1 EBUSY (Device or resource busy)")
        let (smaller, _) = try #require(try minimise(Record(parsing: text), "verdict == differs"))
        #expect(smaller.operations.count == 3)
    }

    @Test func whatNeverFailsIsNotMinimised() throws {
        #expect(try minimise(standardRecord(), "errno == EADDRINUSE") == nil)
    }

    @Test(arguments: [
        ("errno == EINVAL", true), ("errno != EINVAL", false), ("!(errno == ENOENT) && line == 7", true),
        ("operation == 'ibv_reg_mr' || verdict == same", true), ("operation==IOMMU_IOAS_MAP&&verdict==differs", false),
    ])
    func expressionsAskOfAnswers(_ text: String, _ holds: Bool) throws {
        let answer = Answer(line: 7, operation: "IOMMU_IOAS_MAP", errno: "EINVAL", verdict: "same")
        #expect(try FailureExpression(text).matches(answer) == holds)
    }

    @Test(arguments: ["", "errno", "errno ==", "frog == 1", "(errno == EINVAL", "errno == EINVAL )", "errno = EINVAL"])
    func otherTextIsNoExpression(_ text: String) {
        #expect(throws: RecordError.self) { try FailureExpression(text) }
    }
}
