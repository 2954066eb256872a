import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// What `mr:tph` finds out where the driver gives no raw dump of a memory key.
@Suite struct HintTests {
    private func run(_ script: String) throws -> [String: LuaValue] {
        var topology = Topology.standard
        topology.nics[0].rawDumps = false
        let host = Host(kernel: TracingKernel(SimKernel(topology)), isSimulated: true, tph: TPHResolver(.auto))
        let state = LuaState(
            context: host, find: { name throws(ErrorValue) in throw ErrorValue(kind: "script", name) }, print: { _ in })
        state.offer(modules)
        defer { state.close() }
        let setup = """
            local vfio, rdma, memory = require "vfio", require "rdma", require "memory"
            local device, context = vfio.open("0000:01:00.0"), rdma.open("mlx5_0")
            local pd = context:alloc_pd()
            local function register(tag)
              local buf = device:export_dmabuf { region = 2, ranges = { { offset = 0, length = "64K" } } }
              if tag then buf:set_tph { st = tag, ph = "target" } end
              return pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = { "local_write", "remote_write" } }
            end

            """
        guard case .table(let fields, _) = try state.run(Array((setup + script).utf8), name: "@hint.lua") else {
            throw ErrorValue(kind: "script", "no table")
        }
        return fields
    }

    @Test func poolsThatAgreeTellTheHint() throws {
        let fields = try run("local hint = register(0x42):tph() return hint")
        #expect(fields["verified"] == .boolean(true) && fields["enabled"] == .boolean(true))
        #expect(fields["st"] == .integer(0x42) && fields["ph"] == .string("target"))
        #expect(fields["source"] == .string("simulated pools of memory keys"))
    }

    @Test func poolsThatAgreeTellThatThereIsNone() throws {
        let fields = try run("return register():tph()")
        #expect(fields["verified"] == .boolean(true) && fields["enabled"] == .boolean(false))
    }

    @Test func poolsThatDifferTellNothing() throws {
        let fields = try run("register(0x41) return register(0x42):tph()")
        #expect(fields["verified"] == .boolean(false) && fields["st"] == nil)
        #expect("\(fields["reason"] ?? .none)".contains("pools of keys with different hints are in use"))
    }

    @Test func aRegionThatIsGoneIsNoMoreInUse() throws {
        let fields = try run(
            """
            register(0x41):close()
            local mr = register(0x42)
            local list = {}
            for _, pool in ipairs(context:frmr_pools()) do
              list[#list + 1] = ("%d %d %s %s"):format(pool.st, pool.blocks, pool.in_use, pool.max_in_use)
            end
            return { tag = mr:tph().st, pools = table.concat(list, ", ") }
            """)
        #expect(fields["tag"] == .integer(0x42))
        #expect(fields["pools"] == .string("65 16 0 1, 66 16 1 1"))
    }
}
