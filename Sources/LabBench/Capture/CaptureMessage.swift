/// What the guest asks the process of its devices: 32 bytes, numbers little-endian. "PLtlps1\n"; a number that the answer begins
/// with (8 bytes); the number of the first request that is wanted (8), counted from 0 when the process started; how many at most
/// (4); zero (4). To know where the log ends, none are asked for.
struct CaptureQuestion: Equatable, Sendable {
    /// What the answer begins with.
    var mark: UInt64
    /// The number of the first request that is wanted.
    var first: UInt64
    /// How many at most.
    var count: UInt32

    static let size = 32
    private static let magic = Array("PLtlps1\n".utf8)

    /// A question.
    init(mark: UInt64, first: UInt64, count: UInt32) {
        self.mark = mark
        self.first = first
        self.count = count
    }

    /// Reads one, whoever wrote it; nil for what is none.
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

    /// The question as it goes over the port.
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

/// The answer: a header of 32 bytes, and the requests (``CapturedTLP``) one behind the other. The header, numbers little-endian:
/// the question's mark (8 bytes); the number that the next request will have (8); the number of the first one that follows (8),
/// which is above the one that was asked for where older ones are gone; how many follow (4), at most 1024; zero (4).
struct CaptureAnswer: Equatable, Sendable {
    /// The number that the next request will have.
    var end: UInt64
    /// The number of the first one that follows.
    var first: UInt64
    /// What follows.
    var requests: [CapturedTLP]

    static let headerSize = 32
    /// The most requests of one answer.
    static let most: UInt32 = 1024

    /// The header's numbers, whoever wrote them, held against the question; nil for what is no answer to it.
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

    /// Lays out a header in front of `requests`, which are bytes already.
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

/// Takes the answer to one question out of what comes, which may begin with the rest of another one's: of a program that was
/// ended while it read.
struct CaptureReader {
    /// Why what came is no answer.
    enum Refusal: Error, Equatable {
        /// Much came, and no answer to this question.
        case noAnswer
        /// A header that no answer has.
        case header
        /// The number of a request that is none.
        case request(UInt64)
    }

    private let question: CaptureQuestion
    private var pending: [UInt8] = []
    private var begun: (end: UInt64, first: UInt64, count: Int)?

    /// Two answers that another one has left.
    static let mostLeft = 2 * (CaptureAnswer.headerSize + Int(CaptureAnswer.most) * CapturedTLP.size)
    private var left = 0

    init(_ question: CaptureQuestion) { self.question = question }

    /// Bytes that are kept.
    var pendingCount: Int { pending.count }

    /// Takes bytes as they come; the answer once it is whole.
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

    /// Drops what is before the mark.
    private mutating func findMark() throws(Refusal) {
        let mark = withUnsafeBytes(of: question.mark.littleEndian) { Array($0) }
        let start = pending.firstRange(of: mark)?.lowerBound ?? max(0, pending.count - (mark.count - 1))
        left += start
        guard left <= CaptureReader.mostLeft else { throw .noAnswer }
        // Where there is no mark, what is left may be its beginning.
        pending.removeFirst(start)
    }
}
