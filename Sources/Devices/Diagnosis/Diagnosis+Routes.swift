import CKernel
import Kernel

/// The ways from importers to exporters, and hints on them.
extension Diagnosis {
    /// Where nothing is bound yet, candidates are looked at, for which of them is bound may depend on it.
    private var providers: [PCIFunction] {
        shown(exporters.isEmpty ? candidates : exporters)
    }

    /// What messages call a function: the RDMA device on it, the importer's driver, or its address.
    func importerName(_ function: PCIFunction) -> String {
        nics.first { $0.address == function.address }?.name
            ?? (function.driver == KernelImporter.driver ? KernelImporter.driver : "\(function.address)")
    }

    mutating func examineRoutes() {
        let others = unshown(importers) + unshown(exporters)
        if !others.isEmpty {
            add(
                Finding(
                    "route.more", .routes, .unread,
                    "the ways of \(others.count) more devices, and their hints, were not looked at: \(Diagnosis.list(others))",
                    why: Diagnosis.fewShown,
                    next: ["peerlab doctor --device ADDRESS-OR-NAME    (looks at that one first)"]))
        }
        for client in shown(importers) {
            for provider in providers where provider.address != client.address {
                let route = fabric.route(from: "\(client.address)", to: "\(provider.address)")
                routes.append(Route(client: client.address, provider: provider.address, route: route))
                let found = finding(of: route, from: client, to: provider)
                // Of a candidate it is only worth knowing.
                add(provider.isVFIO ? found : found.stopping([]))
                addNodes(client, provider)
            }
        }
    }

    /// What is not known of these devices, by name or address, as others were looked at in their place.
    public func unexamined(_ names: Set<String>) -> [Finding] {
        let others = unshown(importers) + unshown(exporters)
        return others.filter(names.contains).map { name in
            Finding(
                "device.unexamined", .routes, name, .unread, "its ways and hints were not looked at",
                why: Diagnosis.fewShown,
                next: ["peerlab doctor --device \(name) ..."], stops: [.registration, .hints, .importer])
        }
    }

    /// "mlx5_0 0000:05:00.0 - port 0000:02:01.0 - port 0000:02:00.0 (redirects: request) - 0000:03:00.0"
    func way(_ route: P2PRoute) -> String {
        var hops = route.hops.enumerated().map { index, hop in
            let isEnd = index == 0 || index == route.hops.count - 1
            let redirects = fabric.nodes[hop]?.redirects?.short ?? []
            let acs =
                fabric.nodes[hop]?.redirects == nil
                ? " (ACS unread)" : redirects.isEmpty ? "" : " (ACS \(redirects.joined(separator: ",")))"
            return (isEnd ? "" : portName(hop) + " ") + hop + acs
        }
        if route.common == nil, let turn = hops.indices.first(where: { $0 > 0 && isTop(route.hops[$0 - 1], route) }) {
            hops.insert("host bridge \(bridges(route))", at: turn)
        }
        return hops.joined(separator: " - ")
    }

    /// Whether a hop is the uppermost on the client's side.
    private func isTop(_ hop: String, _ route: P2PRoute) -> Bool {
        route.hops.first.map { fabric.path($0).last == hop } ?? false
    }

    private func bridges(_ route: P2PRoute) -> String {
        route.bridges.provider == route.bridges.client
            ? route.bridges.client : "\(route.bridges.client) and \(route.bridges.provider)"
    }

    /// "root port", "switch port"; "port" where its configuration space could not be read.
    func portName(_ hop: String) -> String {
        switch PCIAddress(hop).flatMap({ capabilities($0).expressType }) {
        case PCI_EXP_TYPE_ROOT_PORT: "root port"
        case PCI_EXP_TYPE_UPSTREAM: "switch's upstream port"
        case PCI_EXP_TYPE_DOWNSTREAM: "switch port"
        default: "port"
        }
    }

    private func finding(of route: P2PRoute, from client: PCIFunction, to provider: PCIFunction) -> Finding {
        let subject = "\(importerName(client)) -> \(provider.address)"
        let way = way(route)
        let list = route.redirecting.joined(separator: ";")
        let stops: Set<Finding.Purpose> = client.driver == KernelImporter.driver ? [.importer] : [.registration]
        switch route.kind {
        case .busAddress:
            return Finding(
                "route.straight", .routes, subject, .fine, "straight, by the address on the bus", detail: way,
                why: "\(common(route)) is above both, and no hop redirects")
        case .throughHostBridge:
            let reason =
                route.isTrusted == true
                ? "of this processor's host bridges the kernel trusts all (AMD, family 17h and later)"
                : "the kernel's list has \(bridges(route))"
            let redirects = route.redirecting.isEmpty ? "no switch is above both" : "ACS redirects at \(list)"
            return Finding(
                "route.host-bridge", .routes, subject, route.redirecting.isEmpty ? .fine : .note,
                "through the host bridge", detail: way, why: "\(redirects); \(reason)",
                next: route.redirecting.isEmpty ? [] : [Diagnosis.withoutRedirect(list) + "    (for the straight way)"])
        case .notSupported:
            guard !route.redirecting.isEmpty else {
                return Finding(
                    "route.none", .routes, subject, .obstacle, "the kernel gives no way", detail: way,
                    why:
                        "no switch is above both, and the kernel's list of host bridges that pass requests on lacks \(bridges(route)): "
                        + "mapping answers EINVAL",
                    next: [
                        "put both below one switch, or take a machine whose host bridge is listed (pci_p2pdma_whitelist)"
                    ],
                    stops: stops)
            }
            return Finding(
                "route.acs-redirect", .routes, subject, .obstacle,
                "ACS redirects it to the host bridge, which the kernel does not trust to pass it on",
                detail: way,
                why:
                    "\(names(route)) at \(list); the kernel's list of host bridges that pass requests on lacks \(bridges(route)): mapping "
                    + "answers EINVAL",
                next: [Diagnosis.withoutRedirect(list)], stops: stops)
        case nil where route.isTrusted == true || route.isListed == true:
            return Finding(
                "route.either", .routes, subject, .fine, "straight, or through the host bridge", detail: way,
                why:
                    "ACS of \(route.unread.joined(separator: ", ")) could not be read; the kernel gives a way in both cases",
                next: ["sudo peerlab doctor    (to know which)"])
        case nil:
            return Finding(
                "route.unread", .routes, subject, .unread, "what decides the way could not be read", detail: way,
                why: route.unread.isEmpty
                    ? "the host bridge's ids or /proc/cpuinfo"
                    : "of \(route.unread.joined(separator: ", ")) only the first 64 bytes of configuration space, or nothing",
                next: ["sudo peerlab doctor"], stops: stops)
        }
    }

    private func common(_ route: P2PRoute) -> String { route.common.map { "\(portName($0)) \($0)" } ?? "a port" }

    private func names(_ route: P2PRoute) -> String {
        route.redirecting.compactMap { fabric.nodes[$0]?.redirects }.reduce(ACSRedirection()) { $0.union($1) }.names
            .joined(separator: ", ")
    }

    /// Documentation/admin-guide/kernel-parameters.txt: pci=disable_acs_redir=
    private static func withoutRedirect(_ list: String) -> String {
        "pci=disable_acs_redir=\(list) on the kernel command line, and restart; the kernel may then put more into one IOMMU group, "
            + "and VFIO opens no device while a host driver has another of its group"
    }

    private mutating func addNodes(_ client: PCIFunction, _ provider: PCIFunction) {
        guard let one = node(client.address), let other = node(provider.address), one != other else { return }
        add(
            Finding(
                "route.nodes", .routes, "\(importerName(client)) -> \(provider.address)", .note,
                "they are on different memory nodes, \(one) and \(other)",
                why: "requests cross the link between the processors, where they pass at all"))
    }
}
