import Glibc
public import Kernel

/// The contents of messages, made from number and seed: different in each message, and unlikely to be there by chance.
public struct Stamp: Sendable {
    /// Bytes of a message; of several sizes the largest, which is how far apart messages lie.
    public let size: Int
    /// Sizes that messages have in turn; empty where all have `size`.
    public let sizes: [Int]
    /// How many lie side by side.
    public let slots: Int
    /// The number of the first one.
    public let first: UInt64
    /// Two streams with different seeds have nothing in common.
    public let seed: UInt64

    /// The stamp of these messages.
    public init(size: Int, sizes: [Int] = [], slots: Int, first: UInt64, seed: UInt64) {
        self.size = sizes.max() ?? size
        self.sizes = sizes
        self.slots = slots
        self.first = first
        self.seed = seed
    }

    /// The first byte that is not as it was sent.
    public struct Mismatch: Sendable, Equatable {
        /// Its message.
        public let message: UInt64
        /// Where it is in the message.
        public let byte: Int
        /// Where it is in the memory.
        public let offset: UInt64
        /// What was sent.
        public let expected: UInt8
        /// What is there.
        public let found: UInt8
    }

    /// Bytes of a message by its number.
    private func length(_ message: UInt64) -> Int {
        sizes.isEmpty ? size : sizes[Int(message % UInt64(sizes.count))]
    }

    /// Fills a buffer with the bytes of a message from `start` on, a multiple of 8. They are SplitMix64's sequence, seeded
    /// with the message's number and the stream's seed.
    private func fill(_ buffer: UnsafeMutableRawBufferPointer, message: UInt64, from start: Int) {
        let step: UInt64 = 0x9e37_79b9_7f4a_7c15
        var state = (message &* 0xd134_2543_de82_ef95) ^ (seed &* step)
        state &+= step &* UInt64(start / 8)
        var filled = 0
        while filled < buffer.count {
            state &+= step
            var word = state
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            word ^= word >> 31
            withUnsafeBytes(of: word.littleEndian) { bytes in
                let count = min(8, buffer.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            filled += 8
        }
    }

    /// A message of a gigabyte is not made at once.
    private static let longestPart = 1 << 20

    /// A part of a message, and the bytes that it should hold.
    private struct Part {
        let message: UInt64
        /// Where it begins in the message.
        let start: Int
        /// Where it begins in the memory.
        let offset: UInt64
        let bytes: UnsafeMutableRawBufferPointer
    }

    /// All of them in order, until `body` gives something; EINTR where `stop` is no longer 0.
    private func first<Found>(
        _ call: String, in memory: borrowing MappedMemory, at offset: UInt64, stop: UnsafePointer<Int32>?,
        _ body: (Part) throws(Failure) -> Found?
    ) throws(Failure) -> Found? {
        try memory.check(call, offset, size * slots)
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(size, Stamp.longestPart), alignment: 8)
        defer { buffer.deallocate() }
        for slot in 0..<slots {
            let message = first &+ UInt64(slot)
            let length = length(message)
            for start in stride(from: 0, to: length, by: Stamp.longestPart) {
                try memory.goOn(call, stop)
                let bytes = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<min(length - start, Stamp.longestPart)])
                fill(bytes, message: message, from: start)
                let part = Part(
                    message: message, start: start, offset: offset + UInt64(slot * size + start), bytes: bytes)
                if let found = try body(part) { return found }
            }
        }
        return nil
    }

    /// Stamps the messages into memory from `offset` on; EINTR where `stop` is no longer 0, between MiBs.
    public func write(
        to memory: borrowing MappedMemory, at offset: UInt64, stop: UnsafePointer<Int32>? = nil
    ) throws(Failure) {
        let _: Never? = try first("store", in: memory, at: offset, stop: stop) { part throws(Failure) in
            try memory.write(at: part.offset, from: UnsafeRawBufferPointer(part.bytes))
            return nil
        }
    }

    /// Looks whether the messages are in memory from `offset` on; nil where all of their bytes are. EINTR where `stop` is no
    /// longer 0, between MiBs.
    public func check(
        _ memory: borrowing MappedMemory, at offset: UInt64, stop: UnsafePointer<Int32>? = nil
    ) throws(Failure) -> Mismatch? {
        let there = UnsafeMutableRawBufferPointer.allocate(byteCount: min(size, Stamp.longestPart), alignment: 8)
        defer { there.deallocate() }
        return try first("load", in: memory, at: offset, stop: stop) { part throws(Failure) in
            let found = UnsafeMutableRawBufferPointer(rebasing: there[..<part.bytes.count])
            try memory.read(at: part.offset, into: found)
            guard let one = found.baseAddress, let other = part.bytes.baseAddress,
                memcmp(one, other, found.count) != 0,
                let byte = found.indices.first(where: { found[$0] != part.bytes[$0] })
            else { return nil }
            return Mismatch(
                message: part.message, byte: part.start + byte, offset: part.offset + UInt64(byte),
                expected: part.bytes[byte], found: found[byte])
        }
    }
}
