/// The decoded header of a memory request: the fields of each double word, read from its bits.
public struct TLPHeader: Sendable {
    /// A field's name and value, "ST", "0x42".
    public typealias Field = (name: String, value: String)
    /// The fields of each double word.
    public private(set) var fields: [[Field]] = []
    /// The hint; nil where the header has none.
    public private(set) var hint: TLP.Hint?
    /// Whether it has the relaxed ordering attribute.
    public private(set) var isRelaxed = false
    /// "MWr(64)", "MRd(32)"
    public private(set) var name = ""

    /// Decodes a header with its prefix; nil where it is not a memory request, or its length is wrong.
    public init?(_ words: [UInt32], _ mode: TLP.Mode) {
        guard mode == .flit ? decodeFlit(words) : decodeNonFlit(words) else { return nil }
    }

    private func bits(_ word: UInt32, _ high: Int, _ low: Int) -> UInt32 {
        word >> UInt32(low) & (UInt32.max >> UInt32(31 - high + low))
    }

    private static func function(_ word: UInt32) -> String { TLPHeader.function(UInt16(word >> 16)) }

    /// "03:00.0"
    static func function(_ requester: UInt16) -> String {
        let digits = [requester >> 8, requester >> 3 & 31].map { hexDigits($0, width: 2) }
        return "\(digits[0]):\(digits[1]).\(requester & 7)"
    }

    private static func hint(_ ph: UInt32) -> Field {
        ("PH", "\(ph) (\(ProcessingHint(rawValue: UInt8(truncatingIfNeeded: ph))?.name ?? "?"))")
    }

    // MARK: Non-flit mode

    private mutating func decodeNonFlit(_ words: [UInt32]) -> Bool {
        var rest = words[...]
        var upper: UInt32?
        if let prefix = rest.first, prefix >> 24 == 0x90 {
            upper = bits(prefix, 23, 16)
            fields.append([("Prefix", "ExtTPH"), ("ST[15:8]", hex(bits(prefix, 23, 16)))])
            rest = rest.dropFirst()
        }
        guard let first = rest.first, bits(first, 28, 24) == 0, bits(first, 31, 29) < 4 else { return false }
        let isLong = bits(first, 29, 29) == 1
        let isWrite = bits(first, 30, 30) == 1
        guard rest.count == (isLong ? 4 : 3) else { return false }
        let header = Array(rest)
        let hasHint = bits(first, 16, 16) == 1
        isRelaxed = bits(first, 13, 13) == 1
        name = "\(isWrite ? "MWr" : "MRd")(\(isLong ? 64 : 32))"
        fields.append([
            ("Fmt", hex(bits(first, 31, 29))), ("Type", hex(bits(first, 28, 24))), ("TC", "\(bits(first, 22, 20))"),
            ("TH", hasHint ? "1" : "0"), ("TD", "\(bits(first, 15, 15))"), ("EP", "\(bits(first, 14, 14))"),
            ("Attr", "\(bits(first, 18, 18) << 2 | bits(first, 13, 12))"), ("AT", "\(bits(first, 11, 10))"),
            ("Length", "\(bits(first, 9, 0))"),
        ])
        let tag = isWrite ? bits(header[1], 15, 8) : bits(header[1], 7, 0)
        fields.append([("Requester", TLPHeader.function(header[1]))] + second(header[1], isWrite, hasHint))
        if isLong { fields.append([("Address[63:32]", hex(header[2]))]) }
        let last = header[header.count - 1]
        fields.append([("Address[31:2]", hex(last & ~3))] + (hasHint ? [TLPHeader.hint(last & 3)] : []))
        guard hasHint else { return upper == nil }
        hint = TLP.Hint(
            tag: UInt16((upper ?? 0) << 8 | tag), isExtended: upper != nil, ph: UInt8(truncatingIfNeeded: last & 3))
        return true
    }

    /// A hint replaces the tag in a write, and the byte enables in a read.
    private func second(_ word: UInt32, _ isWrite: Bool, _ hasHint: Bool) -> [Field] {
        let tag = hex(bits(word, 15, 8))
        let enables = [("LastBE", hex(bits(word, 7, 4))), ("FirstBE", hex(bits(word, 3, 0)))]
        guard hasHint else { return [("Tag", tag)] + enables }
        return isWrite ? [("ST", tag)] + enables : [("Tag", tag), ("ST", hex(bits(word, 7, 0)))]
    }

    // MARK: Flit mode

    private mutating func decodeFlit(_ words: [UInt32]) -> Bool {
        guard let first = words.first, first >> 24 == 0x60, words.count >= 4 else { return false }
        let orthogonal = bits(first, 20, 16)
        guard orthogonal & ~2 == 0, words.count == (orthogonal == 0 ? 4 : 5) else { return false }
        isRelaxed = bits(first, 11, 11) == 1
        name = "MWr(64)"
        fields = [
            [
                ("Type", "0x60"), ("TC", "\(bits(first, 23, 21))"), ("OHC", orthogonal == 0 ? "none" : "B"),
                ("TS", "\(bits(first, 15, 13))"), ("Attr", "\(bits(first, 12, 10))"),
                ("Length", "\(bits(first, 9, 0))"),
            ],
            [
                ("Requester", TLPHeader.function(words[1])), ("EP", "\(bits(words[1], 15, 15))"),
                ("Tag", hex(bits(words[1], 13, 0))),
            ],
            [("Address[63:32]", hex(words[2]))],
            [("Address[31:2]", hex(words[3] & ~3)), ("AT", "\(words[3] & 3)")],
        ]
        guard words.count == 5 else { return true }
        let tag = bits(words[4], 23, 8)
        let ph = bits(words[4], 7, 6)
        fields.append([
            ("ST", hex(tag)), TLPHeader.hint(ph), ("HV", "\(bits(words[4], 5, 4))"), ("AMA", "\(bits(words[4], 3, 1))"),
            ("AV", "\(words[4] & 1)"),
        ])
        hint = TLP.Hint(tag: UInt16(tag), ph: UInt8(truncatingIfNeeded: ph))
        return true
    }
}

extension TLP {
    /// The request in the form of analyzers: a summary line, then each double word of its header as a number, as bytes
    /// in wire order, and as fields.
    public var lines: [String] {
        var destination = "host memory \(hex(address))"
        if let target { destination = "\(target.function) BAR\(target.region)+\(hex(target.offset))" }
        let words = header
        let decoded = words.flatMap { TLPHeader($0, mode) }
        var summary = "\(seconds) \(TLPHeader.function(requester)) > \(destination) "
        summary += "\(decoded?.name ?? (isWrite ? "MWr" : "MRd")) \(length) bytes"
        if let hint { summary += " PH=\(hint.name) ST=\(hex(hint.tag))" }
        if isRelaxed { summary += " RO" }
        guard let words, let decoded else {
            return [summary, "    header not shown: how \(mode.rawValue) mode carries this is not known for certain"]
        }
        return [summary]
            + zip(words, decoded.fields).map { word, fields in
                let text = fields.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
                return "    \(hexDigits(word, width: 8)) \(hexDigits(word.byteSwapped, width: 8))  \(text)"
            }
    }

    private var seconds: String {
        "\(time / 1_000_000_000)." + zeroPadded(String(time % 1_000_000_000), to: 9)
    }
}
