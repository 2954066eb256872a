import Devices
import LuaKit
import Runner
import SimKernel
import TestBench
import Testing

@Suite struct IdentificationTests {
    /// `auto` on each simulated kernel: what it finds, or that it refuses; and nothing is ever sent unidentified, which
    /// DevicesTests show call by call.
    @Test(arguments: [
        (nil, nil), (TPHRevision.v2, "v2"), (.v3, "v3"), (.v4, "v5"), (.v5, "v5"), (.v6, "v6"), (.v7, "v7"),
        (.v9, "v11"), (.v11, "v11"),
    ])
    func autoFindsTheRevision(_ revision: TPHRevision?, _ expected: String?) throws {
        for number: UInt32 in [13, 14] {
            var topology = Topology.standard
            topology.tph = revision
            topology.tphFeature = number
            let outcome = try Outcome(
                """
                local vfio, expect = require "vfio", require "expect"
                return { needs = { "vfio.dma_buf_tph" }, cases = { a = function()
                  local dev <close> = vfio.open("0000:01:00.0")
                  local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
                  buf:set_tph { st = 0x42, ph = "target" }
                end } }
                """, topology: topology)
            let result = try #require(outcome.result)
            if let expected {
                #expect(result.verdict == .pass, "\(outcome.lines)")
                #expect(
                    result.tph?.hasPrefix("TPH ABI \(expected) at feature \(number) ") == true, "\(result.tph ?? "")")
            } else {
                #expect(result.verdict == .skip)
            }
        }
    }

    @Test func whatAnABICannotCarryIsRefusedByName() throws {
        let script = """
            local vfio, expect = require "vfio", require "expect"
            local dev <close> = vfio.open("0000:01:00.0")
            local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
            local e = expect.error("v2", buf.set_tph, buf, { st_ext = 0x1234, ph = "target" })
            expect.equal(e.kind, "argument")
            expect.error("v2", buf.clear_tph, buf)
            """
        #expect(try Outcome(script).result?.verdict == .pass)
        let off = try Outcome(
            """
            local vfio, expect = require "vfio", require "expect"
            local dev <close> = vfio.open("0000:01:00.0")
            local buf <close> = dev:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }
            expect.errno("ENOTTY", buf.set_tph, buf, { st = 1, ph = "target" })
            """, tph: .off)
        #expect(off.result?.verdict == .pass, "\(off.lines)")
    }
}
