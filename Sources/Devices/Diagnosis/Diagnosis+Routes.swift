import CKernel
import Kernel

/// The ways from importers to exporters, and hints on them.
extension Diagnosis {
    /// Where nothing is bound yet, candidates are looked at, for which of them is bound may depend on it.
    private var providers: [PCIFunction] {
        Array((exporters.isEmpty ? candidates : exporters).prefix(Diagnosis.mostShown))
    }

    /// What messages call an importer: the RDMA device on it, or its driver.
    func importerName(_ function: PCIFunction) -> String {
        nics.first { $0.address == function.address }?.name ?? function.driver ?? "\(function.address)"
    }

    mutating func examineRoutes() {
        for client in importers.prefix(Diagnosis.mostShown) {
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
                    stops: [.registration])
            }
            return Finding(
                "route.acs-redirect", .routes, subject, .obstacle,
                "ACS redirects it to the host bridge, which the kernel does not trust to pass it on",
                detail: way,
                why:
                    "\(names(route)) at \(list); the kernel's list of host bridges that pass requests on lacks \(bridges(route)): mapping "
                    + "answers EINVAL",
                next: [Diagnosis.withoutRedirect(list)], stops: [.registration])
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
                next: ["sudo peerlab doctor"], stops: [.registration])
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

    // MARK: Hints

    mutating func examineHints() {
        if let words = commandLine, words.contains(where: Diagnosis.switchesHintsOff) {
            add(
                Finding(
                    "hints.notph", .hints, .obstacle, "the kernel command line has pci=notph: no driver can enable TPH",
                    next: ["remove notph from pci= on the kernel command line, and restart"], stops: [.hints]))
        } else if commandLine == nil {
            add(
                Finding(
                    "hints.notph-unread", .hints, .unread, "whether pci=notph is set could not be read (/proc/cmdline)")
            )
        }
        for client in importers.prefix(Diagnosis.mostShown) where nics.contains(where: { $0.address == client.address })
        {
            examineRequester(client)
        }
        for provider in exporters.prefix(Diagnosis.mostShown) { examineCompleter(provider) }
        let sends = findings.contains { ["hints.requester", "hints.not-enabled"].contains($0.id) }
        if sends, findings.contains(where: { $0.id == "hints.completer" }) { relent(.hints, [.hints]) }
        for one in routes where exporters.contains(where: { $0.address == one.provider }) { examinePrefixes(one) }
    }

    private static func switchesHintsOff(_ word: Substring) -> Bool {
        word.hasPrefix("pci=") && word.dropFirst(4).split(separator: ",").contains("notph")
    }

    private mutating func examineRequester(_ function: PCIFunction) {
        let name = importerName(function)
        let own = capabilities(function.address)
        guard own.isWhole else {
            add(
                Finding(
                    "hints.requester-unread", .hints, name, .unread,
                    "its TPH capability could not be read: configuration space behind byte 63 is root's",
                    next: ["sudo peerlab doctor"], stops: [.hints]))
            return
        }
        guard let requester = own.requester else {
            add(
                Finding(
                    "hints.no-requester", .hints, name, .obstacle,
                    "it has no TPH requester capability: it sends no hints",
                    next: ["a NIC that has it (ConnectX-6 and later), or its setting in the firmware"], stops: [.hints])
            )
            return
        }
        let table =
            requester.entries == 0
            ? "no table (direct mode: mlx5 keeps 8 bits of a tag)"
            : "a table of \(requester.entries) \(own.isTableInMSIX ? "in MSI-X" : "in the capability")"
        let kind = requester.support == .extended ? "8-bit and 16-bit tags" : "8-bit tags"
        let top = fabric.rootPort(above: "\(function.address)")
        let completer = top.flatMap { fabric.nodes[$0]?.completer }
        if own.isTableInMSIX {
            add(
                Finding(
                    "hints.table-in-msix", .hints, name, .obstacle,
                    "its steering tags would be in the MSI-X table, which mlx5 does not use",
                    stops: [.hints]))
        }
        guard top == nil || completer != nil else {
            add(
                Finding(
                    "hints.root-port-unread", .hints, name, .unread,
                    "\(kind), \(table); whether its root port \(top ?? "") takes hints could not be read",
                    stops: [.hints]))
            return
        }
        if TPHSupport.enabled(of: requester.support, below: completer) == .none {
            add(
                Finding(
                    "hints.root-port", .hints, name, .obstacle,
                    "its root port \(top ?? "") is no TPH completer, so the kernel lets it send no hints, to no target",
                    why:
                        "drivers/pci/tph.c:pcie_enable_tph asks the root port only, even for requests that a switch passes straight",
                    next: ["another slot, or the firmware setup's switch for TPH of the root port"], stops: [.hints]))
            return
        }
        let enabled = own.enabledHints
        add(
            Finding(
                enabled == .none ? "hints.not-enabled" : "hints.requester", .hints, name,
                enabled == .none ? .note : .fine,
                "it can send \(kind), \(table)"
                    + (top.map { "; root port \($0) takes \(completer == .extended ? "both" : "8-bit ones")" } ?? "")
                    + (enabled == .none
                        ? "; its driver has not enabled it"
                        : "; its driver has enabled \(enabled == .extended ? "both" : "8-bit ones")"),
                why: enabled == .none
                    ? "mlx5 does so when it starts, where firmware says that memory keys have hints (mkey_pcie_tph)"
                    : ""))
    }

    private mutating func examineCompleter(_ function: PCIFunction) {
        let name = "\(function.address)"
        let own = capabilities(function.address)
        guard own.isWhole else {
            add(
                Finding(
                    "hints.completer-unread", .hints, name, .unread,
                    "whether it is a TPH completer could not be read: configuration space behind byte 63 is root's",
                    next: ["sudo peerlab doctor"], stops: [.hints]))
            return
        }
        switch own.completer {
        case .none:
            // Whether the kernel minds depends on the revision: where it was asked, it has said so.
            let refused = findings.contains {
                $0.subject == name && ["device.hints-unknown", "device.no-hints"].contains($0.id)
            }
            add(
                Finding(
                    "hints.no-completer", .hints, name, refused ? .obstacle : .note,
                    "it is no TPH completer (Device Capabilities 2, bits 13:12, are 0)",
                    why:
                        "DMA_BUF_TPH refuses it from v7 on; before that nothing checks, and a read with a hint has the tag "
                        + "in its byte enables, which such a target may take for some",
                    next: ["a device that is one: lspci -vv shows TPHComp+ in DevCap2"], stops: refused ? [.hints] : [])
            )
        case .tph:
            add(Finding("hints.completer", .hints, name, .fine, "it takes hints with 8-bit tags, not with 16-bit ones"))
        case .extended:
            add(Finding("hints.completer", .hints, name, .fine, "it takes hints with 8-bit and 16-bit tags"))
        }
    }

    /// 16-bit tags travel in a TLP prefix, which each port has to pass.
    private mutating func examinePrefixes(_ one: Route) {
        let ends = [one.client, one.provider].map(\.description)
        let ports = one.route.hops.filter { !ends.contains($0) }.compactMap { PCIAddress($0) }
        let own = capabilities(one.client), target = capabilities(one.provider)
        guard own.requester?.support == .extended, target.completer == .extended else { return }
        let known = ports.map { (port: $0, capabilities: capabilities($0)) }.filter(\.capabilities.isWhole)
        let deaf = known.filter { !$0.capabilities.passesPrefixes }.map(\.port.description)
        guard !deaf.isEmpty else { return }
        add(
            Finding(
                "hints.prefix", .hints, "\(one.client) -> \(one.provider)", .note,
                "\(deaf.joined(separator: ", ")) may not pass End-End TLP prefixes (Device Capabilities 2, bit 21)",
                why: "hints with 16-bit tags travel in one; those with 8-bit tags do not"))
    }
}
