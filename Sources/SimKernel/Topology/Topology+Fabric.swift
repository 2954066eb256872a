public import Kernel

extension Topology {
    /// The access control services that redirect peer-to-peer requests upwards.
    public typealias ACS = ACSRedirection

    /// A root port, or the upstream or a downstream port of a switch: its parent decides which.
    public struct Port: Sendable {
        /// "0000:00:01.0"
        public var address: String
        /// Vendor and device id; nil for those of QEMU's ports.
        public var id: (vendor: UInt16, device: UInt16)?
        /// The port or host bridge above it; nil for the first host bridge.
        public var parent: String?
        /// Its access control services.
        public var acs: ACS
        /// The hints a root port takes.
        public var completer: TPHSupport

        /// A port.
        public init(
            address: String, parent: String? = nil, acs: ACS = [], completer: TPHSupport = .extended
        ) {
            self.address = address
            self.parent = parent
            self.acs = acs
            self.completer = completer
        }
    }

    /// A host bridge, with the root ports and devices below it.
    public struct HostBridge: Sendable {
        /// What the kernel's list of host bridges says of it.
        public typealias Listing = HostBridgeListing
        /// "pci0000:00"
        public var name: String
        /// What the kernel's list says of it.
        public var listing: Listing

        /// A host bridge.
        public init(name: String, listing: Listing = .any) {
            self.name = name
            self.listing = listing
        }
    }

    /// Processors and firmware.
    public struct Platform: Sendable {
        /// Whether CPU 0 is one whose host bridges all pass peer-to-peer requests (AMD, family 0x17 and later).
        public var isZen = false
        /// How many CPUs there are.
        public var cpus = 4
        /// The program may run on the first so many of them.
        public var allowedCPUs = 4
        /// The steering tag of each CPU's cache; empty where the firmware has no _DSM for it.
        public var cpuTags: [UInt16] = []
        /// The same for persistent memory; empty where the firmware has none.
        public var persistentTags: [UInt16] = []
        /// Four CPUs without tags.
        public init() {}
    }
}

/// The parts of "0000:01:00.0".
extension Topology.Device {
    /// Whether a host bridge is right above it.
    var isOnRootBus: Bool { parent?.hasPrefix("pci") == true }

    /// "0000:01"
    var bus: Substring { address.prefix { $0 != "." }.dropLast(3) }
    var segment: UInt16 { number(address.prefix { $0 != ":" }) }
    var busNumber: UInt8 { UInt8(truncatingIfNeeded: number(bus.suffix(2))) }
    /// Five bits and three.
    var slotAndFunction: UInt8 {
        let slot = number(address.dropFirst(bus.count + 1).prefix(2))
        return UInt8(truncatingIfNeeded: slot << 3 | number(address.suffix(1)))
    }

    private func number(_ digits: Substring) -> UInt16 { UInt16(digits, radix: 16) ?? 0 }
}
