/// The ports and host bridges above PCI functions, and the way that Linux gives peer-to-peer requests there:
/// drivers/pci/p2pdma.c. What could not be read is nil, and decides nothing.
public struct PCIeFabric: Sendable {
    /// What a PCI Express function is, as far as a rule asks for it (PCI_EXP_TYPE_*).
    public enum Role: Sendable {
        /// A port of the root complex.
        case rootPort
        /// An endpoint inside the root complex, without a link.
        case integratedEndpoint
        /// Anything else.
        case other
    }

    /// What decides which hints the kernel lets a function send: ``TPHSupport/enabled(of:by:)``.
    public enum HintLimit: Sendable, Equatable {
        /// It is integrated into the root complex, so that no port is asked.
        case integrated
        /// The root port above it, and the hints that it takes.
        case rootPort(String, TPHSupport)
        /// No root port is above it.
        case noRootPort
        /// That could not be read, of this function or port.
        case unread(String)
    }

    /// A function, or a port.
    public struct Node: Sendable {
        /// The port or host bridge above it; nil for the first host bridge.
        public var parent: String?
        /// What its access control services redirect; nil where that could not be read.
        public var redirects: ACSRedirection?
        /// The hints it takes; nil where that could not be read.
        public var completer: TPHSupport?
        /// What it is; nil where that could not be read.
        public var role: Role?

        /// A node.
        public init(parent: String?, redirects: ACSRedirection?, completer: TPHSupport?, role: Role?) {
            self.parent = parent
            self.redirects = redirects
            self.completer = completer
            self.role = role
        }
    }

    /// Functions and ports, by address.
    public var nodes: [String: Node] = [:]
    /// Functions of which it could not be read where they are.
    public var unplaced: Set<String> = []
    /// Functions that are not on their host bridge's own bus, though no port can be seen above them.
    public var withoutVisiblePort: Set<String> = []
    /// What the kernel's list says of each host bridge, by its name.
    public var bridges: [String: HostBridgeListing] = [:]
    /// Host bridges of which that could not be read.
    public var unreadBridges: Set<String> = []
    /// The host bridge of what names none.
    public var firstBridge = "pci0000:00"
    /// Whether all host bridges of the first processor are trusted (``HostBridgeListing/trusts(processors:)``); nil where that could
    /// not be read.
    public var trustsProcessors: Bool? = false

    /// Without anything in it.
    public init() {}

    /// The function itself and the ports above it, lowest first (pci_upstream_bridge).
    public func path(_ address: String) -> [String] {
        var path: [String] = []
        var next: String? = address
        while let current = next, let node = nodes[current], !path.contains(current) {
            path.append(current)
            next = node.parent
        }
        return path
    }

    /// The host bridge above a function.
    public func hostBridge(_ address: String) -> String {
        let top = path(address).last.flatMap { nodes[$0]?.parent }
        return top.flatMap { bridges[$0] == nil && !unreadBridges.contains($0) ? nil : $0 } ?? firstBridge
    }

    /// What decides the hints of a function. include/linux/pci.h:pcie_find_root_port
    public func hintLimit(of address: String) -> HintLimit {
        guard !unplaced.contains(address), let role = nodes[address]?.role else { return .unread(address) }
        guard role != .integratedEndpoint else { return .integrated }
        let path = path(address)
        if let port = path.first(where: { nodes[$0]?.role == .rootPort }) {
            return nodes[port]?.completer.map { .rootPort(port, $0) } ?? .unread(port)
        }
        if let unread = path.first(where: { nodes[$0]?.role == nil || withoutVisiblePort.contains($0) }) {
            return .unread(unread)
        }
        return .noRootPort
    }

    /// The way of requests of `client` to memory of `provider`. drivers/pci/p2pdma.c:calc_map_type_and_dist
    public func route(from client: String, to provider: String) -> P2PRoute {
        let provided = path(provider), asking = path(client)
        var route = P2PRoute(bridges: (hostBridge(provider), hostBridge(client)))
        guard unplaced.isDisjoint(with: [client, provider]) else {
            route.hops = [client, provider]
            route.unread = route.hops.filter(unplaced.contains)
            return route
        }
        if let common = provided.firstIndex(where: asking.contains), let end = asking.firstIndex(of: provided[common]) {
            route.common = provided[common]
            route.hops = asking[..<end] + provided[...common].reversed()
            route.redirecting = route.hops.filter { nodes[$0]?.redirects?.isEmpty == false }
            route.unread = route.hops.filter { nodes[$0]?.redirects == nil }
            if route.redirecting.isEmpty, route.unread.isEmpty {
                route.kind = .busAddress
                return route
            }
        } else {
            route.hops = asking + provided.reversed()
        }
        route.isTrusted = trustsProcessors
        route.isListed = isListed(route.bridges.provider, route.bridges.client)
        // What is not known to redirect may pass it straight.
        guard route.common == nil || !route.redirecting.isEmpty else { return route }
        switch (route.isTrusted, route.isListed) {
        case (true, _), (_, true): route.kind = .throughHostBridge
        case (false, false): route.kind = .notSupported
        default: route.kind = nil
        }
        return route
    }

    /// drivers/pci/p2pdma.c:host_bridge_whitelist
    private func isListed(_ one: String, _ other: String) -> Bool? {
        guard unreadBridges.isDisjoint(with: [one, other]) else { return nil }
        guard one != other else { return bridges[one] != HostBridgeListing.none }
        return bridges[one] == .any && bridges[other] == .any
    }
}

/// The way that Linux gives requests of one function to memory of another, and what decided it.
public struct P2PRoute: Sendable {
    /// enum pci_p2pdma_map_type
    public enum Kind: String, Sendable {
        /// Switches pass it straight, by the address on the bus.
        case busAddress = "straight"
        /// It goes through the root complex, and through the IOMMU.
        case throughHostBridge = "through the host bridge"
        /// The kernel maps nothing: EINVAL.
        case notSupported = "not supported"
    }

    /// nil where what decides could not be read.
    public internal(set) var kind: Kind?
    /// From the client to the provider: both, and the ports between them.
    public internal(set) var hops: [String] = []
    /// The lowest port above both; nil where only the root complex is.
    public internal(set) var common: String?
    /// The hops whose access control services redirect.
    public internal(set) var redirecting: [String] = []
    /// The hops of which that could not be read.
    public internal(set) var unread: [String] = []
    /// The host bridges above both.
    public let bridges: (provider: String, client: String)
    /// Whether the processor's host bridges are all trusted; nil where that was not asked, or could not be read.
    public internal(set) var isTrusted: Bool?
    /// Whether the kernel's list has their host bridges; nil where that was not asked, or could not be read.
    public internal(set) var isListed: Bool?

    init(bridges: (provider: String, client: String)) { self.bridges = bridges }
}
