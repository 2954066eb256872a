import VFIOUser

/// Why an access by memory key fails.
enum AccessFailure: Error {
    /// No such key, another domain, out of bounds, or not allowed.
    case refused
    /// Not present: a page fault may bring it.
    case absent(key: UInt32, address: UInt64, length: UInt64)
    /// The bus failed the access to the translated address.
    case unreachable
}

/// An access: by which key, for which queue pair.
struct MemoryReference {
    var key: UInt32
    var access: AccessRights
    /// The protection domain, and the number, of the queue pair whose memory it is.
    var domain: UInt32
    var queuePair: UInt32
}

/// A piece of memory that one request may access.
struct Span {
    enum Place {
        case host
        /// The device's own; addresses are those of BAR 0.
        case device
        /// Reads as zeros, and keeps nothing.
        case null
    }

    var address: UInt64
    var length: Int
    var attributes: RequestAttributes
    var place = Place.host
}

/// The memory keys of a NIC.
final class MemoryKeyTable {
    /// How often one key may name another: max_indirection of cmd_hca_cap.
    static let deepest = 4
    /// The most 8-byte words that all keys may take (128 MiB): a guest fills them.
    static let most = 16 << 20
    /// Words that a key takes beside its translations.
    private static let keyCost = 64
    /// The cost of looking at one of many entries, in the unit of a turn's budget.
    private static let entryCost = 8
    private var keys: NumberedTable<MemoryKey>
    private var entries = 0
    /// Work that was done and not yet charged to a turn's budget.
    private var debt = 0

    private let most: Int

    /// A table of `limit` keys, which take `memory` times eight bytes at most.
    init(limit: Int, memory: Int = MemoryKeyTable.most) {
        keys = NumberedTable(first: 0x10, limit: limit)
        most = memory
    }

    /// The key of an index, 24 bits without the variable byte.
    subscript(index: UInt32) -> MemoryKey? { keys[index] }

    /// Whether a key fits a condition.
    func contains(where predicate: (MemoryKey) -> Bool) -> Bool { keys.contains(where: predicate) }

    /// CREATE_MKEY: a context, and what follows it of translations, as big-endian words; the index. `isPageable` is
    /// pg_access: entries count only where their present bits are set.
    func create(
        _ context: UnsafeRawBufferPointer, translations: UnsafeRawBufferPointer, isPageable: Bool
    ) throws(CommandFailure) -> Int {
        try keys.add { (index) throws(CommandFailure) in
            guard let key = MemoryKey(index: UInt32(index), context: Array(context), isPageable: isPageable) else {
                throw CommandFailure(.badParameter, "no such access mode")
            }
            let count = key.isFree ? 0 : translations.count / 8
            guard count <= key.room else {
                throw CommandFailure(.badParameter, "more translations than the key has room for")
            }
            guard reserve(MemoryKeyTable.keyCost + count) else {
                throw CommandFailure(.noResources, "no memory for more keys or translations")
            }
            if count > 0 { key.setTranslations(translations, at: 0, present: false) }
            return key
        }
    }

    /// DESTROY_MKEY
    func destroy(_ index: Int) throws(CommandFailure) {
        guard let key = keys.remove(index) else { throw CommandFailure(.badResource, "no such memory key") }
        entries -= MemoryKeyTable.keyCost + key.translations.count
    }

    /// The cost since the last call, to be charged to a turn's budget.
    func takeDebt() -> Int {
        defer { debt = 0 }
        return debt
    }

    func removeAll() {
        keys.removeAll()
        entries = 0
    }

    private func reserve(_ count: Int) -> Bool {
        guard entries + count <= most else { return false }
        entries += count
        return true
    }

    /// Writes entries of a key; false where they are more than it, or the device, has room for.
    func write(_ words: UnsafeRawBufferPointer, to key: MemoryKey, at first: Int) -> Bool {
        let end = first + words.count / 8
        guard first >= 0, end <= key.room else { return false }
        let more = max(0, end - key.translations.count)
        guard reserve(more) else { return false }
        debt += more * MemoryKeyTable.entryCost
        key.setTranslations(words, at: first, present: true)
        return true
    }

    // MARK: Access

    /// The first contiguous piece of `length` bytes at an address, at least one byte. All of them must be allowed;
    /// only the first has to be present.
    func span(_ reference: MemoryReference, at address: UInt64, _ length: Int) throws(AccessFailure) -> Span {
        var reference = reference
        var address = address
        var length = UInt64(max(length, 1))
        if reference.key == SpecialKey.null {
            return Span(address: address, length: Int(length), attributes: .none, place: .null)
        }
        for depth in 0...MemoryKeyTable.deepest {
            guard let key = keys[reference.key >> 8], UInt8(truncatingIfNeeded: reference.key) == key.variant,
                !key.isFree, key.domain == reference.domain, key.access.isSuperset(of: reference.access),
                key.covers(address, length)
            else { throw .refused }
            if depth == 0, reference.access.isRemote, key.queuePair != 0xff_ffff,
                key.queuePair != reference.queuePair
            {
                throw .refused
            }
            switch key.mode {
            case .physical: return Span(address: address, length: Int(length), attributes: key.attributes)
            case .deviceMemory:
                return Span(
                    address: key.start &+ address, length: Int(length), attributes: .none, place: .device)
            case .pages: return try page(key, reference.access, address, length)
            case .lists:
                debt += key.sumLists() * MemoryKeyTable.entryCost
                guard let next = key.list(at: address) else { throw .refused }
                (reference.key, address, length) = (next.key, next.address, min(length, next.rest))
            case .fixedLists:
                guard let (index, within) = key.entry(of: address), index * 2 + 1 < key.translations.count else {
                    throw .refused
                }
                reference.key = UInt32(truncatingIfNeeded: key.translations[index * 2])
                address = key.translations[index * 2 + 1] &+ within
                length = min(length, (1 &<< key.pageShift) &- within)
            }
            reference.access = reference.access.local
        }
        throw .refused
    }

    /// A piece of equal pages, as long as they lie one behind the other.
    private func page(
        _ key: MemoryKey, _ access: AccessRights, _ address: UInt64, _ length: UInt64
    ) throws(AccessFailure) -> Span {
        guard let (first, within) = key.entry(of: address) else { throw .refused }
        let size: UInt64 = 1 &<< key.pageShift
        let needed: UInt64 = key.isPageable ? (access.writes ? 2 : 1) : 0
        let flags: UInt64 = key.pageShift >= 12 ? 0xfff : min(size &- 1, 7)
        // No caller's buffer is longer.
        let wanted = min(length, UInt64(DataPath.packetSize))
        return try key.translations.withUnsafeBufferPointer { entries throws(AccessFailure) in
            guard first < entries.count, needed == 0 || entries[first] & needed != 0 else {
                guard key.isPageable else { throw .refused }
                throw .absent(key: key.number, address: address, length: length)
            }
            let base = entries[first] & ~flags
            var count = size &- within
            var next = first + 1
            while count < wanted, next < entries.count, needed == 0 || entries[next] & needed != 0,
                entries[next] & ~flags == base &+ UInt64(next - first) &* size
            {
                count &+= size
                next += 1
            }
            return Span(
                address: base &+ within, length: Int(min(count, length)), attributes: key.attributes)
        }
    }
}
