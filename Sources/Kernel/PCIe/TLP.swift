/// A memory request on a PCI Express link: requester, target, bytes and hint. Source: PCIe Base Spec 2.2; for TPH in
/// headers the TPH ECN.
public struct TLP: Sendable, Equatable {
    /// The mode of a link, which determines the header's layout.
    public enum Mode: String, Sendable, CaseIterable {
        /// Up to PCIe 5, and PCIe 6 without flit mode negotiated.
        case nonFlit = "non-flit"
        /// PCIe 6 flit mode.
        case flit
    }

    /// The TPH fields of a request.
    public struct Hint: Sendable, Equatable {
        /// The steering tag.
        public var tag: UInt16
        /// Whether the tag is of the 16-bit namespace.
        public var isExtended: Bool
        /// The processing hint, 0 to 3.
        public var ph: UInt8

        /// A hint.
        public init(tag: UInt16, isExtended: Bool = false, ph: UInt8) {
            self.tag = tag
            self.isExtended = isExtended
            self.ph = ph
        }

        /// The processing hint's name.
        public var name: String { ProcessingHint(rawValue: ph & 3)?.name ?? "?" }
    }

    /// An offset in a BAR of a function.
    public struct Target: Sendable, Equatable {
        /// "0000:01:00.0"
        public var function: String
        /// The BAR, 0 to 5.
        public var region: Int
        /// Bytes from its start.
        public var offset: UInt64

        /// An offset in a BAR.
        public init(function: String, region: Int, offset: UInt64) {
            self.function = function
            self.region = region
            self.offset = offset
        }
    }

    /// When it was sent: nanoseconds by the bench's clock.
    public var time: UInt64 = 0
    /// The links' mode.
    public var mode = Mode.nonFlit
    /// True for a write, false for a read.
    public var isWrite: Bool
    /// Bus in 15:8, device in 7:3, function in 2:0.
    public var requester: UInt16
    /// The requester's sysfs address: "0000:03:00.0".
    public var requesterAddress = ""
    /// Address of the first byte, as the requester sends it: a BAR's bus address, or an IOVA where an IOMMU translates.
    public var address: UInt64
    /// Bytes, at least one.
    public var length: Int
    /// nil without a hint.
    public var hint: Hint?
    /// Whether later requests may overtake it, or it earlier ones: Attr[1], relaxed ordering.
    public var isRelaxed = false
    /// nil for host memory.
    public var target: Target?

    /// A request in non-flit mode.
    public init(isWrite: Bool, requester: UInt16, address: UInt64, length: Int, hint: Hint? = nil) {
        self.isWrite = isWrite
        self.requester = requester
        self.address = address
        self.length = length
        self.hint = hint
    }

    /// The ``requester`` for an address such as "0000:03:00.0"; 0 where the text is malformed.
    public static func requester(_ address: String) -> UInt16 {
        let parts = address.split(whereSeparator: { ":.".contains($0) }).suffix(3).map { UInt16($0, radix: 16) }
        guard parts.count == 3, let bus = parts[0], let slot = parts[1], let function = parts[2] else { return 0 }
        return (bus & 0xff) << 8 | (slot & 31) << 3 | function & 7
    }

    /// Splits an access into requests that do not cross a multiple of `limit`, a power of two in bytes.
    public func forEachPart(upTo limit: Int, _ body: (TLP) -> Void) {
        let limit = max(limit, 1)
        var part = self
        var rest = length
        while rest > 0 {
            part.length = min(rest, limit - Int(part.address % UInt64(limit)))
            body(part)
            rest -= part.length
            part.address &+= UInt64(part.length)
            part.target?.offset &+= UInt64(part.length)
        }
    }

    // MARK: Headers

    /// The header in its link's layout; nil where no known source defines it.
    public var header: [UInt32]? { mode == .flit ? flitHeader : nonFlitHeader }

    private var isLong: Bool { address > 0xffff_ffff }

    /// The length field: double words from the first byte's to the last byte's; 1024 is encoded as 0.
    private var doubleWords: UInt32 {
        UInt32(truncatingIfNeeded: (Int(address & 3) + max(length, 1) + 3) / 4) & 0x3ff
    }

    /// Last and first byte enables.
    private var byteEnables: UInt32 {
        let first = Int(address & 3)
        let end = first + max(length, 1)
        let head = (UInt32(0xf) << UInt32(first)) & 0xf
        guard end > 4 else { return head & (0xf >> UInt32(4 - end)) }
        return head | (0xf >> UInt32((4 - end % 4) % 4)) << 4
    }

    /// A 16-bit tag needs a prefix, which comes first.
    private var nonFlitHeader: [UInt32] {
        var words: [UInt32] = [
            (isWrite ? 0x4000_0000 : 0) | (isLong ? 0x2000_0000 : 0) | (isRelaxed ? 1 << 13 : 0) | doubleWords
        ]
        var tag: UInt32 = 0
        var enables = byteEnables
        var low = UInt32(truncatingIfNeeded: address) & ~3
        if let hint {
            words[0] |= 1 << 16
            low |= UInt32(hint.ph & 3)
            if isWrite { tag = UInt32(hint.tag & 0xff) } else { enables = UInt32(hint.tag & 0xff) }
        }
        words.append(UInt32(requester) << 16 | tag << 8 | enables)
        if isLong { words.append(UInt32(truncatingIfNeeded: address >> 32)) }
        words.append(low)
        if let hint, hint.isExtended { words.insert(0x9000_0000 | UInt32(hint.tag >> 8) << 16, at: 0) }
        return words
    }

    /// The layout is known only for a write of whole double words above 4 GiB, without a tag or with an 8-bit tag.
    private var flitHeader: [UInt32]? {
        guard isWrite, isLong, address & 3 == 0, length & 3 == 0, hint?.isExtended != true else { return nil }
        var words: [UInt32] = [
            0x6000_0000 | (isRelaxed ? 1 << 11 : 0) | doubleWords, UInt32(requester) << 16,
            UInt32(truncatingIfNeeded: address >> 32),
            UInt32(truncatingIfNeeded: address),
        ]
        if let hint {
            words[0] |= 1 << 17
            words.append(UInt32(hint.tag & 0xff) << 8 | UInt32(hint.ph & 3) << 6 | 1 << 4)
        }
        return words
    }
}

/// Captures the requests on the links of a real kernel's machine (the lab's emulated devices).
public protocol TLPCapture: AnyObject, Sendable {
    /// The requests sent since ``clear()``. Throws where the capture cannot be reached.
    func log() throws(Failure) -> TLPLog

    /// Clears the log.
    func clear() throws(Failure)
}

/// The requests of a bench's functions, oldest first, as analyzers on its links would show them.
public struct TLPLog: Sendable {
    /// Most requests kept; later ones are only counted.
    public static let limit = 1 << 16
    /// The requests.
    public private(set) var requests: [TLP] = []
    /// Number of missing requests: sent after the log was full, or overwritten before they could be fetched.
    public private(set) var lost = 0
    /// Called with every request as it is sent, also when the log is full.
    public var sink: (@Sendable (TLP) -> Void)?

    /// An empty log.
    public init() {}

    /// Adds a request.
    public mutating func append(_ request: TLP) {
        sink?(request)
        if requests.count < TLPLog.limit { requests.append(request) } else { lost += 1 }
    }

    /// Counts requests that were lost.
    public mutating func lose(_ count: Int) { lost = lost.addingReportingOverflow(max(count, 0)).partialValue }

    /// Forgets all requests.
    public mutating func clear() {
        requests = []
        lost = 0
    }
}
