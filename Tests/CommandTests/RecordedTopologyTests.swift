import Devices
import Kernel
import Records
import SimKernel
import TestBench
import Testing

@testable import peerlab

/// The bench that is made of what a record says of its machine.
@Suite struct RecordedTopologyTests {
    /// Of the lines that are written of a machine, the machine.
    private func again(_ topology: Topology, _ change: ([String]) -> [String] = { $0 }) throws -> Topology {
        let lines = try MachineTopology(kernel: SimKernel(topology)).lines.map { "\($0.key): \($0.fields)" }
        let text = (["peerlab record 1", "kernel: 7.3.4"] + change(lines) + ["", ""]).joined(separator: "\n")
        return try #require(try RecordedTopology.topology(of: try Record(parsing: text)))
    }

    @Test func keepsWhatTheProgramMayPin() throws {
        var topology = Topology.standard
        #expect(try again(topology).lockedMemory == nil)
        topology.lockedMemory = 65536
        #expect(try again(topology).lockedMemory == 65536)
        // Records of earlier versions do not say it.
        #expect(try again(topology) { $0.filter { !$0.hasPrefix("limits: ") } }.lockedMemory == nil)
        // For this one it did not count.
        topology.files["/proc/self/status"] = "CapEff:\t000001ffffffffff\n"
        #expect(try again(topology).lockedMemory == nil)
    }

    /// The model needs an answer; the bench's name says that it is not the machine's.
    @Test func saysThatAHostBridgeIsUnread() throws {
        var topology = Topology.standard
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: .any)]
        #expect(try again(topology).hostBridges.first?.listing == .any)
        topology.files["/sys/devices/pci0000:00/0000:00:00.0/vendor"] = "?\n"
        let recorded = try again(topology)
        #expect(recorded.hostBridges.first?.listing == HostBridgeListing.none)
        #expect(recorded.name.contains("unread host bridge"))
    }
}
