import CKernel

/// The access control services that redirect peer-to-peer requests upwards, as drivers/pci/p2pdma.c:pci_bridge_has_acs_redir looks
/// at them. Bits of the ACS control register: PCI Express Base Specification 6.0, 7.7.11.3; include/uapi/linux/pci_regs.h.
public struct ACSRedirection: OptionSet, Sendable, Hashable {
    /// Bits, as in the ACS control register.
    public let rawValue: UInt16
    /// Of these bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// P2P request redirect.
    public static let requestRedirect = ACSRedirection(rawValue: UInt16(PCI_ACS_RR))
    /// P2P completion redirect.
    public static let completionRedirect = ACSRedirection(rawValue: UInt16(PCI_ACS_CR))
    /// P2P egress control.
    public static let egressControl = ACSRedirection(rawValue: UInt16(PCI_ACS_EC))
    /// All of them.
    public static let all: ACSRedirection = [.requestRedirect, .completionRedirect, .egressControl]

    private static let words: [(bit: ACSRedirection, name: String, short: String)] = [
        (.requestRedirect, "request redirect", "rr"), (.completionRedirect, "completion redirect", "cr"),
        (.egressControl, "egress control", "ec"),
    ]

    /// "rr", "cr", "ec", as a bench file and a record write them.
    public var short: [String] { ACSRedirection.words.filter { contains($0.bit) }.map(\.short) }
    /// "request redirect", "completion redirect", "egress control".
    public var names: [String] { ACSRedirection.words.filter { contains($0.bit) }.map(\.name) }

    /// The one that a bench file writes so; nil for another word.
    public init?(short: String) {
        guard let word = ACSRedirection.words.first(where: { $0.short == short }) else { return nil }
        self = word.bit
    }
}
