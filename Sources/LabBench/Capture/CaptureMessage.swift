/// A question of the guest to the process of its devices: 32 bytes, numbers little-endian. "PLtlps1\n"; a mark that
/// the answer repeats (8 bytes); the number of the first request wanted (8), counted from 0 at the process's start;
/// the most requests wanted (4); zero (4). A question that wants 0 requests finds out where the log ends.
struct CaptureQuestion: Equatable, Sendable {
    /// The number that the answer repeats.
    var mark: UInt64
    /// The number of the first request that is wanted.
    var first: UInt64
    /// Most requests wanted.
    var count: UInt32

    static let size = 32
    private static let magic = Array("PLtlps1\n".utf8)

    /// From its parts.
    init(mark: UInt64, first: UInt64, count: UInt32) {
        self.mark = mark
        self.first = first
        self.count = count
    }

    /// Decodes untrusted bytes; nil where they are malformed.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == CaptureQuestion.size, bytes.starts(with: CaptureQuestion.magic) else { return nil }
        let (mark, first, count, rest) = bytes.withUnsafeBytes {
            (
                $0.little(8, UInt64.self), $0.little(16, UInt64.self), $0.little(24, UInt32.self),
                $0.little(28, UInt32.self)
            )
        }
        guard rest == 0 else { return nil }
        self.init(mark: mark, first: first, count: count)
    }

    /// The encoded question.
    var bytes: [UInt8] {
        var bytes = CaptureQuestion.magic + [UInt8](repeating: 0, count: CaptureQuestion.size - 8)
        bytes.withUnsafeMutableBytes {
            $0.set(little: 8, mark)
            $0.set(little: 16, first)
            $0.set(little: 24, count)
        }
        return bytes
    }
}

/// An answer: a header of 32 bytes, then the requests (``CapturedTLP``). The header, numbers little-endian: the
/// question's mark (8 bytes); the number of the next request to be captured (8); the number of the first request that
/// follows (8), which is above the one asked for where older ones are gone; how many follow (4), at most 1024; zero
/// (4).
struct CaptureAnswer: Equatable, Sendable {
    /// The number that the next request will have.
    var end: UInt64
    /// The number of the first request that follows.
    var first: UInt64
    /// The requests.
    var requests: [CapturedTLP]

    static let headerSize = 32
    /// Most requests of one answer.
    static let most: UInt32 = 1024

    /// Decodes an untrusted header; nil where it does not answer `question`.
    static func header(_ bytes: some Collection<UInt8>, to question: CaptureQuestion)
        -> (end: UInt64, first: UInt64, count: Int)?
    {
        guard bytes.count == headerSize else { return nil }
        let (mark, end, first, count, rest) = Array(bytes).withUnsafeBytes {
            (
                $0.little(0, UInt64.self), $0.little(8, UInt64.self), $0.little(16, UInt64.self),
                $0.little(24, UInt32.self), $0.little(28, UInt32.self)
            )
        }
        guard mark == question.mark, rest == 0, count <= min(question.count, most), first <= end,
            UInt64(count) <= end - first, first >= min(question.first, end)
        else { return nil }
        return (end, first, Int(count))
    }

    /// Encodes a header before `requests`, which are encoded already.
    static func bytes(
        to question: CaptureQuestion, end: UInt64, first: UInt64, count: Int, _ requests: some Sequence<UInt8>
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: headerSize)
        bytes.withUnsafeMutableBytes {
            $0.set(little: 0, question.mark)
            $0.set(little: 8, end)
            $0.set(little: 16, first)
            $0.set(little: 24, UInt32(clamping: count))
        }
        return bytes + requests
    }
}

/// Finds the answer to one question in the bytes of the port. They may begin with the rest of an answer to a program
/// that was killed while it read.
struct CaptureReader {
    /// Why the bytes are not an answer.
    enum Refusal: Error, Equatable {
        /// More bytes than two answers came without the mark of this question.
        case noAnswer
        /// An invalid header.
        case header
        /// The number of a malformed request.
        case request(UInt64)
    }

    private let question: CaptureQuestion
    private var pending: [UInt8] = []
    private var begun: (end: UInt64, first: UInt64, count: Int)?

    /// Most bytes before the answer: two answers to programs that were killed.
    static let mostLeft = 2 * (CaptureAnswer.headerSize + Int(CaptureAnswer.most) * CapturedTLP.size)
    private var left = 0

    init(_ question: CaptureQuestion) { self.question = question }

    /// Bytes kept so far.
    var pendingCount: Int { pending.count }

    /// Adds bytes; returns the answer once it is complete.
    mutating func read(_ bytes: some Sequence<UInt8>) throws(Refusal) -> CaptureAnswer? {
        pending += bytes
        if begun == nil {
            try findMark()
            guard pending.count >= CaptureAnswer.headerSize else { return nil }
            guard let header = CaptureAnswer.header(pending.prefix(CaptureAnswer.headerSize), to: question) else {
                throw .header
            }
            begun = header
        }
        guard let begun, pending.count >= CaptureAnswer.headerSize + begun.count * CapturedTLP.size else { return nil }
        var requests: [CapturedTLP] = []
        for index in 0..<begun.count {
            let start = CaptureAnswer.headerSize + index * CapturedTLP.size
            let one = pending.withUnsafeBytes {
                CapturedTLP(UnsafeRawBufferPointer(rebasing: $0[start..<start + CapturedTLP.size]))
            }
            guard let one else { throw .request(begun.first + UInt64(index)) }
            requests.append(one)
        }
        return CaptureAnswer(end: begun.end, first: begun.first, requests: requests)
    }

    /// Drops bytes before the mark.
    private mutating func findMark() throws(Refusal) {
        let mark = withUnsafeBytes(of: question.mark.littleEndian) { Array($0) }
        let start = pending.firstRange(of: mark)?.lowerBound ?? max(0, pending.count - (mark.count - 1))
        left += start
        guard left <= CaptureReader.mostLeft else { throw .noAnswer }
        // Where no mark is found, the last bytes may be its beginning.
        pending.removeFirst(start)
    }
}
