import Kernel
import Testing

/// Which hints the kernel lets a function send, by what is above it. drivers/pci/tph.c:pcie_enable_tph
@Suite struct HintLimitTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// From the host bridge down: each node's role and completer type.
        let nodes: [(role: PCIeFabric.Role?, completer: TPHSupport?)]
        var isHidden = false
        let limit: PCIeFabric.HintLimit
        /// What a requester of both kinds of tags may send.
        let enabled: TPHSupport?
    }

    static let rows = [
        Row(
            testDescription: "below a root port", nodes: [(.rootPort, .tph), (.other, TPHSupport.none)],
            limit: .rootPort("0", .tph), enabled: .tph),
        Row(
            testDescription: "below a switch",
            nodes: [(.rootPort, .extended), (.other, TPHSupport.none), (.other, nil)],
            limit: .rootPort("0", .extended), enabled: .extended),
        Row(
            testDescription: "below a root port without hints",
            nodes: [(.rootPort, TPHSupport.none), (.other, TPHSupport.none)], limit: .rootPort("0", .none),
            enabled: TPHSupport.none),
        Row(
            testDescription: "integrated", nodes: [(.integratedEndpoint, TPHSupport.none)], limit: .integrated,
            enabled: .extended),
        Row(
            testDescription: "on the root bus, but not integrated", nodes: [(.other, TPHSupport.none)],
            limit: .noRootPort, enabled: TPHSupport.none),
        Row(
            testDescription: "below a bridge that is no root port",
            nodes: [(.other, TPHSupport.none), (.other, TPHSupport.none)], limit: .noRootPort, enabled: TPHSupport.none
        ),
        Row(
            testDescription: "a port that could not be read", nodes: [(nil, nil), (.other, TPHSupport.none)],
            limit: .unread("0"), enabled: nil),
        Row(
            testDescription: "a port below the root port that could not be read",
            nodes: [(.rootPort, .tph), (nil, nil), (.other, TPHSupport.none)], limit: .rootPort("0", .tph),
            enabled: .tph),
        Row(
            testDescription: "a function that could not be read", nodes: [(nil, nil)], limit: .unread("0"), enabled: nil
        ),
        Row(
            testDescription: "a port that cannot be seen", nodes: [(.other, TPHSupport.none)], isHidden: true,
            limit: .unread("0"), enabled: nil),
    ]

    @Test(arguments: rows) func isTheKernels(_ row: Row) {
        var fabric = PCIeFabric()
        for (index, node) in row.nodes.enumerated() {
            fabric.nodes["\(index)"] = .init(
                parent: index == 0 ? "pci0000:00" : "\(index - 1)", redirects: [], completer: node.completer,
                role: node.role)
        }
        let function = "\(row.nodes.count - 1)"
        if row.isHidden { fabric.withoutVisiblePort = [function] }
        let limit = fabric.hintLimit(of: function)
        #expect(limit == row.limit)
        #expect(TPHSupport.enabled(of: .extended, by: limit) == row.enabled)
    }

    @Test func whereItIsCouldNotBeRead() {
        var fabric = PCIeFabric()
        fabric.unplaced = ["0000:01:00.0"]
        #expect(fabric.hintLimit(of: "0000:01:00.0") == .unread("0000:01:00.0"))
    }
}
