/// Access rights of a memory key.
struct AccessRights: OptionSet {
    let rawValue: UInt8

    static let localRead = AccessRights(rawValue: 1)
    static let localWrite = AccessRights(rawValue: 2)
    static let remoteRead = AccessRights(rawValue: 4)
    static let remoteWrite = AccessRights(rawValue: 8)
    static let atomic = AccessRights(rawValue: 16)

    /// Whether memory changes.
    var writes: Bool { !isDisjoint(with: [.localWrite, .remoteWrite, .atomic]) }
    var isRemote: Bool { !isDisjoint(with: [.remoteRead, .remoteWrite, .atomic]) }
    /// The right that a key which this one refers to must grant.
    var local: AccessRights { writes ? .localWrite : .localRead }
}

/// A memory key: the translation of its addresses, and access rights. The context is kept as the guest wrote it; what
/// each access needs of it is decoded once.
final class MemoryKey {
    /// How addresses are translated. include/linux/mlx5/mlx5_ifc.h:MLX5_MKC_ACCESS_MODE_*
    enum Mode: UInt64 {
        case physical = 0
        case pages = 1
        case lists = 2
        case fixedLists = 3
        case deviceMemory = 5

        /// That of a context.
        init?(_ context: UnsafeRawBufferPointer) {
            self.init(rawValue: context[MemoryKeyContext.accessMode42] << 2 | context[MemoryKeyContext.accessMode10])
        }
    }

    /// Its number, without the variable byte.
    let index: UInt32
    /// The context, 64 bytes.
    private(set) var context: [UInt8]
    /// The translations: an MTT is one element, a KLM two (byte count and key, then address).
    private(set) var translations: [UInt64] = []
    /// Sums of the lengths of the KLMs before each one. Computed when they are first needed.
    private var listStarts: [UInt64] = []
    /// Whether entries may be absent, so that an access of one waits for a page fault.
    private(set) var isPageable: Bool

    private(set) var mode = Mode.physical
    private(set) var isFree = false
    private(set) var isUMREnabled = false
    private(set) var allowsRemoteInvalidation = false
    private(set) var variant: UInt8 = 0
    private(set) var domain: UInt32 = 0
    /// The queue pair that alone may use it; 0xffffff for any.
    private(set) var queuePair: UInt32 = 0xff_ffff
    private(set) var access: AccessRights = []
    private(set) var start: UInt64 = 0
    private(set) var length: UInt64 = 0
    private(set) var isUnbounded = false
    private(set) var pageShift: UInt64 = 0
    private(set) var attributes = RequestAttributes.none
    /// 16-byte entries that its translations may have.
    private(set) var capacity = 0

    /// Eight-byte entries for which there is room: drivers round up to 64 bytes, beyond what a small key was made for.
    var room: Int { (capacity * 2 + 7) & ~7 }

    /// The number that requests name: index and variable byte.
    var number: UInt32 { index << 8 | UInt32(variant) }

    /// A key from its context; nil for an unknown access mode.
    init?(index: UInt32, context: [UInt8], isPageable: Bool) {
        guard context.count == MemoryKeyContext.size else { return nil }
        self.index = index
        self.context = context
        self.isPageable = isPageable
        guard decode() else { return nil }
    }

    /// Changes fields of the context. False, without a change, where the result would be invalid.
    func change(_ body: (inout [UInt8]) -> Void) -> Bool {
        let old = context
        body(&context)
        if decode() { return true }
        context = old
        _ = decode()
        return false
    }

    private func decode() -> Bool {
        let known = context.withUnsafeBytes { bytes in
            guard let mode = Mode(bytes) else { return false }
            self.mode = mode
            decodeRights(bytes)
            start = bytes[MemoryKeyContext.startAddr]
            length = bytes[MemoryKeyContext.length]
            isUnbounded = bytes[flag: MemoryKeyContext.length64]
            pageShift = bytes[MemoryKeyContext.logPageSize]
            capacity = bytes[int: MemoryKeyContext.translationsOctwordSize]
            attributes.relaxedRead = bytes[flag: MemoryKeyContext.relaxedOrderingRead]
            attributes.relaxedWrite = bytes[flag: MemoryKeyContext.relaxedOrderingWrite]
            attributes.hint =
                bytes[flag: MemoryKeyContext.tphEnabled]
                ? (
                    UInt8(truncatingIfNeeded: bytes[MemoryKeyContext.processingHint]),
                    UInt8(truncatingIfNeeded: bytes[MemoryKeyContext.steeringTagIndex])
                ) : nil
            return true
        }
        listStarts = []
        return known
    }

    private func decodeRights(_ bytes: UnsafeRawBufferPointer) {
        isFree = bytes[flag: MemoryKeyContext.free]
        isUMREnabled = bytes[flag: MemoryKeyContext.umrEn]
        allowsRemoteInvalidation = bytes[flag: MemoryKeyContext.enRinval]
        variant = UInt8(truncatingIfNeeded: bytes[MemoryKeyContext.variant])
        domain = bytes[word: MemoryKeyContext.pd]
        queuePair = bytes[word: MemoryKeyContext.qpn]
        access = []
        if bytes[flag: MemoryKeyContext.lr] { access.insert(.localRead) }
        if bytes[flag: MemoryKeyContext.lw] { access.insert(.localWrite) }
        if bytes[flag: MemoryKeyContext.rr] { access.insert(.remoteRead) }
        if bytes[flag: MemoryKeyContext.rw] { access.insert(.remoteWrite) }
        if bytes[flag: MemoryKeyContext.a] { access.insert(.atomic) }
    }

    // MARK: Translations

    /// Takes entries from `first` on, as 64-bit words of the host's byte order; room was asked for before.
    func setTranslations(_ words: UnsafeRawBufferPointer, at first: Int, present: Bool) {
        let count = words.count / 8
        if translations.count < first + count {
            translations.append(contentsOf: repeatElement(0, count: first + count - translations.count))
        }
        translations.withUnsafeMutableBufferPointer { entries in
            for index in 0..<count {
                entries[first + index] = UInt64(
                    bigEndian: words.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
            }
        }
        if present { isPageable = true }
        listStarts = []
    }

    /// Whether bytes lie within it.
    func covers(_ address: UInt64, _ count: UInt64) -> Bool {
        // hw/mlx5/mr.c:mlx5_ib_get_dm_mr: the start is where it lies in the device; addresses count from 0.
        let start = mode == .deviceMemory ? 0 : start
        return isUnbounded || (address >= start && address &- start <= length && count <= length &- (address &- start))
    }

    /// The translation entry of an address among equal pages, and the offset in the page; nil beyond the last
    /// possible entry.
    func entry(of address: UInt64) -> (index: Int, within: UInt64)? {
        let index = (address &>> pageShift) &- (start &>> pageShift)
        let words = UInt64(capacity) * 2
        guard index < max(words, UInt64(translations.count)) else { return nil }
        return (Int(truncatingIfNeeded: index), address & ((1 &<< pageShift) &- 1))
    }

    /// The KLM that has an address: its key, the address there, and how many bytes follow. `sumLists` comes first.
    func list(at address: UInt64) -> (key: UInt32, address: UInt64, rest: UInt64)? {
        let offset = address &- start
        guard let end = listStarts.last, offset < end else { return nil }
        var low = 0
        var high = listStarts.count - 1
        while high - low > 1 {
            let middle = (low + high) / 2
            if listStarts[middle] <= offset { low = middle } else { high = middle }
        }
        let within = offset &- listStarts[low]
        return (
            UInt32(truncatingIfNeeded: translations[low * 2]), translations[low * 2 + 1] &+ within,
            listStarts[low + 1] &- offset
        )
    }

    /// Computes where the KLMs start, unless that is known; returns how many were added up.
    func sumLists() -> Int {
        guard listStarts.isEmpty else { return 0 }
        var sum: UInt64 = 0
        listStarts = [0]
        listStarts.reserveCapacity(translations.count / 2 + 1)
        for index in 0..<translations.count / 2 {
            sum &+= translations[index * 2] >> 32
            listStarts.append(sum)
        }
        return listStarts.count
    }
}
