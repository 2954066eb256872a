import VFIOUser

/// A buffer of the host made of equal pages, as in the contexts of queues.
struct PageList {
    /// Where each page is.
    let pages: [UInt64]
    /// log2 of a page's bytes.
    let pageShift: Int
    /// Where the buffer starts in the first page.
    let offset: Int

    /// Pages of 4096 << `logPageSize` bytes; the offset counts 64ths of a page, whatever its size.
    init(_ pages: [UInt64], logPageSize: Int, pageOffset: Int) {
        self.pages = pages
        pageShift = 12 + min(logPageSize, 31)
        offset = min(pageOffset, 63) << (pageShift - 6)
    }

    /// Bytes that the buffer has.
    var count: Int { max(0, (pages.count << pageShift) - offset) }

    /// Where a place is, and how many bytes follow it in its page.
    private func place(_ at: Int) throws(DMAFault) -> (address: UInt64, rest: Int) {
        let at = at + offset
        let page = at >> pageShift
        guard at >= 0, page < pages.count else {
            throw DMAFault(address: UInt64(bitPattern: Int64(at)), isWrite: false)
        }
        let within = at & ((1 << pageShift) - 1)
        return (pages[page] &+ UInt64(within), (1 << pageShift) - within)
    }

    /// Where `count` bytes are that lie in one page.
    func address(of at: Int, _ count: Int) throws(DMAFault) -> UInt64 {
        let (address, rest) = try place(at)
        guard count <= rest else { throw DMAFault(address: address, isWrite: true) }
        return address
    }

    func read(_ at: Int, into bytes: UnsafeMutableRawBufferPointer, _ requester: Requester) throws(DMAFault) {
        var done = 0
        while done < bytes.count {
            let (address, rest) = try place(at + done)
            let part = min(rest, bytes.count - done)
            try requester.read(address, into: UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + part]))
            done += part
        }
    }

    func write(_ at: Int, _ bytes: UnsafeRawBufferPointer, _ requester: Requester) throws(DMAFault) {
        var done = 0
        while done < bytes.count {
            let (address, rest) = try place(at + done)
            let part = min(rest, bytes.count - done)
            try requester.write(address, UnsafeRawBufferPointer(rebasing: bytes[done..<done + part]))
            done += part
        }
    }
}
