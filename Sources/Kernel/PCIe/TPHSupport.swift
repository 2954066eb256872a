/// Which hints a function takes or sends: Device Capabilities 2, bits 13:12 of a completer; the TPH requester capability and
/// control register of a requester. PCI Express Base Specification 6.0, 7.5.3.15 and 7.9.13.
public enum TPHSupport: String, Sendable, CaseIterable, Comparable {
    /// No hints.
    case none
    /// Hints with 8-bit tags.
    case tph
    /// Hints with 8-bit and 16-bit tags.
    case extended

    /// The value of the two bits: 0, 1 or 3.
    public var code: UInt8 {
        switch self {
        case .none: 0
        case .tph: 1
        case .extended: 3
        }
    }

    /// By the two bits; nil for 2, which is reserved, and above.
    public init?(code: UInt8) {
        guard let value = TPHSupport.allCases.first(where: { $0.code == code }) else { return nil }
        self = value
    }

    /// Ordered by what they support: none, standard, extended.
    public static func < (one: Self, other: Self) -> Bool { one.code < other.code }

    /// What the kernel lets a requester send: the lesser of its own type and of its root port's, which for a function without a
    /// port above it (an integrated endpoint) is not asked. drivers/pci/tph.c:pcie_enable_tph
    public static func enabled(of requester: TPHSupport, below rootPort: TPHSupport?) -> TPHSupport {
        min(requester, rootPort ?? .extended)
    }
}
