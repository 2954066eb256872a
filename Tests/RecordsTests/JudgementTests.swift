import Kernel
import Testing

@testable import Records

/// What a record says of wrong answers.
@Suite struct JudgementTests {
    /// What a script finds wrong, and what the scenario says of itself, is read as it was written; what is like it is a comment.
    @Test func judgementsAreReadAsWritten() throws {
        let lines = Box()
        let recorder = Recorder(header: []) { lines.texts.append($0) }
        recorder.tell("concerns", "Linux 7.3.4: drivers/a.c")
        recorder.note("one")
        recorder.judge(found: "a \"b\"", right: "c, right \"d\": e", "what: f")
        recorder.finish()
        let record = try Record(parsing: lines.texts.joined(separator: "\n"))
        #expect(record.scenario("concerns") == "Linux 7.3.4: drivers/a.c" && record.scenario("expected") == nil)
        guard case .judgement(let judgement) = record.entries.last?.kind else { return #expect(Bool(false)) }
        #expect(judgement.found == "a 'b'" && judgement.right == "c, right 'd': e" && judgement.what == "what: f")
        #expect(record.text.contains("#! wrong \"a 'b'\", right \"c, right 'd': e\": what: f\n"))
        for line in ["#! wrong", "#! wrong \"a\"", "#! wrong \"a\", left \"b\": c", "#! scenario effects: dma"] {
            let other = try Record(parsing: "peerlab record 1\n\n\(line)\n")
            if case .comment = other.entries.first?.kind { continue }
            #expect(Bool(false), "\(line)")
        }
    }

    /// One of which both answers are the same says that a known bug is not there.
    @Test func aRightAnswerIsNoWrongOne() throws {
        let text = recordText("close(-1) = -1 EBADF", "#! wrong \"EBADF\", right \"EBADF\": the answer")
        let record = try Record(parsing: text)
        #expect(record.hasFixedBug && record.decisions.isEmpty)
        let other = try Record(parsing: text.replacing("right \"EBADF\"", with: "right \"0\""))
        #expect(!other.hasFixedBug && other.decisions.count == 1)
    }

    /// A refused call that failed a script is a judgement of a case, not of a plain script, which says nothing of what must succeed.
    @Test(arguments: [
        ("# a case", "#! failed close EBADF: a.lua:1: no", true), ("", "#! failed close EBADF: a.lua:1: no", false),
        ("# | logged", "#! failed close EBADF: a.lua:1: no", false),
        ("#! scenario about: a", "#! failed close EBADF: a.lua:1: no", true),
        ("", "#! failed: a.lua:1: attempt to index a nil value", false),
        ("# a case", "#! failed: a.lua:1: attempt to index a nil value", false),
        ("", "#! wrong \"EBADF\", right \"0\": the close", true),
    ])
    func aScriptsOwnFaultIsNoJudgement(_ before: String, _ after: String, _ isJudged: Bool) throws {
        let record = try Record(parsing: "peerlab record 1\n\n\(before)\nclose(-1) = -1 EBADF <0.000001>\n\(after)\n")
        #expect(record.isJudged == isJudged)
    }

    /// Of a device's feature the failure names which one, and what was done with it.
    @Test func aFailureMayNameAFeature() throws {
        let record = try Record(
            parsing: "peerlab record 1\n\n#! failed VFIO_DEVICE_FEATURE DMA_BUF GET EINVAL: a.lua:3: no\n")
        let call = try #require(record.failures.first?.failure.call)
        #expect(call == ("VFIO_DEVICE_FEATURE", "EINVAL"))
    }

    private final class Box: @unchecked Sendable { var texts: [String] = [] }

    /// The operation that a wrong answer is of: within its case, the last with that errno, or that status.
    @Test func wrongAnswersAreThoseOfCalls() throws {
        let poll =
            "ibv_poll_cq(cq=cq1, num_entries=1) = 1 {wc=[{wr_id=0, status=SUCCESS, qp_num=1, opcode=RDMA_WRITE}]}"
        let text = recordText(
            "close(-1) = -1 EBADF", "#! wrong \"EBADF\", right \"0\": the first", "close(-1) = -1 EBADF",
            "close(-1) = 0",
            "#! wrong \"EBADF\", right \"EINVAL\": the second", "ibv_open_device(device=ibdev1) = context1", poll,
            "#! wrong \"SUCCESS\", right \"REM_ACCESS_ERR\": the write", "eventfd(0) = eventfd1", "close(eventfd1) = 0",
            "#! wrong \"success\", right \"EPERM\": a file", "#! wrong \"4, 8\", right \"4\": pages")
        let record = try Record(parsing: text)
        let named = record.decisions.map { one in one.operation.map { record.entries[$0].line } }
        #expect(named == [3, 5, 9, 11, nil])
        #expect(record.decisions[2].wrong == .status(0) && record.decisions[2].right == .status(10))
    }

    /// Of a long record, the case with the wrong answer, and what it uses.
    @Test func anExcerptIsACaseThatCanBeMade() throws {
        let text = """
            peerlab record 1

            eventfd(0) = eventfd1 <0.000001>
            eventfd(0) = eventfd2 <0.000001>
            #! scenario about: a
            # one
            eventfd(1) = eventfd3 <0.000001>
            # two
            poll(eventfd2, 1) = 0 <0.000001>
            | logged
            lseek(eventfd2, 0, 0) = -1 ESPIPE <0.000001>
            #! wrong "ESPIPE", right "0": it
            close(eventfd2) = 0 <0.000001>
            """.replacing("| logged", with: "# | logged")
        let record = try Record(parsing: text)
        let excerpt = record.excerpt(to: try #require(record.decisions.first?.operation))
        #expect(excerpt.operations.map(\.operation.name) == ["eventfd", "poll", "lseek"])
        #expect(excerpt.decisions.count == 1 && excerpt.scenario("about") == "a")
        #expect(!excerpt.text.contains("# one") && excerpt.text.contains("# two"))
    }
}
