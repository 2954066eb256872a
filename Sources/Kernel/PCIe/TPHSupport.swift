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

    /// Whether a kernel command line switches hints off, so that no driver can enable them. drivers/pci/pci.c:pci_setup
    public static func isSwitchedOff(by commandLine: String) -> Bool {
        commandLine.split(whereSeparator: \.isWhitespace).contains { word in
            word.hasPrefix("pci=") && word.dropFirst(4).split(separator: ",").contains("notph")
        }
    }

    /// What the kernel lets a requester send: the lesser of its own type and of its root port's; nothing without a root port; its
    /// own type where it is integrated into the root complex. nil where what decides could not be read.
    /// drivers/pci/tph.c:pcie_enable_tph, get_rp_completer_type
    public static func enabled(of requester: TPHSupport, by limit: PCIeFabric.HintLimit) -> TPHSupport? {
        switch limit {
        case .integrated: requester
        case .rootPort(_, let completer): min(requester, completer)
        case .noRootPort: TPHSupport.none
        case .unread: nil
        }
    }
}
