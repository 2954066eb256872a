/// The configuration space of a PCI function as sysfs gives it, and what its capabilities say of peer-to-peer access and hints.
/// Sources: PCI Express Base Specification 6.0, 7.5 and 7.9; include/uapi/linux/pci_regs.h.
struct PCICapabilities {
    /// 64 bytes for one who may not read more, 256 or 4096.
    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        hideSerialNumber()
    }

    /// Whether capabilities can be seen at all: they begin behind what everybody may read.
    var isWhole: Bool { bytes.count > 0x40 }

    private func word(_ place: Int) -> UInt16 {
        place >= 0 && place + 2 <= bytes.count ? UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8 : 0
    }

    private func double(_ place: Int) -> UInt32 { UInt32(word(place)) | UInt32(word(place + 2)) << 16 }

    /// Where a capability begins; nil where there is none.
    private func place(of id: UInt8) -> Int? {
        guard isWhole, word(0x06) & 0x10 != 0 else { return nil }
        var place = Int(bytes[0x34] & 0xfc)
        for _ in 0..<48 where place >= 0x40 && place + 2 <= bytes.count {
            if bytes[place] == id { return place }
            place = Int(bytes[place + 1] & 0xfc)
        }
        return nil
    }

    private func place(ofExtended id: UInt16) -> Int? {
        var place = 0x100
        for _ in 0..<960 where place >= 0x100 && place + 4 <= bytes.count {
            let header = double(place)
            guard header != 0 else { return nil }
            if UInt16(truncatingIfNeeded: header) == id { return place }
            place = Int(header >> 20 & 0xffc)
        }
        return nil
    }

    /// A serial number is often made of a MAC address, and decides nothing.
    private mutating func hideSerialNumber() {
        guard let place = place(ofExtended: 0x03), place + 12 <= bytes.count else { return }
        bytes.replaceSubrange((place + 4)..<(place + 12), with: repeatElement(0, count: 8))
    }

    /// What requests with hints it takes: Device Capabilities 2, bits 13:12.
    var completer: String {
        guard let express = place(of: 0x10), word(express + 2) & 0x0f >= 2 else { return "none" }
        switch double(express + 0x24) >> 12 & 3 {
        case 0: return "none"
        case 1: return "tph"
        default: return "extended"
        }
    }

    /// Whether it is the root port of a PCI Express hierarchy: port type 4.
    var isRootPort: Bool { place(of: 0x10).map { word($0 + 2) >> 4 & 0x0f == 4 } ?? false }

    /// Its TPH requester capability: what it can ask for, and the entries of its steering tag table, 0 without one.
    var requester: (support: String, entries: Int)? {
        guard let place = place(ofExtended: 0x17) else { return nil }
        let capability = double(place + 4)
        let hasTable = capability >> 9 & 3 != 0
        return (capability & 0x100 != 0 ? "extended" : "tph", hasTable ? Int(capability >> 16 & 0x7ff) + 1 : 0)
    }

    /// An entry of its steering tag table; nil where the table is not in its configuration space, or has no such entry.
    func steeringTag(at index: Int) -> UInt16? {
        guard let place = place(ofExtended: 0x17), double(place + 4) >> 9 & 3 == 1, index < requester?.entries ?? 0,
            place + 14 + 2 * index <= bytes.count
        else { return nil }
        return word(place + 12 + 2 * index)
    }

    /// What its access control services redirect now, as drivers/pci/p2pdma.c:pci_bridge_has_acs_redir looks at them.
    var redirects: [String] {
        guard let place = place(ofExtended: 0x0d) else { return [] }
        let control = word(place + 6)
        return [("rr", 0x04), ("cr", 0x08), ("ec", 0x20)].filter { control & $0.1 != 0 }.map(\.0)
    }

    /// Rows of 16 bytes that are not all zero, to be put back where they were.
    var rows: [(at: Int, bytes: ArraySlice<UInt8>)] {
        // Without capabilities a pointer to them would lead nowhere.
        let end = isWhole ? bytes.count : min(bytes.count, 0x34)
        return stride(from: 0, to: end, by: 16).compactMap { at in
            let row = bytes[at..<min(at + 16, end)]
            return row.contains { $0 != 0 } ? (at, row) : nil
        }
    }
}
