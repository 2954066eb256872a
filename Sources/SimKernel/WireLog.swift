/// A memory request on its way to a peer's BAR, and its header. tph-uapi-history.md section 7, kernel-behaviour.md 8.2
public struct WireRequest: Sendable, Equatable {
    /// What a request carries of TPH.
    public struct Hint: Sendable, Equatable {
        /// The steering tag.
        public var tag: UInt16
        /// Whether it is one of the 16-bit namespace.
        public var isExtended: Bool
        /// The processing hint, 0 to 3.
        public var ph: UInt8

        /// A hint.
        public init(tag: UInt16, isExtended: Bool = false, ph: UInt8) {
            self.tag = tag
            self.isExtended = isExtended
            self.ph = ph
        }
    }

    /// A write, or else a read.
    public var isWrite: Bool
    /// Bus in 15:8, device in 7:3, function in 2:0.
    public var requester: UInt16
    /// Bus address of the first byte.
    public var address: UInt64
    /// Bytes, at least one.
    public var length: Int
    /// nil without a hint.
    public var hint: Hint?

    /// A request.
    public init(isWrite: Bool, requester: UInt16, address: UInt64, length: Int, hint: Hint? = nil) {
        self.isWrite = isWrite
        self.requester = requester
        self.address = address
        self.length = length
        self.hint = hint
    }

    private var isLong: Bool { address > 0xffff_ffff }

    /// Double words from the one with the first byte to the one with the last, as the length field holds them: 1024 is 0.
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

    /// The header in non-flit mode, a prefix before it where the tag has 16 bits.
    public var header: [UInt32] {
        var words: [UInt32] = [(isWrite ? 0x4000_0000 : 0) | (isLong ? 0x2000_0000 : 0) | doubleWords]
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

    /// The header in flit mode, of a write of whole double words above 4 GiB, without or with an 8-bit tag; nil for what
    /// our reference does not tell.
    public var flitHeader: [UInt32]? {
        guard isWrite, isLong, address & 3 == 0, length & 3 == 0, hint?.isExtended != true else { return nil }
        var words: [UInt32] = [
            0x6000_0000 | doubleWords, UInt32(requester) << 16, UInt32(truncatingIfNeeded: address >> 32),
            UInt32(truncatingIfNeeded: address),
        ]
        if let hint {
            words[0] |= 1 << 17
            words.append(UInt32(hint.tag & 0xff) << 8 | UInt32(hint.ph & 3) << 6 | 1 << 4)
        }
        return words
    }
}

/// What an analyzer in front of the BARs would show: requests of peers, oldest first.
public struct WireLog: Sendable {
    /// No more are kept than these.
    public static let limit = 1 << 16
    /// The requests.
    public private(set) var requests: [WireRequest] = []
    /// How many came after the log was full.
    public private(set) var lost = 0

    /// DevCtl's power-on values: payload, read request.
    private static let payload = 128
    private static let readRequest = 512

    /// Records an access as the requests it makes: none crosses a multiple of the largest size.
    mutating func record(_ access: WireRequest) {
        let limit = UInt64(access.isWrite ? WireLog.payload : WireLog.readRequest)
        var part = access
        var rest = access.length
        while rest > 0 {
            part.length = min(rest, Int(limit - part.address % limit))
            if requests.count < WireLog.limit { requests.append(part) } else { lost += 1 }
            rest -= part.length
            part.address &+= UInt64(part.length)
        }
    }
}

extension PCIFunction {
    /// Bus, device and function of its address; 0 for one that is not written as usual.
    var requesterID: UInt16 {
        let parts = device.address.split(whereSeparator: { ":.".contains($0) }).suffix(3).map { UInt16($0, radix: 16) }
        guard parts.count == 3, let bus = parts[0], let slot = parts[1], let function = parts[2] else { return 0 }
        return (bus & 0xff) << 8 | (slot & 31) << 3 | function & 7
    }
}

extension SimKernel {
    /// A peer's access to a BAR, whatever comes of it.
    func record(
        _ place: BARPlace, _ length: Int, isWrite: Bool, by requester: PCIFunction, _ hint: WireRequest.Hint? = nil
    ) {
        guard let base = place.device.function.addresses[place.index] else { return }
        wire.record(
            WireRequest(
                isWrite: isWrite, requester: requester.requesterID, address: base &+ place.offset, length: length,
                hint: hint))
    }
}
