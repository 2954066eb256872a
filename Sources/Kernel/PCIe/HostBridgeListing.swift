/// Which host bridges Linux trusts to pass peer-to-peer requests on: drivers/pci/p2pdma.c, pci_p2pdma_whitelist, as of 7.3.
public enum HostBridgeListing: String, Sendable, CaseIterable {
    /// Not in the list.
    case none
    /// Passes requests between functions below itself.
    case same
    /// Passes requests to functions below other listed bridges too.
    case any

    private static let intelBelowOne: Set<UInt16> = [0x3c00, 0x3c01, 0x2f00, 0x2f01]
    private static let intel: Set<UInt16> = [
        0x2020, 0x2030, 0x2031, 0x2032, 0x2033, 0x09a2, 0x0b25, 0x0cfe, 0x11fb, 0x1212, 0x1216,
        0x4940, 0x4942, 0x4944, 0x4946, 0x4948,
    ]
    private static let nvidia: Set<UInt16> = [0x2f95, 0x2f96, 0x2f97, 0x2f98]

    /// What the list says of a host bridge with these ids.
    public init(vendor: UInt16, device: UInt16) {
        switch vendor {
        case 0x8086 where HostBridgeListing.intelBelowOne.contains(device): self = .same
        case 0x8086 where HostBridgeListing.intel.contains(device): self = .any
        case 0x1ae0: self = .any
        case 0x10de where HostBridgeListing.nvidia.contains(device): self = .any
        default: self = .none
        }
    }

    /// The ids of a host bridge of which the list says this, for a model of one: of Intel's Sapphire Rapids (Xeon) and Sandy Bridge
    /// (Xeon E5), and QEMU's Q35.
    public var example: (vendor: UInt16, device: UInt16) {
        switch self {
        case .any: (0x8086, 0x09a2)
        case .same: (0x8086, 0x3c00)
        case .none: (0x8086, 0x29c0)
        }
    }

    /// Whether the first processor's host bridges are all trusted, by /proc/cpuinfo: AMD, family 0x17 and later
    /// (cpu_supports_p2pdma).
    public static func trusts(processors text: String) -> Bool {
        func value(_ name: String) -> Substring? {
            text.split(separator: "\n").first { $0.hasPrefix(name) }?.split(separator: ":").last?.drop { $0 == " " }
        }
        return value("vendor_id") == "AuthenticAMD" && (value("cpu family").flatMap { Int($0) } ?? 0) >= 0x17
    }
}
