import CKernel
import Glibc
import Kernel

/// Pages of the process that devices reach while this lives (mm/gup.c:pin_user_pages). They stay when the process unmaps
/// them: their memory is then at another address of this process, where its program does not look.
final class PinnedPages {
    fileprivate let range: ClosedRange<UInt64>
    private let pins: Pins
    fileprivate let counter: Pins.Counter
    fileprivate let source: ObjectIdentifier?
    /// Where the pages are that the process has unmapped since, by the addresses that they had.
    fileprivate var moved = IntervalMap<MovedPages>()

    /// Pins the pages of `length` bytes from `address`, which the caller has found accessible; `length` is not 0. ENOMEM where
    /// that would be more than the process may pin. Pages of one `source` count once.
    init(_ address: UInt64, _ length: UInt64, _ pins: Pins, as counter: Pins.Counter, of source: AnyObject? = nil)
        throws(Errno)
    {
        range = (address & ~4095)...(address + (length - 1) | 4095)
        self.pins = pins
        self.counter = counter
        self.source = source.map { ObjectIdentifier($0) }
        pins.add(self)
        guard pins.isWithinLimit(counter) else {
            pins.remove(self)
            throw Errno(ENOMEM)
        }
    }

    deinit { pins.remove(self) }

    fileprivate var count: UInt64 { (range.upperBound - range.lowerBound + 1) >> 12 }

    /// Moves bytes between a device and what was at `address` when it was pinned. False where the memory does not allow
    /// it: a file that was cut, a protection.
    func transfer(_ bytes: UnsafeMutableRawBufferPointer, at address: UInt64, toMemory: Bool) -> Bool {
        var done = 0
        while done < bytes.count {
            let next = address + UInt64(done)
            var (place, count) = (next, UInt64(bytes.count - done))
            let index = moved.index(of: next)
            if index < moved.entries.count {
                let entry = moved.entries[index]
                if entry.first <= next { place = entry.value.address(of: next) }
                count = min(count, entry.first <= next ? entry.last - next + 1 : entry.first - next)
            }
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[done..<(done + Int(count))])
            guard ProcessMemory.transfer(part, at: place, toMemory: toMemory) else { return false }
            done += Int(count)
        }
        return true
    }

    /// What of [first, last] it pins where the process has it mapped.
    fileprivate func mapped(_ first: UInt64, _ last: UInt64) -> [ClosedRange<UInt64>] {
        guard first <= range.upperBound, last >= range.lowerBound else { return [] }
        var next = max(first, range.lowerBound)
        let end = min(last, range.upperBound)
        var ranges: [ClosedRange<UInt64>] = []
        for index in moved.overlapping(next, end) {
            let entry = moved.entries[index]
            if entry.first > next { ranges.append(next...(entry.first - 1)) }
            next = entry.last + 1
        }
        return next <= end ? ranges + [next...end] : ranges
    }
}

/// Pages that were unmapped while they were pinned. They go with the last pin.
final class MovedPages {
    private let first: UInt64
    private let base: UnsafeMutableRawPointer
    private let length: Int

    fileprivate init(_ range: ClosedRange<UInt64>) throws(Errno) {
        first = range.lowerBound
        length = Int(range.upperBound - first + 1)
        var address: UnsafeMutableRawPointer?
        let result = sys_move(&address, first, length)
        guard result == 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        base = address
    }

    deinit { _ = sys_munmap(base, length) }

    fileprivate func address(of former: UInt64) -> UInt64 { UInt64(UInt(bitPattern: base)) + (former - first) }
}

/// What is pinned of the process's memory.
final class Pins {
    private struct Pin {
        unowned let pages: PinnedPages
    }
    /// What RLIMIT_MEMLOCK is compared with. Each of the kernel's counters has the whole limit.
    enum Counter {
        /// user_struct.locked_vm: of an iommufd. drivers/iommu/iommufd/pages.c:incr_user_locked_vm
        case user
        /// mm_struct.locked_vm: of a type1 container, and of an iommufd that counts by process. mm/util.c:account_locked_vm
        case process
        /// mm_struct.pinned_vm: of memory regions, whose limit (core/umem.c:ib_umem_get) what an iommufd pins counts against too.
        case regions
    }

    /// Most bytes that may be pinned; nil without a limit.
    private let limit: UInt64?
    private var all: [ObjectIdentifier: Pin] = [:]

    init(limit: UInt64?) { self.limit = limit }

    /// Whether all that a counter has is within the limit.
    fileprivate func isWithinLimit(_ counter: Counter) -> Bool {
        guard let limit else { return true }
        var pages: UInt64 = 0
        var shared: [ObjectIdentifier: [ClosedRange<UInt64>]] = [:]
        for pin in all.values.map(\.pages)
        where pin.counter == counter || counter == .regions && pin.source != nil {
            if let source = pin.source { shared[source, default: []].append(pin.range) } else { pages += pin.count }
        }
        for ranges in shared.values {
            var next: UInt64 = 0
            for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.upperBound >= next {
                let first = max(range.lowerBound, next)
                pages += (range.upperBound - first + 1) >> 12
                next = range.upperBound + 1
            }
        }
        return pages <= limit >> 12
    }

    fileprivate func add(_ pages: PinnedPages) { all[ObjectIdentifier(pages)] = Pin(pages: pages) }

    fileprivate func remove(_ pages: PinnedPages) { all[ObjectIdentifier(pages)] = nil }

    /// Takes the pinned pages of [first, last], a part of one mapping, from the process. Returns what it took, in order;
    /// the caller unmaps the rest.
    func take(_ first: UInt64, _ last: UInt64) throws(Errno) -> [ClosedRange<UInt64>] {
        let parts = all.values.flatMap { pin in pin.pages.mapped(first, last).map { (pin.pages, $0) } }
        var taken: [ClosedRange<UInt64>] = []
        for (_, range) in parts.sorted(by: { $0.1.lowerBound < $1.1.lowerBound }) {
            if let before = taken.last, range.lowerBound <= before.upperBound {
                taken[taken.count - 1] = before.lowerBound...max(before.upperBound, range.upperBound)
            } else {
                taken.append(range)
            }
        }
        for range in taken {
            let pages = try MovedPages(range)
            for (pin, part) in parts where range.overlaps(part) {
                pin.moved.insert(part.lowerBound, part.upperBound, pages)
            }
        }
        return taken
    }
}
