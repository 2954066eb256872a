import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Routes between functions: drivers/pci/p2pdma.c:calc_map_type_and_dist.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelPCIe.md.
@Suite struct RouteTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Parents of the exporter and the NIC.
        var exporter: String?
        var nic: String?
        /// Access control services of the exporter's port.
        var acs: [String: Topology.ACS] = [:]
        var bridges: [Topology.HostBridge] = [Topology.HostBridge(name: "pci0000:00", listing: .none)]
        var isZen = false
        var translates = true
        /// Of a registration of one range, and of two.
        let one: Int32
        let two: Int32
    }

    /// Root ports "root" and "other", a switch below the first: "up" with "left" and "right".
    static func topology(_ row: Row) -> Topology {
        var topology = Topology.standard
        topology.hostBridges = row.bridges
        let ports: [(String, String?)] = [
            ("root", nil), ("other", nil), ("far", row.bridges.last?.name), ("up", "root"), ("left", "up"),
            ("right", "up"),
        ]
        topology.ports = ports.map { Topology.Port(address: $0.0, parent: $0.1, acs: row.acs[$0.0] ?? []) }
        topology.devices[0].parent = row.exporter
        topology.devices[0].acs = row.acs["exporter"] ?? []
        topology.devices[2].parent = row.nic
        topology.platform.isZen = row.isZen
        topology.iommuTranslates = row.translates
        return topology
    }

    static let unlisted = Topology.HostBridge(name: "pci0000:40", listing: .none)
    static let here = Topology.HostBridge(name: "pci0000:00")
    static let sameOnly = Topology.HostBridge(name: "pci0000:00", listing: .same)
    static let far = Topology.HostBridge(name: "pci0000:40")

    static let rows = [
        Row(testDescription: "no topology", bridges: [], one: 0, two: EADDRINUSE),
        Row(testDescription: "no topology, no translation", bridges: [], translates: false, one: 0, two: 0),
        Row(testDescription: "one switch", exporter: "left", nic: "right", one: 0, two: 0),
        Row(
            testDescription: "request redirect", exporter: "left", nic: "right", acs: ["left": .requestRedirect],
            one: EINVAL, two: EINVAL),
        Row(
            testDescription: "completion redirect on the NIC's side", exporter: "left", nic: "right",
            acs: ["right": .completionRedirect], one: EINVAL, two: EINVAL),
        Row(
            testDescription: "egress control on the common port", exporter: "left", nic: "right",
            acs: ["up": .egressControl], one: EINVAL, two: EINVAL),
        Row(
            testDescription: "redirect of the exporter", exporter: "left", nic: "right",
            acs: ["exporter": .requestRedirect], one: EINVAL, two: EINVAL),
        Row(
            testDescription: "redirect above the common port", exporter: "left", nic: "right",
            acs: ["root": .requestRedirect], one: 0, two: 0),
        Row(
            testDescription: "redirect, listed", exporter: "left", nic: "right", acs: ["left": .requestRedirect],
            bridges: [here], one: 0, two: EADDRINUSE),
        Row(testDescription: "two root ports, unlisted", exporter: "left", nic: "other", one: EINVAL, two: EINVAL),
        Row(
            testDescription: "two root ports, AMD", exporter: "left", nic: "other", isZen: true, one: 0,
            two: EADDRINUSE),
        Row(
            testDescription: "two root ports, same only", exporter: "left", nic: "other", bridges: [sameOnly], one: 0,
            two: EADDRINUSE),
        Row(
            testDescription: "two bridges", exporter: "left", nic: "far", bridges: [here, far], one: 0,
            two: EADDRINUSE),
        Row(
            testDescription: "two bridges, same only", exporter: "left", nic: "far", bridges: [sameOnly, far],
            one: EINVAL, two: EINVAL),
        Row(
            testDescription: "two bridges, one unlisted", exporter: "left", nic: "far", bridges: [here, unlisted],
            one: EINVAL, two: EINVAL),
    ]

    @Test(arguments: rows)
    func registration(_ row: Row) throws {
        let verbs = try VerbsTests(RouteTests.topology(row))
        #expect(verbs.register(0, 4096, 0) == row.one)
        let two = Int32(verbs.bench.export(verbs.device, [(0, 4096), (0x8000, 4096)]))
        #expect(verbs.register(0, 4096, 0, two) == row.two)
        // A refusal leaves nothing attached.
        #expect(verbs.bench.text("/proc/self/fdinfo/\(two)").contains("count:\t1\n"))
    }

    @Test func routeIsFoundOnce() throws {
        let row = Row(testDescription: "", exporter: "left", nic: "right", one: 0, two: 0)
        let early = try VerbsTests(RouteTests.topology(row))
        early.bench.kernel.setACS(.requestRedirect, of: "left")
        #expect(early.register(0, 4096, 0) == EINVAL)
        early.bench.kernel.setACS([], of: "left")
        #expect(early.register(0, 4096, 0) == EINVAL)
        let late = try VerbsTests(RouteTests.topology(row))
        #expect(late.register(0, 4096, 0) == 0)
        late.bench.kernel.setACS(.requestRedirect, of: "left")
        #expect(late.register(0, 4096, 0) == 0)
    }

    @Test func pinnedRevocableImportersAskToo() throws {
        var topology = Topology.standard
        topology.nics[0].driver = .irdma
        topology.hostBridges = [RouteTests.unlisted]
        #expect(try VerbsTests(topology).register(0, 4096, 0) == EINVAL)
    }

    @Test func softwareDevicesHaveNoRoute() throws {
        var topology = Topology.standard
        topology.nics[0].address = nil
        #expect(try VerbsTests(topology).register(0, 4096, 0) == EINVAL)
    }

    @Test func ringsOfPortsEnd() throws {
        var topology = Topology.standard
        topology.ports = [
            Topology.Port(address: "a", parent: "b"), Topology.Port(address: "b", parent: "a"),
            Topology.Port(address: "a", parent: "a"),
        ]
        topology.devices[0].parent = "a"
        topology.devices[2].parent = "nowhere"
        #expect(try VerbsTests(topology).register(0, 4096, 0) == 0)
    }
}
