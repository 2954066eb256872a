import CKernel
import Glibc
import Kernel

/// Root ports, ports of switches and host bridges in sysfs. drivers/pci/pci-sysfs.c
extension SimKernel {
    /// The ports that have an address there. A bench of a test may call them anything.
    var portAddresses: [String] { topology.ports.map(\.address).filter(SimKernel.isAddress) }

    private static func isAddress(_ text: String) -> Bool {
        text.utf8.count >= 12 && text.split(separator: ":").count == 3 && text.contains(".")
            && text.unicodeScalars.allSatisfy { $0 == ":" || $0 == "." || $0.properties.isASCIIHexDigit }
    }

    /// Where sysfs has a function or a port, from /sys: below its host bridge and the ports above it. Of what names no port, the
    /// bench does not say which is above it.
    func place(of address: String) -> String {
        let fabric = routes.fabric
        // A virtual function is beside its physical one.
        let owner = functions[address].flatMap { $0.device.parent == nil ? $0.device.physicalFunction : nil } ?? address
        let ports = fabric.path(owner).dropFirst().reversed().filter(SimKernel.isAddress)
        return (["devices", fabric.hostBridge(owner)] + ports + [address]).joined(separator: "/")
    }

    /// From a folder in /sys to /sys itself.
    func up(from place: String) -> String { String(repeating: "../", count: place.split(separator: "/").count) }

    /// A bench says nothing of their IOMMU groups, and they have none here.
    func addPorts() {
        for port in topology.ports where SimKernel.isAddress(port.address) {
            let config = PortConfig(port, kind(of: port.address))
            let directory = add(config.identity, at: port.address, size: PCI_CFG_SPACE_EXP_SIZE) { [unowned self] in
                config.bytes(redirecting: routes.fabric.nodes[port.address]?.redirects ?? [])
            }
            directory.entries["driver"] = .link("\(up(from: place(of: port.address)))bus/pci/drivers/pcieport")
            root.directory("sys/bus/pci/drivers/pcieport").entries[port.address] = .link(
                "../../../../\(place(of: port.address))")
        }
        for (name, listing) in routes.fabric.bridges where name.hasPrefix("pci") {
            // The bridge's own function, where the bench has not put another there.
            let address = "\(name.dropFirst(3)):00.0"
            guard SimKernel.isAddress(address), functions[address] == nil, !portAddresses.contains(address) else {
                continue
            }
            let (vendor, device) = listing.example
            let identity = PortConfig.Identity(vendor: vendor, device: device, classCode: 0x060000)
            _ = add(identity, at: address, size: PCI_CFG_SPACE_SIZE, below: name) { identity.header }
        }
    }

    /// What a port is, by what is above it.
    private func kind(of address: String) -> PortConfig.Kind {
        let above = routes.fabric.path(address).count - 1
        return above == 0 ? .root : above % 2 == 1 ? .upstream : .downstream
    }

    private func add(
        _ identity: PortConfig.Identity, at address: String, size: Int, below bridge: String? = nil,
        _ bytes: @escaping () -> [UInt8]
    ) -> Directory {
        let place = bridge.map { "devices/\($0)/\(address)" } ?? place(of: address)
        let directory = root.directory("sys/\(place)")
        directory.isComplete = true
        directory.unmodelled = ["link", "msi_irqs", "power", "remove", "rescan", "reset", "uevent", "modalias"]
        func text(_ name: String, _ text: String) {
            directory.entries[name] = .attribute(show: { text + "\n" }, store: nil)
        }
        text("vendor", "0x" + hexDigits(identity.vendor, width: 4))
        text("device", "0x" + hexDigits(identity.device, width: 4))
        text("class", "0x" + hexDigits(identity.classCode, width: 6))
        text("numa_node", "-1")
        directory.entries["config"] = .device { [unowned self] (flags) throws(Errno) in
            guard flags & O_ACCMODE == O_RDONLY else { throw notModelled("write to the config of \(address)", EACCES) }
            let shown = topology.isPrivileged ? bytes() : Array(bytes()[..<PCI_STD_HEADER_SIZEOF])
            return TextFile(self, "/sys/bus/pci/devices/\(address)/config", flags: flags, shown)
        }
        directory.entries["subsystem"] = .link("\(up(from: place))bus/pci")
        root.directory("sys/bus/pci/devices").entries[address] = .link("../../../\(place)")
        return directory
    }
}

/// A port's configuration space: PCI Express Base Specification 6.0, 7.5 and 7.7.11; include/uapi/linux/pci_regs.h.
struct PortConfig {
    enum Kind {
        case root, upstream, downstream
    }

    struct Identity {
        let vendor: UInt16
        let device: UInt16
        let classCode: UInt32

        /// The first 256 bytes of a function without capabilities.
        var header: [UInt8] {
            var bytes = [UInt8](repeating: 0, count: PCI_CFG_SPACE_SIZE)
            for (offset, value) in [(PCI_VENDOR_ID, vendor), (PCI_DEVICE_ID, device)] {
                bytes[offset] = UInt8(truncatingIfNeeded: value)
                bytes[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
            }
            for index in 0..<3 { bytes[PCI_CLASS_PROG + index] = UInt8(truncatingIfNeeded: classCode >> (8 * index)) }
            return bytes
        }
    }

    let identity: Identity
    private let kind: Kind
    private let completer: TPHSupport

    init(_ port: Topology.Port, _ kind: Kind) {
        self.kind = kind
        completer = port.completer
        // QEMU's: pcie-root-port, x3130-upstream, xio3130-downstream.
        let qemu: (UInt16, UInt16) =
            switch kind {
            case .root: (0x1b36, 0x000c)
            case .upstream: (0x104c, 0x8232)
            case .downstream: (0x104c, 0x8233)
            }
        let (vendor, device) = port.id ?? qemu
        identity = Identity(vendor: vendor, device: device, classCode: 0x060400)
    }

    func bytes(redirecting acs: ACSRedirection) -> [UInt8] {
        var bytes = identity.header + [UInt8](repeating: 0, count: PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE)
        let express = PCI_STD_HEADER_SIZEOF
        bytes[PCI_HEADER_TYPE] = UInt8(PCI_HEADER_TYPE_BRIDGE)
        bytes[PCI_STATUS] = UInt8(PCI_STATUS_CAP_LIST)
        bytes[PCI_CAPABILITY_LIST] = UInt8(express)
        bytes[express] = UInt8(PCI_CAP_ID_EXP)
        let type =
            switch kind {
            case .root: PCI_EXP_TYPE_ROOT_PORT
            case .upstream: PCI_EXP_TYPE_UPSTREAM
            case .downstream: PCI_EXP_TYPE_DOWNSTREAM
            }
        // Version 2 of the capability.
        bytes[express + PCI_EXP_FLAGS] = UInt8(type << 4 | 2)
        // Only a root port is a completer of requests to memory. End-End TLP prefixes, of which 16-bit tags make use, pass.
        let completes: UInt32 = kind == .root ? (completer == .none ? 0 : completer == .tph ? 1 : 3) : 0
        let capabilities = completes << 12 | UInt32(PCI_EXP_DEVCAP2_EE_PREFIX)
        for index in 0..<4 {
            bytes[express + PCI_EXP_DEVCAP2 + index] = UInt8(truncatingIfNeeded: capabilities >> (8 * UInt32(index)))
        }
        bytes.replaceSubrange(PCI_CFG_SPACE_SIZE..<(PCI_CFG_SPACE_SIZE + 8), with: PortConfig.accessControl(acs))
        return bytes
    }

    /// The capability of access control services, which has all services, as the last in the list.
    static func accessControl(_ acs: ACSRedirection) -> [UInt8] {
        let redirects = UInt8(truncatingIfNeeded: ACSRedirection.all.rawValue)
        return [UInt8(PCI_EXT_CAP_ID_ACS), 0, 1, 0, redirects, 0, UInt8(truncatingIfNeeded: acs.rawValue), 0]
    }
}
