public import Kernel

/// Bytes that tell which message they belong to: of each message other ones, and none of them likely by chance.
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

    /// SplitMix64's sequence, from a start that message and seed decide.
    private func fill(_ buffer: UnsafeMutableRawBufferPointer, message: UInt64) {
        var state = (message &* 0xd134_2543_de82_ef95) ^ (seed &* 0x9e37_79b9_7f4a_7c15)
        var place = 0
        while place < buffer.count {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            word ^= word >> 31
            withUnsafeBytes(of: word.littleEndian) { bytes in
                let count = min(8, buffer.count - place)
                UnsafeMutableRawBufferPointer(rebasing: buffer[place..<(place + count)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            place += 8
        }
    }

    /// Stamps the messages into memory from `offset` on; EINTR where `stop` is no longer 0, between messages.
    public func write(
        to memory: borrowing MappedMemory, at offset: UInt64, stop: UnsafePointer<Int32>? = nil
    ) throws(Failure) {
        try memory.check("store", offset, size * slots)
        var bytes = [UInt8](repeating: 0, count: size)
        for slot in 0..<slots {
            try memory.goOn("store", stop)
            let message = first &+ UInt64(slot)
            let count = length(message)
            bytes.withUnsafeMutableBytes { fill(.init(rebasing: $0[..<count]), message: message) }
            let result: Result<Void, Failure> = bytes.withUnsafeBytes { buffer in
                do throws(Failure) {
                    let part = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                    return .success(try memory.write(at: offset + UInt64(slot * size), from: part))
                } catch { return .failure(error) }
            }
            try result.get()
        }
    }

    /// Looks whether the messages are in memory from `offset` on; nil where all of their bytes are. EINTR where `stop` is no
    /// longer 0, between messages.
    public func check(
        _ memory: borrowing MappedMemory, at offset: UInt64, stop: UnsafePointer<Int32>? = nil
    ) throws(Failure) -> Mismatch? {
        try memory.check("load", offset, size * slots)
        for slot in 0..<slots {
            try memory.goOn("load", stop)
            let message = first &+ UInt64(slot)
            let count = length(message)
            var expected = [UInt8](repeating: 0, count: count)
            var found = [UInt8](repeating: 0, count: count)
            let place = offset + UInt64(slot * size)
            expected.withUnsafeMutableBytes { fill($0, message: message) }
            let result: Result<Void, Failure> = found.withUnsafeMutableBytes { buffer in
                do throws(Failure) { return .success(try memory.read(at: place, into: buffer)) } catch {
                    return .failure(error)
                }
            }
            try result.get()
            guard found != expected, let byte = found.indices.first(where: { found[$0] != expected[$0] }) else {
                continue
            }
            return Mismatch(
                message: message, byte: byte, offset: place + UInt64(byte), expected: expected[byte],
                found: found[byte])
        }
        return nil
    }
}
