import SimKernel
import TestBench
import Testing

@testable import Runner

/// Where a scenario is skipped on a machine, the reason says what `peerlab doctor` would, with the next command.
@Suite struct SkipAdviceTests {
    /// Why a scenario with these options and needs is skipped.
    private func reason(
        _ options: String, needs: String = "", kind: String = "host", _ change: (inout Topology) -> Void
    )
        throws -> String
    {
        var topology = Topology.standard
        change(&topology)
        let text = "return { options = { \(options) }, needs = { \(needs) }, cases = { { \"a\", function() end } } }"
        let outcome = try Outcome(text, topology: topology, kind: kind)
        return try #require(outcome.result?.skipped.first)
    }

    private let engine = "engine = { type = \"pci\", default = \"auto\", id = \"1234:11e8\" }"

    @Test func aDeviceWithAnotherDriverIsToBeBound() throws {
        let text = try reason(engine) { $0.devices[1].driver = "edu" }
        #expect(text.hasPrefix("engine: no free device bound to a VFIO driver with id 1234:11e8: "))
        #expect(text.hasSuffix("0000:02:00.0 is one, bound to the driver edu; `peerlab bind 0000:02:00.0`"))
    }

    @Test func aDeviceThatTheMachineNeedsIsNot() throws {
        let text = try reason(engine) { topology in
            topology.devices[1].driver = "nvme"
            topology.links["/sys/class/block/nvme0n1"] = "../../devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1"
            topology.files["/sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0/nvme0n1/dev"] = "259:0\n"
            topology.files["/proc/self/mountinfo"] = "1 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n"
        }
        #expect(text.contains("the root file system is on it") && !text.contains("peerlab bind"))
    }

    @Test func aDeviceThatIsNotThere() throws {
        let text = try reason(engine) { $0.devices.remove(at: 1) }
        #expect(text.hasSuffix("no function of this machine is one; `peerlab doctor` lists what there is"))
    }

    @Test func aNeedNamesTheCommand() throws {
        let text = try reason("", needs: "\"iommufd\"") { $0.hasIOMMUFD = false }
        #expect(text.hasPrefix("needs iommufd: open: ENOENT") && text.contains("modprobe iommufd"))
        let none = try reason("", needs: "\"vfio\"") { topology in
            for index in 0..<2 { topology.devices[index].driver = index == 0 ? "snd" : nil }
        }
        #expect(none.contains("no device here is bound to a VFIO driver"))
        #expect(none.contains("`peerlab bind 0000:01:00.0`"))
    }

    /// On a simulated bench there is nothing to bind.
    @Test func aModelIsNotGivenCommands() throws {
        let text = try reason(engine, kind: "sim") { $0.devices[1].driver = "edu" }
        #expect(text == "engine: no free device bound to a VFIO driver with id 1234:11e8")
    }
}
