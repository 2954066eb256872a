import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// What `mr:tph` finds out where the driver gives no raw dump of a memory key.
@Suite struct HintTests {
    private func run(
        _ script: String, _ change: (inout Topology) -> Void = { $0.nics[0].rawDumps = false }
    ) throws -> [String: LuaValue] {
        var topology = Topology.standard
        change(&topology)
        let (_, state) = simulatedState(TracingKernel(SimKernel(topology)))
        defer { state.close() }
        let setup = """
            local vfio, rdma, memory = require "vfio", require "rdma", require "memory"
            local device, context = vfio.open("0000:01:00.0"), rdma.open("mlx5_0")
            local pd = context:alloc_pd()
            local function register(tag)
              local buf = device:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
              if type(tag) == "table" then buf:set_tph(tag) elseif tag then buf:set_tph { st = tag, ph = "target" } end
              return pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = { "local_write", "remote_write" } }
            end

            """
        guard case .table(let fields, _) = try state.run(Array((setup + script).utf8), name: "@hint.lua") else {
            throw ErrorValue(kind: .script, "no table")
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
              list[#list + 1] = ("%d %d %s %s"):format(pool.st, pool.num_dma_blocks, pool.in_use, pool.max_in_use)
            end
            return { tag = mr:tph().st, pools = table.concat(list, ", ") }
            """)
        #expect(fields["tag"] == .integer(0x42))
        #expect(fields["pools"] == .string("65 16 0 1, 66 16 1 1"))
    }

    /// v11, and a NIC that asks for tags of 16 bits.
    private static func extended(_ table: Int) -> (inout Topology) -> Void {
        {
            $0.tph = .v11
            $0.nics[0].requester = .extended
            $0.nics[0].steeringTable = table
        }
    }

    @Test func aTagThatWasCutIsNotVerified() throws {
        let fields = try run("return register { st_ext = 0x1234, ph = \"target\" }:tph()", Self.extended(0))
        #expect(fields["verified"] == .boolean(false))
        #expect(fields["asked"] == .table(["st_ext": .integer(0x1234), "ph": .string("target")]))
        #expect(fields["enabled"] == .boolean(true) && fields["st"] == .integer(0x34))
        #expect(
            fields["reason"]
                == .string(
                    "asked for st_ext=0x1234 ph=target, and the memory key holds st=0x34: mlx5 keeps 8 bits of a tag in "
                        + "direct mode; use a steering table, or a tag up to 0xff"))
    }

    @Test func aTableKeepsAllBits() throws {
        let fields = try run("return register { st_ext = 0x1234, ph = \"target\" }:tph()", Self.extended(4))
        #expect(fields["verified"] == .boolean(true) && fields["reason"] == nil)
        #expect(fields["st"] == .integer(1))
        let low = try run("return register { st_ext = 0x34, ph = \"target\" }:tph()", Self.extended(0))
        #expect(low["verified"] == .boolean(true) && low["st"] == .integer(0x34))
    }

    @Test func aHintThatDidNotReachTheKeyIsNotVerified() throws {
        // An extended requester is not given the tag of 8 bits.
        let fields = try run("return register(0x42):tph()", Self.extended(0))
        #expect(fields["verified"] == .boolean(false) && fields["enabled"] == .boolean(false))
        #expect(
            fields["reason"] == .string("asked for st=0x42 ph=target, and the memory key holds no hint"))
    }

    @Test func whatWasAskedLaterWasNotAsked() throws {
        let fields = try run(
            """
            local buf = device:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = "64K" } } }
            local mr = pd:reg_dmabuf_mr { dmabuf = buf, length = "64K", access = { "local_write" } }
            buf:set_tph { st = 1, ph = "target" }
            return mr:tph()
            """
        ) { _ in }
        #expect(fields["verified"] == .boolean(true) && fields["enabled"] == .boolean(false) && fields["asked"] == nil)
    }
}
