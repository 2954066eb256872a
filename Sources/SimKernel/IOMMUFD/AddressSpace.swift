import CKernel
import Glibc
import Kernel

/// Pages behind one or more areas (struct iopt_pages): user memory, a device's BAR, or a dma-buf.
final class Pages: Importer {
    enum Source {
        case user(UInt64)
        case bar(BARAddress)
        case buffer(VFIODMABuf)
        /// Any file. One that has no pages is refused only when they are pinned.
        case file(OpenFile, at: UInt64)
    }
    let source: Source
    let isWriteable: Bool
    /// Set by the exporter's revocation and never cleared.
    private(set) var isDead = false
    var slot = -1

    init(_ source: Source, writeable: Bool) {
        self.source = source
        isWriteable = writeable
    }

    deinit {
        if case .buffer(let buffer) = source { buffer.detach(self) }
    }

    /// drivers/iommu/iommufd/pages.c:iopt_revoke_notify
    func invalidate() { isDead = true }

    /// The memory that a bus access at `offset` reaches, and how many bytes are contiguous from there; nil once revoked.
    func target(at offset: UInt64) -> (Source, UInt64)? {
        switch source {
        case .user(let address): return (.user(address &+ offset), .max)
        case .file(let file, let start): return (.file(file, at: start &+ offset), .max)
        case .bar(let bar):
            return (.bar(BARAddress(device: bar.device, index: bar.index, offset: bar.offset + offset)), .max)
        case .buffer(let buffer):
            guard !isDead, let (address, count) = buffer.address(at: offset) else { return nil }
            return (.bar(address), count)
        }
    }
}

/// A mapped interval of an address space.
struct Area {
    let pages: Pages
    /// Bytes into the pages.
    let offset: UInt64
    let readable: Bool
    let writeable: Bool
    /// The pinned pages of user memory while a page table maps them.
    var pinned: PinnedPages?

    /// Where its bytes start: at an address of user memory, or in the file or dma-buf behind it.
    var start: UInt64 { if case .user(let address) = pages.source { address &+ offset } else { offset } }
}

/// A map from device addresses to memory: of an IOAS or a type1 container.
final class AddressSpace {
    private(set) var areas = IntervalMap<Area>()
    /// The lowest hole of each shape at the last search, from which the next search begins.
    private var hints: [Hole: UInt64] = [:]

    private struct Hole: Hashable {
        let length: UInt64
        let step: UInt64
        let pageOffset: UInt64
    }

    func insert(_ iova: UInt64, _ length: UInt64, _ area: Area) { areas.insert(iova, iova + (length - 1), area) }

    func remove(_ indices: Range<Int>) {
        guard let lowest = indices.first else { return }
        let freed = lowest > 0 ? areas.entries[lowest - 1].last : 0
        hints = hints.mapValues { min($0, freed) }
        areas.remove(indices)
    }

    func removeAll() { remove(areas.entries.indices) }

    /// Keeps what pins each area, in order, or forgets it.
    func keep(_ pinned: [PinnedPages?]) {
        for (index, pages) in pinned.enumerated() { areas.change(index) { $0.pinned = pages } }
    }

    /// Searches from the lowest address again, as after a reserved range went away.
    func forgetHoles() { hints = [:] }

    /// drivers/iommu/iommufd/io_pagetable.c:iopt_alloc_iova: the lowest hole that fits, never IOVA 0
    func allocate(_ length: UInt64, start: UInt64, alignment: UInt64, ranges: [iommu_iova_range]) throws(Errno)
        -> UInt64
    {
        // Protects the rounding up of the length.
        guard length < UInt64.max / 2 else { throw Errno(EOVERFLOW) }
        var step = length.nextPowerOfTwo
        if start != 0 { step = min(step, 1 << UInt64(start.trailingZeroBitCount)) }
        step = min(step, 1 << 21)
        guard step >= alignment else { throw Errno(EINVAL) }
        let shape = Hole(length: length, step: step, pageOffset: start & 4095)
        let hint = hints[shape] ?? 0
        for range in ranges {
            let low = max(range.start, 4096, hint)
            guard low <= range.last,
                let iova = hole(shape, low, min(range.last, .max - 4096))
            else { continue }
            if hints.count >= 64 { hints = [:] }
            hints[shape] = iova
            return iova
        }
        throw Errno(ENOSPC)
    }

    private func hole(_ shape: Hole, _ low: UInt64, _ last: UInt64) -> UInt64? {
        let length = shape.length
        var candidate = low
        var next = areas.index(of: low)
        while true {
            let (rounded, overflow) = candidate.addingReportingOverflow(shape.step - 1)
            if overflow { return nil }
            let iova = (rounded & ~(shape.step - 1)) | shape.pageOffset
            guard iova < last, last - iova >= length - 1 else { return nil }
            guard next < areas.entries.count, areas.entries[next].first <= iova + (length - 1) else { return iova }
            guard areas.entries[next].last < last else { return nil }
            candidate = max(candidate, areas.entries[next].last + 1)
            next += 1
        }
    }

    // MARK: DMA

    /// Moves bytes between a device and the memory mapped at `iova`. Returns what stopped it, before any byte was moved, or
    /// nil.
    func transfer(
        _ bytes: UnsafeMutableRawBufferPointer, iova: UInt64, toMemory: Bool, by requester: PCIFunction,
        _ kernel: SimKernel
    ) -> String? {
        var steps: [(source: Pages.Source, pinned: PinnedPages?, part: Range<Int>)] = []
        var done = 0
        while done < bytes.count {
            let (address, overflow) = iova.addingReportingOverflow(UInt64(done))
            guard !overflow, let entry = areas.find(address) else { return "not mapped" }
            let area = entry.value
            guard toMemory ? area.writeable : area.readable else { return "not permitted" }
            guard let (source, count) = area.pages.target(at: area.offset + (address - entry.first)) else {
                return "revoked"
            }
            let length = min(UInt64(bytes.count - done), entry.last - address + 1, count)
            steps.append((source, area.pinned, done..<(done + Int(length))))
            done += Int(length)
        }
        for step in steps {
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[step.part])
            if case .bar(let bar) = step.source {
                kernel.reach(bar, part, toMemory: toMemory, by: requester)
            } else {
                kernel.record(
                    .hostMemory(iova &+ UInt64(step.part.lowerBound)), part.count, isWrite: toMemory, by: requester)
                move(part, step.source, step.pinned, toMemory: toMemory, kernel)
            }
        }
        return nil
    }

    private func move(
        _ bytes: UnsafeMutableRawBufferPointer, _ source: Pages.Source, _ pinned: PinnedPages?, toMemory: Bool,
        _ kernel: SimKernel
    ) {
        switch source {
        case .user(let address):
            guard pinned?.transfer(bytes, at: address, toMemory: toMemory) != true else { return }
            _ = kernel.notModelled("DMA to pinned memory that is not accessible any more", EFAULT)
        case .file(let file, let offset): move(bytes, file, offset, toMemory: toMemory, kernel)
        case .bar, .buffer: break
        }
    }

    private func move(
        _ bytes: UnsafeMutableRawBufferPointer, _ file: OpenFile, _ offset: UInt64, toMemory: Bool,
        _ kernel: SimKernel
    ) {
        do throws(Errno) {
            _ =
                toMemory
                ? try file.write(UnsafeRawBufferPointer(bytes), at: offset) : try file.read(bytes, at: offset)
        } catch {
            _ = kernel.notModelled("DMA to a file that refuses it", error.code)
        }
    }
}

extension SimKernel {
    /// A peer-to-peer request. A function that does not decode memory answers it with an error: ones for a read.
    func reach(
        _ target: BARAddress, _ bytes: UnsafeMutableRawBufferPointer, toMemory: Bool, by requester: PCIFunction,
        _ attributes: TLPAttributes = .none
    ) {
        record(.bar(target), bytes.count, isWrite: toMemory, by: requester, attributes)
        guard target.device.function.decodesMemory, let bar = target.device.function.bar(target.index),
            target.offset <= bar.size, UInt64(bytes.count) <= bar.size - target.offset
        else {
            if !toMemory { _ = bytes.initializeMemory(as: UInt8.self, repeating: 0xff) }
            return
        }
        guard bar.kind == .memory else {
            _ = notModelled("peer-to-peer DMA to engine registers", EOPNOTSUPP)
            return
        }
        do throws(Errno) {
            try target.device.access(bar, target.offset, bytes, write: toMemory)
        } catch {
            _ = notModelled("BAR memory that could not be allocated", error.code)
        }
    }
}
