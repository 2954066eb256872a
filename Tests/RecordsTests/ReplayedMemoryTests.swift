import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Records are untrusted: a replay, and C made of a record, touch the memory that the record mapped, and none of the program's
/// own beside it.
@Suite struct ReplayedMemoryTests {
    /// Makes the calls but the last one.
    private static func replay(_ text: String) throws -> (replay: Replay, last: Record.Entry) {
        let record = try Record(parsing: text)
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        for entry in record.entries.dropLast() { _ = try? replay.step(entry) }
        return (replay, try #require(record.entries.last))
    }

    private static func text(_ lines: String...) -> String {
        "peerlab record 1\n\n" + lines.map { "\($0) <0.000001>\n" }.joined()
    }

    private static func c(_ text: String) throws -> String { try CExport(Record(parsing: text)).text }

    @Test(arguments: [4, 6, 0])
    func aStoreHasTheBytesThatItCounts(count: Int) throws {
        let text = Self.text("mmap(0x2000, 3, 0x22, -1, 0) = map1", "store(map1, <41 42 43 44 45>, \(count)) = 0")
        let (replay, store) = try Self.replay(text)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(store) }
        #expect(error?.message == "a store of 5 bytes does not have the count \(count)")
        let load = try Record(parsing: Self.text("load(map1, <00*8>, 8) = 0")).entries[0]
        #expect(try replay.step(load) == nil, "nothing was stored")
        #expect(try !Self.c(text).contains("got = copy("))
    }
}
