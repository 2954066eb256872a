public import Kernel

/// One revision of the series "vfio/dma-buf: add TPH support" that gave VFIO_DEVICE_FEATURE_DMA_BUF_TPH: what its
/// structure looks like and how its kernel behaves. The number of the feature is not part of it: no released kernel has
/// the feature, and 13, which every revision used, belongs to ZPCI_ERROR since 7.3.
///
/// The RFC, RFC v2 and v1 are not offered. They changed the released feature DMA_BUF instead: the RFC moved its fields,
/// RFC v2 and v1 used bits of its flags, which another posted series wants for mmap attributes, so on a kernel that
/// nobody identified the same bytes may come to mean something else.
///
/// Source: the patches on linux-rdma and kvm, April to July 2026.
public struct TPHABI: Hashable, Sendable {
    /// When the kernel looks at the device's TPH capabilities, and at which: it answers EOPNOTSUPP where they lack.
    public enum HardwareCheck: Hashable, Sendable {
        /// Never.
        case none
        /// The TPH requester capability, before anything else: PROBE too answers EOPNOTSUPP.
        case requesterFirst
        /// The completer bits of DevCap2, before anything else: PROBE too answers EOPNOTSUPP.
        case completerFirst
        /// The completer bits of DevCap2, after size, flags and hint: PROBE answers 0.
        case completerAfterValues
        /// The patch text could not be had.
        case unknown
    }

    /// "v2" to "v11", as `--tph-abi` takes it.
    public let name: String
    let structure: TPHStructure
    /// True where the kernel refuses a PH above 3 itself. v2 stores it; ``ProcessingHint`` cannot express one.
    public let kernelChecksHint: Bool
    /// True where flags == 0 drops what was set; false where the kernel has no way to drop it.
    public let zeroFlagsClear: Bool
    /// True where a second SET on the same dma-buf answers EBUSY.
    public let writeOnce: Bool
    /// What EOPNOTSUPP depends on.
    public let hardwareCheck: HardwareCheck
    /// True for v8: its patch text could not be had, all of it is inferred from v7 and v9.
    public let presumed: Bool

    /// The flag that says the 8-bit tag is given; 0 where the structure has no flags and always gives it.
    public var stFlag: UInt32 { structure.has(.flags) ? TPHStructure.stFlag : 0 }
    /// The flag that says the 16-bit tag is given; 0 where the structure has no flags.
    public var stExtFlag: UInt32 { structure.has(.flags) ? TPHStructure.stExtFlag : 0 }
    /// True where the structure has a field for the 16-bit tag beside the 8-bit one, which all have.
    public var carriesExtendedTag: Bool { structure.has(.stExt) }
    /// The structure behind the 8-byte header. Bytes that no field covers are reserved and zero.
    public var layout: Layout { structure.layout }
    /// Bytes of the structure, and the least the kernel takes: 8, 12 or 16.
    public var size: Int { structure.layout.size }

    /// Every revision with a feature of its own, oldest first.
    public static let all: [TPHABI] = [
        TPHABI("v2", .v2, kernelChecksHint: false),
        TPHABI("v3", .v3),
        TPHABI("v4", .v4, writeOnce: true),
        TPHABI("v5", .v4),
        TPHABI("v6", .v6, zeroFlagsClear: true, .requesterFirst),
        TPHABI("v7", .v6, zeroFlagsClear: true, .completerAfterValues),
        TPHABI("v8", .v6, zeroFlagsClear: true, .unknown, presumed: true),
        TPHABI("v9", .v6, zeroFlagsClear: true, .completerFirst),
        TPHABI("v10", .v6, zeroFlagsClear: true, .completerFirst),
        TPHABI("v11", .v6, zeroFlagsClear: true, .completerFirst),
    ]

    /// The revision with that name ("v9"); nil for any other text.
    public static func named(_ name: String) -> TPHABI? { all.first { $0.name == name } }

    private init(
        _ name: String, _ structure: TPHStructure, kernelChecksHint: Bool = true, zeroFlagsClear: Bool = false,
        writeOnce: Bool = false, _ hardwareCheck: HardwareCheck = .none, presumed: Bool = false
    ) {
        self.name = name
        self.structure = structure
        self.kernelChecksHint = kernelChecksHint
        self.zeroFlagsClear = zeroFlagsClear
        self.writeOnce = writeOnce
        self.hardwareCheck = hardwareCheck
        self.presumed = presumed
    }

    /// The `size` bytes that tell the kernel `hint` for the dma-buf `descriptor`; nil drops what was set before.
    /// Refuses what this revision cannot carry rather than leave it out.
    public func encode(descriptor: Int32, hint: TPHHint?) throws(TPHABIError) -> [UInt8] {
        if let hint { try check(hint) } else if !zeroFlagsClear { throw .cannotClear(self) }
        var bytes = [UInt8](repeating: 0, count: size)
        for (member, field) in structure.members {
            field.store(value(of: member, descriptor, hint), in: &bytes)
        }
        return bytes
    }

    private func check(_ hint: TPHHint) throws(TPHABIError) {
        if hint.stExt != nil, !carriesExtendedTag { throw .extendedTag(self) }
        if hint.st == nil, hint.stExt == nil { throw .noTag(self) }
    }

    private func value(of member: TPHStructure.Member, _ descriptor: Int32, _ hint: TPHHint?) -> UInt64 {
        switch member {
        case .descriptor: UInt64(bitPattern: Int64(descriptor))
        case .flags: UInt64((hint?.st == nil ? 0 : stFlag) | (hint?.stExt == nil ? 0 : stExtFlag))
        case .st: UInt64(hint?.st?.rawValue ?? 0)
        case .stExt: UInt64(hint?.stExt?.rawValue ?? 0)
        case .ph: UInt64(hint?.ph.rawValue ?? 0)
        }
    }

    /// This revision under the number it has on one kernel, for ``Decoder/features``.
    public func feature(number: UInt32) -> Feature { Feature(number, "DMA_BUF_TPH", layout, revision: name) }
}

/// A hint that a revision cannot carry, found before any call.
public enum TPHABIError: Error, Hashable, Sendable {
    /// Neither tag is given.
    case noTag(TPHABI)
    /// A 16-bit tag for a revision without a field for it.
    case extendedTag(TPHABI)
    /// Clearing, where the kernel has no way to do it.
    case cannotClear(TPHABI)

    /// One line that names the revision.
    public var message: String {
        switch self {
        case .noTag(let abi):
            abi.carriesExtendedTag
                ? "TPH ABI \(abi.name) needs st (8-bit tag) or st_ext (16-bit tag) or both, and the hint has neither"
                : "TPH ABI \(abi.name) needs st (8-bit tag), and the hint has none"
        case .extendedTag(let abi):
            "TPH ABI \(abi.name) has one tag and no namespaces: it carries st, not st_ext (a 16-bit tag)"
        case .cannotClear(let abi):
            "TPH ABI \(abi.name) cannot clear a hint; close the dma-buf and export it again"
        }
    }
}

extension Field {
    /// Stores the low bytes of `value` in this field, the counterpart of `value(in:)`.
    fileprivate func store(_ value: UInt64, in bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { bytes in
            switch size {
            case 1: bytes[offset] = UInt8(truncatingIfNeeded: value)
            case 2: bytes.storeBytes(of: UInt16(truncatingIfNeeded: value), toByteOffset: offset, as: UInt16.self)
            case 4: bytes.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
            default: bytes.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
            }
        }
    }
}
