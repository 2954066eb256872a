import FoundationEssentials
import Glibc
import Runner
import Testing

@testable import peerlab

/// What a guest sends is kept only as far as it is the lab's, and as it was understood.
@Suite struct LabResultTests {
    private static let description = "kernel 7.3.4 in \(LabOptions.insides[0])"

    private static func document(_ bench: String = #""bench":"lab""#, _ description: String = description) -> String {
        """
        {"tool":"peerlab","version":"1","results":[{\(bench),"bench_description":"\(description)","calls_refused":0,\
        "cases":[],"collecting":[],"environment":{},"faults_unused":[],"file":"a.lua","left_open":[],"name":"a",\
        "not_modelled":[],"options":{},"seed":1,"simulated":false,"skipped":[],"verdict":"pass","warnings":[]}]}
        """
    }

    private func taken(_ text: String, _ kind: LabResult.Kind) throws -> String {
        let path = "/tmp/peerlab-lab-result.\(UUID().uuidString)"
        defer { unlink(path) }
        try LabResult(ResultFile(path), "the file", kind).take(Array(text.utf8))
        return String(decoding: try InputFile.bytes(of: path, limit: 1 << 20), as: UTF8.self)
    }

    @Test func resultsOfTheLabAreKeptAsTheyWereUnderstood() throws {
        // Two readers take two values of a key that is there twice; what is written has one.
        let text = try taken(Self.document(#""bench":"lab","bench":"lab","more":1"#), .results)
        #expect(text.ranges(of: #""bench""#).count == 1)
        #expect(!text.contains("more"))
    }

    @Test(arguments: [
        document(#""bench":"host""#), document(#""bench":"sim""#),
        document(#""bench":"lab""#, "this machine, kernel 6.12"),
        document().replacing(#""simulated":false"#, with: #""simulated":true"#), "[]", "{", "",
        document() + "x", String(repeating: "[", count: 100_000),
    ])
    func otherResultsAreNot(_ text: String) { #expect(throws: LabResult.Objection.self) { try taken(text, .results) } }

    @Test func aKeyThatIsThereTwiceIsReadOnce() throws {
        for bench in [#""bench":"lab","bench":"host""#, #""bench":"host","bench":"lab""#] {
            guard let text = try? taken(Self.document(bench), .results) else { continue }
            #expect(!text.contains("host"))
        }
    }

    private static let head = "peerlab record 1\nbench: lab (kernel 7.3.4 in QEMU)\n"

    @Test(arguments: [
        "", "peerlab record 1\n\n", "peerlab record 2\nbench: lab (kernel 7)\n\n",
        "peerlab record 1\nbench: host (kernel 6)\n\n", head + "bench: host (this machine)\n\n",
        head + "model: host\n\n",
        head + "model: sim:lab\nmodel: sim:lab\n\n", head + "model: sim:/tmp/x.lua\n\n",
    ])
    func otherRecordsAreNotKept(_ text: String) {
        #expect(throws: LabResult.Objection.self) { try taken(text, .record) }
    }

    @Test func aRecordIsKeptWithEscapes() throws {
        let text = try taken(Self.head + "model: sim:lab-tph-v2\n\n# \u{1b}[2J\nclose(3) = 0 <0.000001>\n", .record)
        #expect(text == Self.head + "model: sim:lab-tph-v2\n\n# \\x1b[2J\nclose(3) = 0 <0.000001>\n")
    }

    @Test func whatIsTooLongIsNotKept() {
        let bytes = [UInt8](repeating: 0x20, count: (32 << 20) + 1)
        #expect(throws: LabResult.Objection.self) { try LabResult("results", .results) { _ in }.take(bytes) }
    }

    @Test(arguments: [
        "bench: host (this machine)", " bench: host", "\u{2800}bench: host", "bench:\u{301} host", "BENCH: host",
        "b\u{a0}ench: host",
        "bench: lab is off; bench: host (this machine)", "\u{200b}bench: host", "| bench: host",
    ])
    func aLineThatLooksLikeAnotherBenchIsMarked(_ line: String) { #expect(GuestOutput.namesBench(line)) }

    @Test(arguments: [
        "bench: lab (kernel 7.3.4 in \(LabOptions.insides[0])); sandbox: seccomp", "  ok    bench  [3 ms]", "", "benc",
        "scenario: bench",
    ])
    func otherLinesAreNot(_ line: String) { #expect(!GuestOutput.namesBench(line)) }
}
