import Kernel

/// Where PCI functions are, and what their configuration space says, read from sysfs.
extension Kernel {
    /// Whether a folder of sysfs is there; nil where that could not be read.
    func isThere(_ folder: String) -> Bool? {
        do throws(Errno) {
            _ = try list(folder)
            return true
        } catch { return error == .noEntry && !isHidden(folder) ? false : nil }
    }

    /// Whether the part of sysfs with a path (/sys/bus, /sys/class, /sys/kernel) is missing or empty, as in a container that does
    /// not show it: every kernel has these, so that what is not there is not read, and not known to be absent.
    func isHidden(_ path: String) -> Bool {
        let part = "/" + path.split(separator: "/").prefix(2).joined(separator: "/")
        do throws(Errno) { return try list(part).isEmpty } catch { return error == .noEntry }
    }

    /// A number in hexadecimal, "0x8086"; nil where the file is not there, or is none.
    func number(_ path: String) -> UInt64? {
        (try? attribute(path)).flatMap { UInt64($0.hasPrefix("0x") ? String($0.dropFirst(2)) : $0, radix: 16) }
    }

    /// The host bridge and the ports above a function, from the top:
    /// "../../../devices/pci0000:00/0000:00:05.0/0000:01:00.0/0000:02:00.0". nil where sysfs has no such function.
    func place(of address: PCIAddress) -> (bridge: String, ports: [PCIAddress])? {
        guard let path = try? readlink(PCIFunction.path(address)) else { return nil }
        let parts = path.split(separator: "/").map(String.init)
        guard let bridge = parts.first(where: { $0.hasPrefix("pci") && $0.contains(":") }) else { return nil }
        return (bridge, parts.compactMap { PCIAddress($0) }.filter { $0 != address })
    }

    /// Its configuration space, as far as it can be read.
    func capabilities(of address: PCIAddress) -> PCICapabilities {
        PCICapabilities((try? bytes(of: "\(PCIFunction.path(address))/config")) ?? [])
    }

    /// What the kernel's list says of a host bridge ("pci0000:00"), by its first function, where that is 00.0 or a root port; a
    /// bridge without one is not in the list (drivers/pci/p2pdma.c:pci_host_bridge_dev). nil where that could not be read.
    func listing(ofHostBridge bridge: String) -> HostBridgeListing? {
        guard let names = try? list("/sys/bus/pci/devices") else { return nil }
        let bus = bridge.dropFirst(3) + ":"
        guard let first = names.compactMap({ PCIAddress($0) }).sorted().first(where: { $0.description.hasPrefix(bus) })
        else { return HostBridgeListing.none }
        if first.device != 0 || first.function != 0 {
            let own = capabilities(of: first)
            guard own.isWhole else { return nil }
            guard own.role == .rootPort else { return HostBridgeListing.none }
        }
        let path = PCIFunction.path(first)
        guard let vendor = number("\(path)/vendor"), let device = number("\(path)/device") else { return nil }
        return HostBridgeListing(vendor: UInt16(truncatingIfNeeded: vendor), device: UInt16(truncatingIfNeeded: device))
    }

    /// The ports and host bridges above these functions, and what decides the routes between them.
    func fabric(above functions: [PCIAddress]) -> PCIeFabric {
        var fabric = PCIeFabric()
        func add(_ address: PCIAddress, below parent: String) {
            guard fabric.nodes[address.description] == nil else { return }
            let capabilities = capabilities(of: address)
            fabric.nodes[address.description] = PCIeFabric.Node(
                parent: parent, redirects: capabilities.isWhole ? capabilities.redirects : nil,
                completer: capabilities.isWhole ? capabilities.completer : nil,
                role: capabilities.isWhole ? capabilities.role : nil)
        }
        for function in functions {
            guard let (bridge, ports) = place(of: function) else {
                fabric.unplaced.insert(function.description)
                continue
            }
            if fabric.bridges.isEmpty, fabric.unreadBridges.isEmpty { fabric.firstBridge = bridge }
            if fabric.bridges[bridge] == nil {
                fabric.bridges[bridge] = listing(ofHostBridge: bridge)
                if fabric.bridges[bridge] == nil { fabric.unreadBridges.insert(bridge) }
            }
            if ports.isEmpty, !function.description.hasPrefix(bridge.dropFirst(3) + ":") {
                fabric.withoutVisiblePort.insert(function.description)
            }
            var parent = bridge
            for port in ports + [function] {
                add(port, below: parent)
                parent = port.description
            }
        }
        fabric.trustsProcessors = (try? contents(of: "/proc/cpuinfo")).map(HostBridgeListing.trusts)
        return fabric
    }
}
