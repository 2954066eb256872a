import CKernel

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
    private(set) var shown: [(offset: Int, owner: Owner)] = []
    /// Next pointers that a program sees changed, as the capability they pointed at is hidden.
    private(set) var changed: [Int: UInt8] = [:]

    init() {}

    init(_ bytes: [UInt8]) {
        owners = [Owner](repeating: .nothing, count: bytes.count)
        for offset in 0..<PCI_STD_HEADER_SIZEOF { owners[offset] = .header }
        standard(bytes)
        let isExpress = shown.contains { $0.owner == .capability(UInt8(PCI_CAP_ID_EXP)) }
        if bytes.count > PCI_CFG_SPACE_SIZE, isExpress { extended(bytes) }
    }

    private mutating func standard(_ bytes: [UInt8]) {
        guard Int(ConfigMap.word(bytes, PCI_STATUS)) & PCI_STATUS_CAP_LIST != 0 else { return }
        var pointer = PCI_CAPABILITY_LIST
        var offset = Int(bytes[pointer])
        var loops = 48
        while offset >= PCI_STD_HEADER_SIZEOF, offset < 0xfe, loops > 0 {
            loops -= 1
            let id = bytes[offset]
            let next = bytes[offset + PCI_CAP_LIST_NEXT]
            let length = ConfigMap.length(id, at: offset, bytes)
            guard isFree(offset, length, before: PCI_CFG_SPACE_SIZE) else { return }
            if length == 0 {
                changed[pointer] = next
            } else {
                claim(offset, length, .capability(id))
                pointer = offset + PCI_CAP_LIST_NEXT
            }
            offset = Int(next)
        }
    }

    private mutating func extended(_ bytes: [UInt8]) {
        var previous: Int?
        var offset = PCI_CFG_SPACE_SIZE
        var loops = (bytes.count - PCI_CFG_SPACE_SIZE) / 4
        guard ConfigMap.double(bytes, offset) != 0 else { return }
        while offset >= PCI_CFG_SPACE_SIZE, offset + 4 <= bytes.count, loops > 0 {
            loops -= 1
            let header = ConfigMap.double(bytes, offset)
            let next = Int(header >> 20 & 0xffc)
            let id = UInt16(truncatingIfNeeded: header)
            let length = ConfigMap.extendedLength(id, at: offset, bytes)
            guard isFree(offset, max(length, 4), before: bytes.count) else { return }
            if length == 0, let previous {
                changed[previous + 2] = (changed[previous + 2] ?? bytes[previous + 2]) & 0x0f | UInt8(next << 4 & 0xf0)
                changed[previous + 3] = UInt8(next >> 4)
            } else {
                if length == 0 {
                    // The first one anchors the chain, without its id and version.
                    for byte in 0..<2 { changed[offset + byte] = 0 }
                    changed[offset + 2] = bytes[offset + 2] & 0xf0
                }
                claim(offset, max(length, 4), .extended(id))
                previous = offset
            }
            offset = next
        }
    }

    /// Capabilities that overlap or leave the space, which the kernel complains of, end the chain here.
    private func isFree(_ offset: Int, _ length: Int, before end: Int) -> Bool {
        offset + length <= end && owners[offset..<(offset + length)].allSatisfy { $0 == .nothing }
    }

    private mutating func claim(_ offset: Int, _ length: Int, _ owner: Owner) {
        for byte in offset..<(offset + length) { owners[byte] = owner }
        shown.append((offset, owner))
    }

    /// vfio_find_cap_start: capabilities of one kind that touch count as one.
    func start(of offset: Int) -> Int {
        if owners[offset] == .nothing || owners[offset] == .header { return offset }
        let base = offset >= PCI_CFG_SPACE_SIZE ? PCI_CFG_SPACE_SIZE : PCI_STD_HEADER_SIZEOF
        var start = offset
        while start > base, owners[start - 1] == owners[offset] { start -= 1 }
        return start
    }

    /// vfio_pci_config_rw_single: an access is cut into aligned ones of 1, 2 or 4 bytes, none of which reaches over the
    /// end of a capability.
    func parts(_ offset: Int, _ count: Int) -> [(offset: Int, size: Int)] {
        var parts: [(Int, Int)] = []
        var next = offset
        while next < offset + count {
            var alike = 1
            while (next + alike) % 4 != 0, owners[next + alike] == owners[next] { alike += 1 }
            let most = min(alike, offset + count - next)
            let size = most >= 4 && next % 4 == 0 ? 4 : most >= 2 && next % 2 == 0 ? 2 : 1
            parts.append((next, size))
            next += size
        }
        return parts
    }

    // MARK: Lengths

    /// vfio_cap_len, pci_cap_length; 0 hides. AGP, PCI-X, HyperTransport and SATA, which the kernel shows, are older
    /// than what a bench describes, and hidden.
    private static func length(_ id: UInt8, at offset: Int, _ bytes: [UInt8]) -> Int {
        switch Int(id) {
        case PCI_CAP_ID_PM: return PCI_PM_SIZEOF
        case PCI_CAP_ID_VPD: return PCI_CAP_VPD_SIZEOF
        case PCI_CAP_ID_MSI:
            // vfio_msi_cap_len: 64-bit addresses take four bytes more, the masks of vectors ten
            let flags = Int(word(bytes, offset + PCI_MSI_FLAGS))
            return 10 + (flags & PCI_MSI_FLAGS_64BIT != 0 ? 4 : 0) + (flags & PCI_MSI_FLAGS_MASKBIT != 0 ? 10 : 0)
        case PCI_CAP_ID_VNDR: return Int(bytes[offset + PCI_CAP_FLAGS])
        case PCI_CAP_ID_EXP: return expressLength(Int(word(bytes, offset + PCI_EXP_FLAGS)))
        case PCI_CAP_ID_MSIX: return PCI_CAP_MSIX_SIZEOF
        case PCI_CAP_ID_AF: return PCI_CAP_AF_SIZEOF
        default: return 0
        }
    }

    /// The length that version and type give; root complex endpoints have no link.
    private static func expressLength(_ flags: Int) -> Int {
        let hasLink = flags & PCI_EXP_FLAGS_TYPE != PCI_EXP_TYPE_RC_END << 4
        if flags & PCI_EXP_FLAGS_VERS == 1 {
            return hasLink ? PCI_CAP_EXP_ENDPOINT_SIZEOF_V1 : PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1
        }
        return hasLink ? PCI_CAP_EXP_ENDPOINT_SIZEOF_V2 : PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V2
    }

    /// vfio_ext_cap_len, pci_ext_cap_length; 0 hides. Virtual channels, multicast and dynamic power allocation are
    /// hidden too.
    private static func extendedLength(_ id: UInt16, at offset: Int, _ bytes: [UInt8]) -> Int {
        switch Int(id) {
        // The following are of root ports only.
        case PCI_EXT_CAP_ID_ERR: return PCI_ERR_ROOT_COMMAND
        case PCI_EXT_CAP_ID_DSN: return PCI_EXT_CAP_DSN_SIZEOF
        case PCI_EXT_CAP_ID_PWR: return PCI_EXT_CAP_PWR_SIZEOF
        case PCI_EXT_CAP_ID_PRI: return PCI_EXT_CAP_PRI_SIZEOF
        case PCI_EXT_CAP_ID_ARI: return PCI_EXT_CAP_ARI_SIZEOF
        case PCI_EXT_CAP_ID_ATS: return PCI_EXT_CAP_ATS_SIZEOF
        case PCI_EXT_CAP_ID_LTR: return PCI_EXT_CAP_LTR_SIZEOF
        case PCI_EXT_CAP_ID_VNDR: return Int(double(bytes, offset + PCI_VNDR_HEADER) >> 20)
        case PCI_EXT_CAP_ID_DVSEC: return Int(double(bytes, offset + PCI_DVSEC_HEADER1) >> 20)
        // Without an egress control vector.
        case PCI_EXT_CAP_ID_ACS: return 8
        case PCI_EXT_CAP_ID_SRIOV: return PCI_EXT_CAP_SRIOV_SIZEOF
        case PCI_EXT_CAP_ID_REBAR:
            return 4 + (Int(double(bytes, offset + PCI_REBAR_CTRL)) & PCI_REBAR_CTRL_NBAR_MASK) >> 5 * 8
        case PCI_EXT_CAP_ID_TPH:
            let capability = Int(double(bytes, offset + PCI_TPH_CAP))
            guard capability & PCI_TPH_CAP_LOC_MASK == PCI_TPH_LOC_CAP else { return PCI_TPH_BASE_SIZEOF }
            return PCI_TPH_BASE_SIZEOF + 2 * ((capability & PCI_TPH_CAP_ST_MASK) >> 16 + 1)
        default: return 0
        }
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt16 {
        offset + 2 <= bytes.count ? UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8 : 0
    }

    private static func double(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        UInt32(word(bytes, offset)) | UInt32(word(bytes, offset + 2)) << 16
    }
}
