/// What occupies each byte of a configuration space as vfio-pci sees it.
/// drivers/vfio/pci/vfio_pci_config.c: vfio_cap_init, vfio_ecap_init, pci_config_map
struct ConfigMap {
    enum Owner: Hashable {
        case header
        case capability(UInt8)
        case extended(UInt16)
        case nothing
    }
    private(set) var owners: [Owner] = []
    /// Capabilities that are shown, in the order of the chains: where they start and what they are.
    private(set) var shown: [(place: Int, owner: Owner)] = []
    /// Bytes of the chains that a program sees otherwise, as what they pointed at is hidden.
    private(set) var changed: [Int: UInt8] = [:]

    init() {}

    init(_ bytes: [UInt8]) {
        owners = [Owner](repeating: .nothing, count: bytes.count)
        for place in 0..<0x40 { owners[place] = .header }
        standard(bytes)
        if bytes.count > 0x100, shown.contains(where: { $0.owner == .capability(0x10) }) { extended(bytes) }
    }

    private mutating func standard(_ bytes: [UInt8]) {
        guard ConfigMap.word(bytes, 0x06) & 0x10 != 0 else { return }
        var pointer = 0x34
        var place = Int(bytes[pointer])
        var loops = 48
        while place >= 0x40, place < 0xfe, loops > 0 {
            loops -= 1
            let id = bytes[place]
            let next = bytes[place + 1]
            let length = ConfigMap.length(id, at: place, bytes)
            guard isFree(place, length, before: 0x100) else { return }
            if length == 0 {
                changed[pointer] = next
            } else {
                claim(place, length, .capability(id))
                pointer = place + 1
            }
            place = Int(next)
        }
    }

    private mutating func extended(_ bytes: [UInt8]) {
        var previous: Int?
        var place = 0x100
        var loops = (bytes.count - 0x100) / 4
        guard ConfigMap.double(bytes, place) != 0 else { return }
        while place >= 0x100, place + 4 <= bytes.count, loops > 0 {
            loops -= 1
            let header = ConfigMap.double(bytes, place)
            let next = Int(header >> 20 & 0xffc)
            let id = UInt16(truncatingIfNeeded: header)
            let length = ConfigMap.extendedLength(id, at: place, bytes)
            guard isFree(place, max(length, 4), before: bytes.count) else { return }
            if length == 0, let previous {
                changed[previous + 2] = (changed[previous + 2] ?? bytes[previous + 2]) & 0x0f | UInt8(next << 4 & 0xf0)
                changed[previous + 3] = UInt8(next >> 4)
            } else {
                if length == 0 {
                    // The first one anchors the chain, without its id and version.
                    for byte in 0..<2 { changed[place + byte] = 0 }
                    changed[place + 2] = bytes[place + 2] & 0xf0
                }
                claim(place, max(length, 4), .extended(id))
                previous = place
            }
            place = next
        }
    }

    /// Capabilities that overlap or leave the space, which the kernel complains of, end the chain here.
    private func isFree(_ place: Int, _ length: Int, before end: Int) -> Bool {
        place + length <= end && owners[place..<(place + length)].allSatisfy { $0 == .nothing }
    }

    private mutating func claim(_ place: Int, _ length: Int, _ owner: Owner) {
        for byte in place..<(place + length) { owners[byte] = owner }
        shown.append((place, owner))
    }

    /// vfio_find_cap_start: capabilities of one kind that touch count as one.
    func start(of place: Int) -> Int {
        if owners[place] == .nothing || owners[place] == .header { return place }
        let base = place >= 0x100 ? 0x100 : 0x40
        var start = place
        while start > base, owners[start - 1] == owners[place] { start -= 1 }
        return start
    }

    /// vfio_pci_config_rw_single: an access is cut into aligned ones of 1, 2 or 4 bytes, none of which reaches over the
    /// end of a capability.
    func parts(_ offset: Int, _ count: Int) -> [(place: Int, size: Int)] {
        var parts: [(Int, Int)] = []
        var place = offset
        while place < offset + count {
            var alike = 1
            while (place + alike) % 4 != 0, owners[place + alike] == owners[place] { alike += 1 }
            let most = min(alike, offset + count - place)
            let size = most >= 4 && place % 4 == 0 ? 4 : most >= 2 && place % 2 == 0 ? 2 : 1
            parts.append((place, size))
            place += size
        }
        return parts
    }

    // MARK: Lengths

    /// vfio_cap_len, pci_cap_length; 0 hides. AGP, PCI-X, HyperTransport and SATA, which the kernel shows, are older
    /// than what a bench describes, and hidden.
    private static func length(_ id: UInt8, at place: Int, _ bytes: [UInt8]) -> Int {
        switch id {
        case 0x01, 0x03: return 8
        case 0x05:
            let flags = word(bytes, place + 2)
            return 10 + (flags & 0x80 != 0 ? 4 : 0) + (flags & 0x100 != 0 ? 10 : 0)
        case 0x09: return Int(bytes[place + 2])
        case 0x10:
            let flags = word(bytes, place + 2)
            let isRootEndpoint = flags >> 4 & 15 == 9
            return flags & 15 == 1 ? (isRootEndpoint ? 0x0c : 0x14) : (isRootEndpoint ? 0x2c : 0x34)
        case 0x11: return 12
        case 0x13: return 6
        default: return 0
        }
    }

    /// vfio_ext_cap_len, pci_ext_cap_length; 0 hides. Virtual channels, multicast and dynamic power allocation are
    /// hidden too.
    private static func extendedLength(_ id: UInt16, at place: Int, _ bytes: [UInt8]) -> Int {
        switch id {
        case 0x01: return 0x2c
        case 0x03: return 12
        case 0x04, 0x13: return 16
        case 0x0e, 0x0f, 0x18: return 8
        case 0x0b: return Int(double(bytes, place + 4) >> 20)
        case 0x0d: return 8
        case 0x10: return 0x40
        case 0x15: return 4 + Int(double(bytes, place + 8) >> 5 & 7) * 8
        case 0x17:
            let hints = double(bytes, place + 4)
            return 12 + (hints & 0x600 == 0x200 ? Int(hints >> 16 & 0x7ff) * 2 + 2 : 0)
        case 0x23: return Int(double(bytes, place + 4) >> 20)
        default: return 0
        }
    }

    private static func word(_ bytes: [UInt8], _ place: Int) -> UInt16 {
        place + 2 <= bytes.count ? UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8 : 0
    }

    private static func double(_ bytes: [UInt8], _ place: Int) -> UInt32 {
        UInt32(word(bytes, place)) | UInt32(word(bytes, place + 2)) << 16
    }
}
