import Testing

@testable import LabBench

/// What a guest may send, and what it may not.
@Suite struct FrameTests {
    private static let limits = FrameReader.Limits(output: 100_000, files: 200_000, told: 100_000, fileCount: 2)

    /// The frames that are taken, and the refusal that ends it.
    private func read(_ bytes: [UInt8], by step: Int = .max) -> (frames: [Frame], refusal: FrameReader.Refusal?) {
        var reader = FrameReader(fromGuest: FrameTests.limits)
        var frames: [Frame] = []
        do throws(FrameReader.Refusal) {
            for start in stride(from: 0, to: bytes.count, by: min(step, max(bytes.count, 1))) {
                let end = min(bytes.count, start.addingReportingOverflow(step).overflow ? bytes.count : start + step)
                try reader.read(bytes[start..<end]) { frames.append($0) }
            }
        } catch { return (frames, error) }
        return (frames, nil)
    }

    private static let conversation: [Frame] = [
        Frame(.started), Frame(.output, Array("one\n".utf8)), Frame(.errors, [0, 255, 27]),
        Frame(.file, file: 1, Array(repeating: 7, count: Frame.mostContents)), Frame(.file, file: 0, [1]), Frame(.beat),
        Frame(.told, Array("{}\n".utf8)),
        Frame(end: -3),
    ]

    @Test(arguments: [1, 3, 7, 8, 9, 4096, Int.max])
    func framesComeWholeHoweverTheirBytesCome(step: Int) {
        let (frames, refusal) = read(FrameTests.conversation.flatMap(\.bytes), by: step)
        #expect(refusal == nil)
        #expect(frames == FrameTests.conversation)
        #expect(frames.last?.exitCode == -3)
    }

    @Test func longBytesBecomeSeveralFrames() {
        let parts = Frame.parts(.output, Array(repeating: 1, count: 2 * Frame.mostContents + 1))
        #expect(parts.map(\.contents.count) == [Frame.mostContents, Frame.mostContents, 1])
        #expect(Frame.parts(.output, []).isEmpty)
    }

    private static let header = Frame(.started).bytes

    /// What a hostile guest sends, and why nothing more is read of it.
    private static let hostile: [(name: String, bytes: [UInt8], refusal: FrameReader.Refusal)] = [
        ("no kind", [0, 0, 0, 0, 0, 0, 0, 0], .noFrame([0, 0, 0, 0, 0, 0, 0, 0])),
        ("an unknown kind", [200, 0, 0, 0, 0, 0, 0, 0], .noFrame([200, 0, 0, 0, 0, 0, 0, 0])),
        ("bits that no frame has", [1, 0, 1, 0, 0, 0, 0, 0], .noFrame([1, 0, 1, 0, 0, 0, 0, 0])),
        ("a file's number in a start", [1, 1, 0, 0, 0, 0, 0, 0], .noFrame([1, 1, 0, 0, 0, 0, 0, 0])),
        ("text", Array("HTTP/1.1 200 OK\r\n".utf8), .noFrame(Array("HTTP/1.1".utf8))),
        ("output before the start", Frame(.output, [1]).bytes, .order(.output)),
        ("an end before the start", Frame(end: 0).bytes, .order(.end)),
        ("two starts", header + header, .order(.started)),
        ("a beat before the start", Frame(.beat).bytes, .order(.beat)),
        ("a beat with contents", header + [9, 0, 0, 0, 1, 0, 0, 0, 9], .length(.beat, 1)),
        ("something told of nothing", header + [8, 0, 0, 0, 0, 0, 0, 0], .length(.told, 0)),
        (
            "too much told", header + Frame.parts(.told, Array(repeating: 1, count: 100_001)).flatMap(\.bytes),
            .told(100_000)
        ),
        ("what only a host says", header + Frame(.interrupt).bytes, .order(.interrupt)),
        ("a start with contents", [1, 0, 0, 0, 1, 0, 0, 0, 9], .length(.started, 1)),
        ("4 GiB of output", header + [2, 0, 0, 0, 255, 255, 255, 255], .length(.output, .max)),
        ("a frame too long by a byte", header + [2, 0, 0, 0, 1, 0, 1, 0], .length(.output, 65537)),
        ("output of nothing", header + [2, 0, 0, 0, 0, 0, 0, 0], .length(.output, 0)),
        ("an end of three bytes", header + [5, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3], .length(.end, 3)),
        ("a file that nobody asked for", header + Frame(.file, file: 2, [1]).bytes, .file(2)),
        ("file 255", header + Frame(.file, file: 255, [1]).bytes, .file(255)),
        ("a frame behind the end", header + Frame(end: 0).bytes + Frame(.output, [1]).bytes, .order(.output)),
        ("a second end", header + Frame(end: 0).bytes + Frame(end: 1).bytes, .order(.end)),
        (
            "too much output", header + Frame.parts(.output, Array(repeating: 1, count: 100_001)).flatMap(\.bytes),
            .output(100_000)
        ),
        (
            "too much of errors",
            header + Frame(.output, [1]).bytes
                + Frame.parts(.errors, Array(repeating: 1, count: 100_000)).flatMap(\.bytes),
            .output(100_000)
        ),
        (
            "too much of two files",
            header + Frame.parts(.file, file: 0, Array(repeating: 1, count: 150_000)).flatMap(\.bytes)
                + Frame.parts(.file, file: 1, Array(repeating: 1, count: 50_001)).flatMap(\.bytes), .files(200_000)
        ),
    ]

    @Test(arguments: hostile.indices)
    func isRefused(index: Int) {
        let (name, bytes, refusal) = FrameTests.hostile[index]
        for step in [1, 5, Int.max] { #expect(read(bytes, by: step).refusal == refusal, "\(name), \(step) at a time") }
    }

    /// A header that promises much makes nothing be set aside for it.
    @Test func keepsNoMoreThanOneFrame() throws {
        var reader = FrameReader(fromGuest: FrameTests.limits)
        try reader.read(FrameTests.header + [2, 0, 0, 0, 0, 0, 1, 0]) { _ in }
        #expect(reader.pendingCount == 8)
        try reader.read(Array(repeating: 1, count: 65535)) { _ in }
        #expect(reader.pendingCount == 8 + 65535)
        try reader.read([1]) { _ in }
        #expect(reader.pendingCount == 0)
    }

    @Test func aGuestTakesOnlyWhatAHostSays() throws {
        var reader = FrameReader(fromHost: ())
        var kinds: [Frame.Kind] = []
        try reader.read(Frame(.interrupt).bytes + Frame(.report).bytes) { kinds.append($0.kind) }
        #expect(kinds == [.interrupt, .report])
        var refusal: FrameReader.Refusal?
        do throws(FrameReader.Refusal) { try reader.read(Frame(end: 0).bytes) { _ in } } catch { refusal = error }
        #expect(refusal == .order(.end))
    }
}
