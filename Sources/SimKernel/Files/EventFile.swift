import Glibc
import Kernel

/// An eventfd: a 64-bit counter. fs/eventfd.c
final class EventFile: OpenFile {
    private(set) var count: UInt64
    private var watches: [EventWatch] = []

    init(_ kernel: SimKernel, count: UInt64) {
        self.count = count
        super.init(kernel, "eventfd", flags: O_RDWR)
    }

    override var isPositional: Bool { false }

    // fs/read_write.c:noop_llseek
    override func seek(_ offset: Int64, _ whence: Int32) throws(Errno) -> Int { Int(position) }

    /// eventfd_signal_mask
    func signal() {
        if count < .max { count += 1 }
        wake()
    }

    // eventfd_read
    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard bytes.count >= 8 else { throw Errno(EINVAL) }
        guard count > 0 else { throw kernel.notModelled("read of an eventfd that would wait", EAGAIN) }
        bytes.storeBytes(of: count, as: UInt64.self)
        count = 0
        return 8
    }

    // eventfd_write
    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard bytes.count >= 8 else { throw Errno(EINVAL) }
        let value = bytes.loadUnaligned(as: UInt64.self)
        guard value != .max else { throw Errno(EINVAL) }
        guard value < .max - count else { throw kernel.notModelled("write to an eventfd that would wait", EAGAIN) }
        count += value
        wake()
        return 8
    }

    // eventfd_poll
    override func events(_ events: Int16) -> Int16 {
        (count > 0 ? Int16(POLLIN) : 0) | (count < .max - 1 ? Int16(POLLOUT) : 0)
    }

    // eventfd_release: EPOLLHUP, which ends what watches
    override func closed() { watches = [] }

    fileprivate func add(_ watch: EventWatch) { watches.append(watch) }

    fileprivate func remove(_ watch: EventWatch) { watches.removeAll { $0 === watch } }

    fileprivate func isWatched(by watch: EventWatch) -> Bool { watches.contains { $0 === watch } }

    /// drivers/vfio/virqfd.c:virqfd_wakeup takes what was counted.
    private func wake() {
        for watch in watches {
            count = 0
            watch.act()
        }
    }
}

/// An action that runs when an eventfd is signalled (struct virqfd). drivers/vfio/virqfd.c
final class EventWatch {
    private let event: EventFile
    fileprivate let act: () -> Void

    /// vfio_virqfd_enable: a counter above 0 runs the action at once and keeps its value.
    init(_ event: EventFile, _ act: @escaping () -> Void) {
        self.event = event
        self.act = act
        event.add(self)
        if event.count > 0 { act() }
    }

    /// Until the eventfd is closed.
    var isActive: Bool { event.isWatched(by: self) }

    /// vfio_virqfd_disable
    func end() { event.remove(self) }
}

extension SimKernel {
    /// fs/eventfd.c:eventfd_ctx_fdget
    func event(_ descriptor: Int32) throws(Errno) -> EventFile {
        guard let event = try file(descriptor) as? EventFile else { throw Errno(EINVAL) }
        return event
    }
}
