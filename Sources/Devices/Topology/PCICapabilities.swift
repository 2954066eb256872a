import CKernel
import Kernel

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
    var isWhole: Bool { bytes.count > PCI_STD_HEADER_SIZEOF }

    private func word(_ offset: Int) -> UInt16 {
        offset >= 0 && offset + 2 <= bytes.count ? UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 : 0
    }

    private func double(_ offset: Int) -> UInt32 { UInt32(word(offset)) | UInt32(word(offset + 2)) << 16 }

    /// Where a capability begins; nil where there is none.
    private func offset(of id: Int) -> Int? {
        guard isWhole, Int(word(PCI_STATUS)) & PCI_STATUS_CAP_LIST != 0 else { return nil }
        var offset = Int(bytes[PCI_CAPABILITY_LIST] & 0xfc)
        for _ in 0..<48 where offset >= PCI_STD_HEADER_SIZEOF && offset + 2 <= bytes.count {
            if Int(bytes[offset]) == id { return offset }
            offset = Int(bytes[offset + PCI_CAP_LIST_NEXT] & 0xfc)
        }
        return nil
    }

    private func offset(ofExtended id: Int) -> Int? {
        var offset = PCI_CFG_SPACE_SIZE
        for _ in 0..<960 where offset >= PCI_CFG_SPACE_SIZE && offset + 4 <= bytes.count {
            let header = double(offset)
            guard header != 0 else { return nil }
            if Int(header & 0xffff) == id { return offset }
            offset = Int(header >> 20 & 0xffc)
        }
        return nil
    }

    /// A serial number is often made of a MAC address, and decides nothing.
    private mutating func hideSerialNumber() {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_DSN), offset + PCI_EXT_CAP_DSN_SIZEOF <= bytes.count else {
            return
        }
        bytes.replaceSubrange(
            (offset + 4)..<(offset + PCI_EXT_CAP_DSN_SIZEOF), with: repeatElement(0, count: PCI_EXT_CAP_DSN_SIZEOF - 4))
    }

    /// What requests with hints it takes: Device Capabilities 2, bits 13:12.
    var completer: String {
        guard let express = offset(of: PCI_CAP_ID_EXP),
            Int(word(express + PCI_EXP_FLAGS)) & PCI_EXP_FLAGS_VERS >= 2
        else { return "none" }
        switch (Int(double(express + PCI_EXP_DEVCAP2)) & PCI_EXP_DEVCAP2_TPH_COMP_MASK) >> 12 {
        case 0: return "none"
        case 1: return "tph"
        default: return "extended"
        }
    }

    /// Whether it is the root port of a PCI Express hierarchy.
    var isRootPort: Bool {
        offset(of: PCI_CAP_ID_EXP).map {
            Int(word($0 + PCI_EXP_FLAGS)) & PCI_EXP_FLAGS_TYPE == PCI_EXP_TYPE_ROOT_PORT << 4
        } ?? false
    }

    /// Its TPH requester capability: what it can ask for, and the entries of its steering tag table, 0 without one.
    var requester: (support: String, entries: Int)? {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_TPH) else { return nil }
        let capability = Int(double(offset + PCI_TPH_CAP))
        let hasTable = capability & PCI_TPH_CAP_LOC_MASK != 0
        return (
            capability & PCI_TPH_CAP_EXT_TPH != 0 ? "extended" : "tph",
            hasTable ? (capability & PCI_TPH_CAP_ST_MASK) >> 16 + 1 : 0
        )
    }

    /// An entry of its steering tag table; nil where the table is not in its configuration space, or has no such entry.
    func steeringTag(at index: Int) -> UInt16? {
        guard let capability = offset(ofExtended: PCI_EXT_CAP_ID_TPH),
            Int(double(capability + PCI_TPH_CAP)) & PCI_TPH_CAP_LOC_MASK == PCI_TPH_LOC_CAP,
            index < requester?.entries ?? 0
        else { return nil }
        let entry = capability + PCI_TPH_BASE_SIZEOF + 2 * index
        return entry + 2 <= bytes.count ? word(entry) : nil
    }

    /// What its access control services redirect now, as drivers/pci/p2pdma.c:pci_bridge_has_acs_redir looks at them.
    var redirects: [String] {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_ACS) else { return [] }
        let control = Int(word(offset + PCI_ACS_CTRL))
        return [("rr", PCI_ACS_RR), ("cr", PCI_ACS_CR), ("ec", PCI_ACS_EC)].filter { control & $0.1 != 0 }.map(\.0)
    }

    /// Rows of 16 bytes that are not all zero, to be put back where they were.
    var rows: [(at: Int, bytes: ArraySlice<UInt8>)] {
        // Without capabilities a pointer to them would lead nowhere.
        let end = isWhole ? bytes.count : min(bytes.count, PCI_CAPABILITY_LIST)
        return stride(from: 0, to: end, by: 16).compactMap { at in
            let row = bytes[at..<min(at + 16, end)]
            return row.contains { $0 != 0 } ? (at, row) : nil
        }
    }
}
