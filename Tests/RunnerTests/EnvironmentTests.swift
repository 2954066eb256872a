import Devices
import Kernel
import LuaKit
import Runner
import SimKernel
import TestBench
import Testing

/// What is kept with a result that was measured on a real machine.
@Suite struct EnvironmentTests {
    private func result(node: Int, machine: [String: String], isSimulated: Bool = false) throws -> ScenarioResult {
        var changed = Topology.standard
        changed.devices[2].node = node
        let topology = changed
        let bench = Bench(
            kind: "host", description: "test", isSimulated: isSimulated, tph: .auto, machine: { machine },
            makeKernel: { SimKernel(topology) })
        let script = TemporaryScript(
            """
            return {
                options = { nic = { type = "rdma", default = "auto" }, dev = { type = "pci", default = "auto" } },
                cases = { one = function() end },
            }
            """)
        return try ScenarioRun(script.path, in: RunContext(bench, Library(stdlib: []))).run()
    }

    @Test func tellsOfTheMachineAndOfTheDevicesUsed() throws {
        let found = try result(node: 1, machine: ["cpu": "4", "cpu.node": "1", "kernel": "6.1"])
        #expect(found.environment["kernel"] == "6.1")
        #expect(found.environment["mlx5_0.node"] == "1")
        #expect(found.environment["0000:01:00.0.driver"] == "vfio-pci")
        #expect(found.warnings.isEmpty)
    }

    @Test func warnsOfAThreadFarFromItsNIC() throws {
        let found = try result(node: 1, machine: ["cpu": "4", "cpu.node": "0"])
        #expect(found.warnings.count == 1)
        #expect(found.warnings.first?.hasPrefix("CPU 4 is on node 0, mlx5_0 on node 1") == true)
    }

    @Test func doesNotGuessWhereTheFirmwareIsSilent() throws {
        #expect(try result(node: -1, machine: ["cpu": "4", "cpu.node": "0"]).warnings.isEmpty)
    }

    @Test func aSimulatedResultHasNoMachine() throws {
        let found = try result(node: 1, machine: ["cpu": "4", "cpu.node": "0"], isSimulated: true)
        #expect(found.environment.isEmpty && found.warnings.isEmpty)
    }
}
