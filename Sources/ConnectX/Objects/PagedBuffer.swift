import VFIOUser

/// A queue's memory as its context describes it: equal pages of the function's address space, and where in the first the
/// queue begins.
struct PagedBuffer {
    private let pages: [UInt64]
    private let logPageSize: Int
    private let start: Int
    /// Bytes of the queue.
    let size: Int

    /// Bytes that this takes of the model's own memory.
    var cost: Int { pages.count * 8 }

    /// A buffer from a context's log_page_size (above 12) and page_offset, which counts 64ths of a page of the context's
    /// size, and the list behind the command.
    /// - Throws: badParameter where the pages do not hold `size` bytes.
    init(list: UnsafeRawBufferPointer, logPageSize: Int, offset: Int, size: Int) throws(CommandFailure) {
        guard logPageSize <= 19 else { throw CommandFailure(.badParameter, "log_page_size is above 2 GiB") }
        self.logPageSize = logPageSize + 12
        start = offset << (self.logPageSize - 6)
        self.size = size
        let needed = (start + size + (1 << self.logPageSize) - 1) >> self.logPageSize
        guard list.count / 8 >= needed else {
            throw CommandFailure(.badInputLength, "fewer pages than the queue needs")
        }
        pages = (0..<needed).map { page in
            UInt64(bigEndian: list.loadUnaligned(fromByteOffset: page * 8, as: UInt64.self)) & ~0xfff
        }
    }

    /// Reads the queue's bytes from `offset`, which lie within it.
    func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer, _ bus: any PCIBus) throws(DMAFault) {
        var done = 0
        while done < bytes.count {
            let (address, count) = run(at: offset &+ done, bytes.count - done)
            try bus.read(address, into: UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + count]))
            done += count
        }
    }

    /// Writes the queue's bytes from `offset`, which lie within it.
    func write(at offset: Int, _ bytes: UnsafeRawBufferPointer, _ bus: any PCIBus) throws(DMAFault) {
        var done = 0
        while done < bytes.count {
            let (address, count) = run(at: offset &+ done, bytes.count - done)
            try bus.write(address, UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
            done += count
        }
    }

    /// The address of the byte at `offset`, which lies within. A queue's entry that starts there lies in one page.
    @inline(__always)
    func address(of offset: Int) -> UInt64 { run(at: offset, 1).address }

    /// Where the bytes from `offset` lie, and how many of them before another page begins.
    @inline(__always)
    private func run(at offset: Int, _ count: Int) -> (address: UInt64, count: Int) {
        let place = start + offset
        let within = place & ((1 << logPageSize) - 1)
        return (pages[place >> logPageSize] &+ UInt64(within), min(count, (1 << logPageSize) - within))
    }
}
