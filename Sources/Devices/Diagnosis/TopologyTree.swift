import CKernel
import Kernel

/// The machine's fabric as a tree: host bridges, ports, and the functions that matter.
public struct TopologyTree: Sendable {
    /// What a node is.
    public enum Kind: String, Sendable, Codable {
        case bridge, port, exporter, importer, candidate, other
    }

    /// A node.
    public struct Node: Sendable, Codable {
        /// See ``Kind``.
        public var kind: Kind
        /// "0000:3b:00.0", "pci0000:00".
        public var name: String
        /// What it is, in some words: "switch port", "15b3:1021, mlx5_core, group 12, mlx5_0".
        public var title: String
        /// What stands out: "ACS rr,cr", "no TPH completer", "ACS unread".
        public var marks: [String]
        /// What is below it.
        public var children: [Node]

        /// A node.
        public init(kind: Kind, name: String, title: String, marks: [String] = [], children: [Node] = []) {
            self.kind = kind
            self.name = name
            self.title = title
            self.marks = marks
            self.children = children
        }
    }

    /// Host bridges, by name.
    public let roots: [Node]

    /// What a diagnosis looked at.
    public init(_ diagnosis: Diagnosis) {
        let fabric = diagnosis.fabric
        var below: [String: [String]] = [:]
        for (name, node) in fabric.nodes { below[node.parent ?? fabric.firstBridge, default: []].append(name) }
        roots = Set(fabric.bridges.keys).union(fabric.unreadBridges).sorted().map {
            TopologyTree.node($0, diagnosis, below: below)
        }
    }

    private static func node(_ name: String, _ diagnosis: Diagnosis, below: [String: [String]]) -> Node {
        var node = node(name, diagnosis)
        node.children = (below[name] ?? []).sorted().map { TopologyTree.node($0, diagnosis, below: below) }
        return node
    }

    private static func node(_ name: String, _ diagnosis: Diagnosis) -> Node {
        let fabric = diagnosis.fabric
        guard let address = PCIAddress(name), let place = fabric.nodes[name] else {
            let listing = fabric.bridges[name].map { "kernel's list: \($0.rawValue)" } ?? "could not be read"
            let trust =
                fabric.trustsProcessors == true ? "host bridge, trusted by its processor" : "host bridge, \(listing)"
            return Node(kind: .bridge, name: name, title: trust)
        }
        var marks: [String] = []
        if let redirects = place.redirects {
            if !redirects.isEmpty { marks.append("ACS redirects (\(redirects.short.joined(separator: ",")))") }
        } else {
            marks.append("ACS and TPH unread")
        }
        let function = diagnosis.relevant.first { $0.address == address }
        guard let function else {
            let kind = diagnosis.portName(name)
            if kind == "root port", let completer = place.completer {
                marks.append("TPH completer: \(completer.rawValue)")
            }
            return Node(kind: .port, name: name, title: kind, marks: marks)
        }
        let names = diagnosis.nics.filter { $0.address == address }.map(\.name)
        let isImporter = diagnosis.importers.contains { $0.address == address }
        if function.isVFIO, let completer = place.completer { marks.append("TPH completer: \(completer.rawValue)") }
        if isImporter, place.completer != nil {
            let requester = diagnosis.capabilities(address).requester?.support ?? .none
            marks.append("TPH requester: \(requester.rawValue)")
        }
        let title =
            [function.id, function.driver ?? "no driver", function.group.map { "group \($0)" } ?? "no group"] + names
        let candidate = diagnosis.findings.first { $0.area == .candidates && $0.subject == name }
        if let candidate { marks.append(text(ofCandidate: candidate)) }
        return Node(
            kind: function.isVFIO ? .exporter : isImporter ? .importer : candidate != nil ? .candidate : .other,
            name: name, title: title.joined(separator: ", "), marks: marks)
    }

    /// Whether a function could be bound, in a few words.
    private static func text(ofCandidate finding: Finding) -> String {
        switch finding.state {
        case .fine: "could be bound"
        case .unread: "whether it could be bound is unread"
        case .note, .obstacle: finding.id == "candidate.unneeded" ? "could be bound with an IOMMU" : "not to be bound"
        }
    }

    /// The tree as lines of text.
    public static func lines(_ nodes: [Node]) -> [String] {
        var lines: [String] = []
        func add(_ node: Node, _ lead: String, _ below: String) {
            let marks = node.marks.isEmpty ? "" : "  [\(node.marks.joined(separator: "; "))]"
            lines.append("\(lead)\(node.name)  \(node.title)\(marks)")
            for (index, child) in node.children.enumerated() {
                let isLast = index == node.children.count - 1
                add(child, below + (isLast ? "`- " : "|- "), below + (isLast ? "   " : "|  "))
            }
        }
        for node in nodes { add(node, "", "") }
        return lines
    }
}
