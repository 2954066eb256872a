import Glibc
import Kernel

/// Which way requests of one function reach another: drivers/pci/p2pdma.c.
final class P2PRoutes {
    /// enum pci_p2pdma_map_type
    enum Route {
        case busAddress, throughHostBridge, notSupported
    }

    private struct Node {
        let parent: String?
        var acs: Topology.ACS
        let completer: Topology.TPHSupport
    }

    private struct Pair: Hashable {
        let provider: String
        let client: String
    }

    private var nodes: [String: Node] = [:]
    private let bridges: [String: Topology.HostBridge.Listing]
    private let firstBridge: String
    private let cpuRoutes: Bool
    /// Routes that were looked up. The kernel forgets them when the provider's driver unbinds; here none does.
    private var found: [Pair: Route] = [:]

    init(_ topology: Topology) {
        let first = topology.hostBridges.first ?? Topology.HostBridge(name: "pci0000:00")
        firstBridge = first.name
        bridges = Dictionary(
            (topology.hostBridges + [first]).map { ($0.name, $0.listing) }, uniquingKeysWith: { one, _ in one })
        cpuRoutes = topology.platform.isZen
        for port in topology.ports {
            nodes[port.address] = Node(parent: port.parent, acs: port.acs, completer: port.completer)
        }
        for device in topology.devices {
            // What names no parent is below a root port of its bus: "port 0000:01".
            let port = "port \(device.address.prefix(7))"
            if device.parent == nil { nodes[port] = Node(parent: nil, acs: [], completer: .extended) }
            nodes[device.address] = Node(parent: device.parent ?? port, acs: device.acs, completer: device.completer)
        }
    }

    /// The function itself and the bridges above it, lowest first (pci_upstream_bridge).
    private func path(_ address: String) -> [String] {
        var path: [String] = []
        var next: String? = address
        while let current = next, let node = nodes[current], !path.contains(current) {
            path.append(current)
            next = node.parent
        }
        return path
    }

    private func hostBridge(_ address: String) -> String {
        let top = path(address).last.flatMap { nodes[$0]?.parent }
        return top.flatMap { bridges[$0] == nil ? nil : $0 } ?? firstBridge
    }

    /// The TPH completer type of the root port above a function; nil where no port is above it.
    /// drivers/pci/tph.c:get_rp_completer_type
    func rootPortCompleter(above address: String) -> Topology.TPHSupport? {
        let bridges = path(address).dropFirst()
        return bridges.last.flatMap { nodes[$0]?.completer }
    }

    /// Whether a port is above a function, so that its bus can be reset.
    func isBelowPort(_ address: String) -> Bool { path(address).count > 1 }

    /// Changes access control services while the bench runs, as a program does with setpci.
    func setACS(_ acs: Topology.ACS, of address: String) { nodes[address]?.acs = acs }

    /// drivers/pci/p2pdma.c:pci_p2pdma_map_type
    func route(from client: String, to provider: String) -> Route {
        let pair = Pair(provider: provider, client: client)
        if let route = found[pair] { return route }
        let route = calculate(from: client, to: provider)
        found[pair] = route
        return route
    }

    /// Whether switches pass requests of one function to another without a look at the root complex, as they are set now.
    func passesStraight(from client: String, to provider: String) -> Bool {
        calculate(from: client, to: provider) == .busAddress
    }

    /// drivers/pci/p2pdma.c:calc_map_type_and_dist
    private func calculate(from client: String, to provider: String) -> Route {
        let provided = path(provider)
        let asking = path(client)
        if let common = provided.firstIndex(where: asking.contains), let end = asking.firstIndex(of: provided[common]),
            (provided[...common] + asking[..<end]).allSatisfy({ nodes[$0]?.acs.isEmpty == true })
        {
            return .busAddress
        }
        return cpuRoutes || isListed(hostBridge(provider), hostBridge(client)) ? .throughHostBridge : .notSupported
    }

    /// drivers/pci/p2pdma.c:host_bridge_whitelist
    private func isListed(_ one: String, _ other: String) -> Bool {
        guard one != other else { return bridges[one] != Topology.HostBridge.Listing.none }
        return bridges[one] == .any && bridges[other] == .any
    }
}

extension SimKernel {
    /// The way that requests to a device's memory take, and whether it can be mapped at all.
    /// drivers/dma-buf/dma-buf-mapping.c:dma_buf_phys_vec_to_sgt, as vfio_pci_dma_buf_map calls it
    func route(to buffer: VFIODMABuf, from client: PCIFunction?) throws(Errno) -> P2PRoutes.Route {
        guard let owner = buffer.owner, !buffer.isRevoked else { throw Errno(ENODEV) }
        guard let client else { throw Errno(EINVAL) }
        let route = routes.route(from: client.device.address, to: owner.function.device.address)
        guard route != .notSupported else { throw Errno(EINVAL) }
        // dma_iova_link: every range is linked at the start of the reserved addresses, as measured on 7.3.4.
        guard route == .busAddress || buffer.ranges.count == 1 || !topology.iommuTranslates else {
            throw Errno(EADDRINUSE)
        }
        return route
    }

    /// Changes the access control services of a port or function while the bench runs, as setpci does.
    public func setACS(_ acs: Topology.ACS, of address: String) { routes.setACS(acs, of: address) }
}
