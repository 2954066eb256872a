import CKernel
import Kernel

/// Hints: requesters, completers, and the ways between them.
extension Diagnosis {
    mutating func examineHints() {
        if let words = commandLine, TPHSupport.isSwitchedOff(by: words.joined(separator: " ")) {
            add(
                Finding(
                    "hints.notph", .hints, .obstacle, "the kernel command line has pci=notph: no driver can enable TPH",
                    next: ["remove notph from pci= on the kernel command line, and restart"], stops: [.hints]))
        } else if commandLine == nil {
            add(
                unread("hints.notph-unread", .hints, "whether pci=notph is set could not be read", at: "/proc/cmdline"))
        }
        for client in shown(importers) where nics.contains(where: { $0.address == client.address }) {
            examineRequester(client)
        }
        for provider in shown(exporters) { examineCompleter(provider) }
        let isSent = findings.contains { $0.id == "hints.requester" }
        if isSent, findings.contains(where: { $0.id == "hints.completer" }) { relent(.hints, [.hints]) }
        if findings.contains(where: { $0.id == "nic.dmah" }) { relent(.hints, [.handles]) }
        for one in routes where exporters.contains(where: { $0.address == one.provider }) { examinePrefixes(one) }
    }

    private static let configurationIsRoots = "configuration space behind byte 63 is root's"

    private mutating func examineRequester(_ function: PCIFunction) {
        let name = importerName(function)
        let own = capabilities(function.address)
        guard own.isWhole else {
            add(
                Finding(
                    "hints.requester-unread", .hints, name, .unread,
                    "its TPH capability could not be read", why: Diagnosis.configurationIsRoots,
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
        if own.isTableInMSIX {
            add(
                Finding(
                    "hints.table-in-msix", .hints, name, .obstacle,
                    "its steering tags would be in the MSI-X table, which mlx5 does not use",
                    next: ["a NIC with its table in the capability, or without one: lspci -vv"], stops: [.hints]))
        }
        let table =
            requester.entries == 0
            ? "no table (direct mode: mlx5 keeps 8 bits of a tag)"
            : "a table of \(requester.entries) \(own.isTableInMSIX ? "in MSI-X" : "in the capability")"
        let kind = requester.support == .extended ? "8-bit and 16-bit tags" : "8-bit tags"
        let limit = fabric.hintLimit(of: "\(function.address)")
        let can = "it can send \(kind), \(table)\(Diagnosis.text(limit))"
        // Where the kernel let its driver enable it, nothing was in the way.
        guard own.enabledHints == .none else {
            let enabled = own.enabledHints == .extended ? "both" : "8-bit ones"
            add(Finding("hints.requester", .hints, name, .fine, "\(can); its driver has enabled \(enabled)"))
            return
        }
        add(finding(ofUnused: function, name, can, limit, TPHSupport.enabled(of: requester.support, by: limit)))
    }

    /// What a requester's limit adds to what it can.
    private static func text(_ limit: PCIeFabric.HintLimit) -> String {
        switch limit {
        case .integrated: "; it is integrated into the root complex, so no root port is asked"
        case .rootPort(let port, .none): "; root port \(port) takes none"
        case .rootPort(let port, let completer):
            "; root port \(port) takes \(completer == .extended ? "both" : "8-bit ones")"
        case .noRootPort, .unread: ""
        }
    }

    /// Why a requester sends nothing.
    private func finding(
        ofUnused function: PCIFunction, _ name: String, _ can: String, _ limit: PCIeFabric.HintLimit,
        _ allowed: TPHSupport?
    ) -> Finding {
        let rule =
            "drivers/pci/tph.c:pcie_enable_tph asks the root port only, even for requests that a switch passes straight"
        switch (limit, allowed) {
        case (.unread(let place), _):
            return Finding(
                "hints.root-port-unread", .hints, name, .unread,
                "\(can); its driver has not enabled it, and "
                    + (fabric.withoutVisiblePort.contains(place)
                        ? "which root port is above it cannot be seen" : "what decides could not be read of \(place)"),
                why: rule, next: ["sudo peerlab doctor"], stops: [.hints])
        case (.noRootPort, _):
            return Finding(
                "hints.no-root-port", .hints, name, .obstacle,
                "no root port is above it, and it is not integrated into the root complex, so the kernel lets it send no hints",
                why:
                    "drivers/pci/tph.c:get_rp_completer_type takes a root port that is not there for one without hints",
                next: ["lspci -t    (in a virtual machine, put it below a root port: QEMU -device pcie-root-port)"],
                stops: [.hints])
        case (.rootPort(let port, _), .some(.none)):
            return Finding(
                "hints.root-port", .hints, name, .obstacle,
                "its root port \(port) is no TPH completer, so the kernel lets it send no hints, to no target",
                why: rule,
                next: ["another slot, or the firmware setup's switch for TPH of the root port"], stops: [.hints])
        default:
            return Finding(
                "hints.not-enabled", .hints, name, .obstacle, "\(can); its driver has not enabled it, so it sends none",
                why: "mlx5 does so when it starts, where firmware says that memory keys have hints (mkey_pcie_tph)",
                next: ["mlxfwmanager -d \(function.address) --query    (and update the firmware of an mlx5 NIC)"],
                stops: [.hints])
        }
    }

    private mutating func examineCompleter(_ function: PCIFunction) {
        let name = "\(function.address)"
        let own = capabilities(function.address)
        guard own.isWhole else {
            add(
                Finding(
                    "hints.completer-unread", .hints, name, .unread,
                    "whether it is a TPH completer could not be read", why: Diagnosis.configurationIsRoots,
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
                    "it is no TPH completer (Device Capabilities 2, bits 13:12, are \(own.completerCode)"
                        + (own.completerCode == 0 ? ")" : ", which is reserved)"),
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
