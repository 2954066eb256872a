import Glibc
public import Kernel

/// Which way requests of one function reach another, remembered as the kernel does: drivers/pci/p2pdma.c.
final class P2PRoutes {
    private struct Pair: Hashable {
        let provider: String
        let client: String
    }

    private(set) var fabric = PCIeFabric()
    /// Routes that were looked up. The kernel forgets them when the provider's driver unbinds; here none does.
    private var found: [Pair: P2PRoute.Kind] = [:]

    init(_ topology: Topology, _ functions: [String: PCIFunction]) {
        let first = topology.hostBridges.first ?? Topology.HostBridge(name: "pci0000:00")
        fabric.firstBridge = first.name
        fabric.bridges = Dictionary(
            (topology.hostBridges + [first]).map { ($0.name, $0.listing) }, uniquingKeysWith: { one, _ in one })
        fabric.trustsProcessors = topology.platform.isZen
        for port in topology.ports {
            let isTop = port.parent.map { fabric.bridges[$0] != nil } ?? true
            fabric.nodes[port.address] = .init(
                parent: port.parent, redirects: port.acs, completer: port.completer,
                role: isTop ? .rootPort : .other)
        }
        for device in topology.devices {
            // What names no parent is below a root port of its bus: "port 0000:01".
            let port = "port \(device.address.prefix(7))"
            // A virtual function is where its physical one is.
            let physical = device.physicalFunction.flatMap { functions[$0]?.device }
            let parent = device.parent ?? physical?.parent
            if parent == nil {
                fabric.nodes[port] = .init(parent: nil, redirects: [], completer: .extended, role: .rootPort)
            }
            fabric.nodes[device.address] = .init(
                parent: parent ?? port, redirects: device.acs, completer: device.completer,
                role: functions[device.address]?.config.isIntegrated == true ? .integratedEndpoint : .other)
        }
    }

    /// Whether a port is above a function, so that its bus can be reset.
    func isBelowPort(_ address: String) -> Bool { fabric.path(address).count > 1 }

    /// Changes access control services while the bench runs, as a program does with setpci.
    func setACS(_ acs: Topology.ACS, of address: String) { fabric.nodes[address]?.redirects = acs }

    /// drivers/pci/p2pdma.c:pci_p2pdma_map_type
    func route(from client: String, to provider: String) -> P2PRoute.Kind {
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

    /// In a bench everything can be read.
    private func calculate(from client: String, to provider: String) -> P2PRoute.Kind {
        fabric.route(from: client, to: provider).kind ?? .notSupported
    }
}

extension SimKernel {
    /// The way that requests to a device's memory take, and whether it can be mapped at all.
    /// drivers/dma-buf/dma-buf-mapping.c:dma_buf_phys_vec_to_sgt, as vfio_pci_dma_buf_map calls it
    func route(to buffer: VFIODMABuf, from client: PCIFunction?) throws(Errno) -> P2PRoute.Kind {
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
