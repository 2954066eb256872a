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

    /// Device Capabilities 2; nil without the second version of the Express capability.
    private var deviceCapabilities2: Int? {
        guard let express = offset(of: PCI_CAP_ID_EXP),
            Int(word(express + PCI_EXP_FLAGS)) & PCI_EXP_FLAGS_VERS >= 2
        else { return nil }
        return Int(double(express + PCI_EXP_DEVCAP2))
    }

    /// What it says of requests with hints: Device Capabilities 2, bits 13:12.
    var completerCode: UInt8 { UInt8(((deviceCapabilities2 ?? 0) & PCI_EXP_DEVCAP2_TPH_COMP_MASK) >> 12) }

    /// What requests with hints it takes. The reserved value 2 promises nothing.
    var completer: TPHSupport { TPHSupport(code: completerCode) ?? .none }

    /// Whether it passes End-End TLP prefixes, which 16-bit tags travel in.
    var passesPrefixes: Bool { (deviceCapabilities2 ?? 0) & PCI_EXP_DEVCAP2_EE_PREFIX != 0 }

    /// The type of a PCI Express function: PCI_EXP_TYPE_ROOT_PORT and so on; nil for a conventional one.
    var expressType: Int? {
        offset(of: PCI_CAP_ID_EXP).map { (Int(word($0 + PCI_EXP_FLAGS)) & PCI_EXP_FLAGS_TYPE) >> 4 }
    }

    /// What it is for the rules that ask.
    var role: PCIeFabric.Role {
        switch expressType {
        case PCI_EXP_TYPE_ROOT_PORT: .rootPort
        case PCI_EXP_TYPE_RC_END: .integratedEndpoint
        default: .other
        }
    }

    /// Its TPH requester capability: what it can ask for, and the entries of its steering tag table, 0 without one.
    var requester: (support: TPHSupport, entries: Int)? {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_TPH) else { return nil }
        let capability = Int(double(offset + PCI_TPH_CAP))
        let hasTable = capability & PCI_TPH_CAP_LOC_MASK != 0
        return (
            capability & PCI_TPH_CAP_EXT_TPH != 0 ? .extended : .tph,
            hasTable ? (capability & PCI_TPH_CAP_ST_MASK) >> 16 + 1 : 0
        )
    }

    /// Where its steering tag table is, by the capability.
    var isTableInMSIX: Bool {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_TPH) else { return false }
        return Int(double(offset + PCI_TPH_CAP)) & PCI_TPH_CAP_LOC_MASK == PCI_TPH_LOC_MSIX
    }

    /// What its driver lets it send now, by the control register; none without the capability.
    var enabledHints: TPHSupport {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_TPH) else { return .none }
        switch Int(double(offset + PCI_TPH_CTRL)) & PCI_TPH_CTRL_REQ_EN_MASK {
        case PCI_TPH_REQ_TPH_ONLY << 8: return .tph
        case PCI_TPH_REQ_EXT_TPH << 8: return .extended
        default: return .none
        }
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

    /// What its access control services redirect now.
    var redirects: ACSRedirection {
        guard let offset = offset(ofExtended: PCI_EXT_CAP_ID_ACS) else { return [] }
        return ACSRedirection(rawValue: word(offset + PCI_ACS_CTRL)).intersection(.all)
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
