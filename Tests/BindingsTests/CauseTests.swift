import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// What a refusal's hint says where the arguments decide which of several causes applies.
@Suite struct CauseTests {
    /// The hint of a call that is refused with `errno`.
    private func hint(_ call: String, _ errno: String, on topology: Topology = .standard) throws -> String {
        let (_, state) = simulatedState(TracingKernel(SimKernel(topology)))
        defer { state.close() }
        let script = openObjects + "\nlocal bar = device:mmap(2, { length = 4096 })\n\(call)\n"
        do throws(ErrorValue) { _ = try state.run(Array(script.utf8), name: "@cause.lua") } catch {
            #expect(error.name == errno, "\(call): \(error.message)")
            return error.hint ?? ""
        }
        Issue.record("\(call) was not refused")
        return ""
    }

    struct Row: Sendable {
        let call: String
        var errno = "EINVAL"
        /// What the hint says, and what it rules out by not saying it.
        let says: [String]
        var leavesOut: [String] = []
    }

    private static func register(_ fields: String) -> String { "pd:reg_dmabuf_mr { dmabuf = buf, \(fields) }" }

    static let registrations = [
        Row(
            call: register("length = 4096, iova = 0x64, access = { 'local_write' }"),
            says: ["offset 0x0 and iova 0x64 differ", "iova = 0x0 agrees"], leavesOut: ["route", "outside"]),
        Row(
            call: register("length = 4096, access = { 'remote_write' }"), says: ["remote_write needs local_write too"],
            leavesOut: ["route", "differ"]),
        Row(
            call: register("length = 8192, access = { 'local_write' }"),
            says: ["offset 0x0 and length 0x2000 reach outside the dma-buf, which has 0x1000 bytes"],
            leavesOut: ["route"]
        ),
        Row(call: register("length = 0, access = { 'local_write' }"), says: ["the length is 0"], leavesOut: ["route"]),
        Row(
            call: register("length = 4096, access = { 'local_write', 'on_demand' }"),
            says: ["cannot have on_demand"], leavesOut: ["route"]),
        Row(
            call: register("length = 8192, iova = 1, access = { 'remote_atomic' }"),
            says: ["differ", "remote_atomic needs local_write", "reach outside"]),
        Row(
            call: "pd:mlx5dv_reg_dmabuf_mr { dmabuf = buf, length = 4096, iova = 8, offset = 8, data_direct = true }",
            errno: "EOPNOTSUPP", says: ["data_direct takes an iova of whole pages"]),
        Row(
            call: "pd:mlx5dv_reg_dmabuf_mr { dmabuf = buf, length = 4096, data_direct = true }",
            errno: "EOPNOTSUPP", says: ["pinned, which VFIO's cannot be", "without data_direct"]),
        Row(
            call: "pd:reg_mr { memory = bar, access = { 'local_write' } }", errno: "EFAULT",
            says: ["a mapped BAR (0000:01:00.0 region 2)", "export_dmabuf", "reg_dmabuf_mr"]),
        Row(
            call: "pd:reg_mr { memory = host, access = { 'remote_atomic' } }",
            says: ["remote_atomic needs local_write too"], leavesOut: ["max_mr_size"]),
    ]

    static let mappings = [
        Row(
            call: "objects['vfio container']:map { memory = host, iova = 0 }",
            says: ["no device has joined the container", "vfio.open"]),
        Row(
            call: "objects['vfio container']:unmap(0, 4096)", says: ["no device has joined"]),
        Row(
            call: joined("con:map { memory = host, iova = 0, read = false, write = false }"),
            says: ["neither read nor write"]),
        Row(call: joined("con:map { memory = host, iova = 0x100 }"), says: ["iova 0x100 is not whole pages"]),
        Row(
            call: joined("con:map { memory = host, iova = 1 << 52 }"),
            says: ["IOVA 0x10000000000000 to 0x10000000000fff is not among the usable ones", "VFIO_IOMMU_GET_INFO"]),
        Row(
            call: joined("con:map { memory = host, iova = 0xfee00000 }"),
            says: ["is not among the usable ones", "reserved"]),
        Row(call: joined("con:unmap(0, 0)"), says: ["the length is 0"]),
        Row(call: "objects['vfio container']:dirty_bitmap(0, 4096)", says: ["no device has joined"]),
        Row(
            call: joined("con:dirty_bitmap(0x100, 4096)"), says: ["iova 0x100 is not whole pages"],
            leavesOut: ["the length is 0"]),
        Row(call: joined("con:dirty_bitmap(0, 4096)"), says: ["track_dirty_pages(true)", "inside a mapping"]),
        Row(
            call: joined("local m = memory.alloc(8192) con:map { memory = m, iova = 0 } con:unmap(0, 4096)"),
            says: ["what remains is: the range begins or ends inside a mapping"]),
        Row(
            call: attached("ioas:map { memory = host, iova = 1 << 52 }"),
            says: ["is not among the usable ones", "ioas:iova_ranges()"]),
        Row(
            call: attached("ioas:map { memory = host, iova = 0, read = false, write = false }"),
            says: ["neither read nor write"]),
        Row(
            call: attached("ioas:map_file { dmabuf = buf, offset = 4096, length = 4096, iova = 0 }"),
            says: ["offset 0x1000 and length 0x1000 reach outside the dma-buf, which has 0x1000 bytes"]),
        Row(
            call: attached("ioas:map_file { dmabuf = buf, length = 100, iova = 0 }"),
            says: ["length 0x64 is not whole pages"]),
    ]

    static let queues = [
        Row(
            call: "pd:create_qp { send_cq = cq, max_send_wr = 100000 }",
            says: ["max_send_wr is 100000, and the device allows 8192"], leavesOut: ["max_recv_wr"]),
        Row(
            call: "pd:create_qp { send_cq = cq, max_recv_sge = 33 }",
            says: [
                "what remains is: max_recv_sge is 33, and the device promises 30, the smaller of what its two queues take (max_sge)"
            ]),
        Row(
            call: "pd:create_qp { send_cq = cq, max_inline_data = 4096 }",
            says: ["max_send_wr is within 8192", "what remains is: inline data of 4096 bytes"]),
        Row(call: "nic:create_cq(1 << 23)", says: ["cqe is 8388608, and the device allows 4194303"]),
        Row(call: "pd:create_srq { max_wr = 1 << 20 }", says: ["max_wr is 1048576, and the device allows 32767"]),
    ]

    private static func post(_ fields: String, on qp: String = "objects['queue pair']") -> String {
        "\(qp):post_send { opcode = 'send', mr = objects['memory region'], \(fields) }"
    }

    private static let connected =
        "local a, b = pd:create_qp { send_cq = cq, max_send_wr = 1 }, pd:create_qp { send_cq = cq } a:connect { to = b:endpoint() } "

    static let posts = [
        // libmlx5 answers as for a full queue.
        Row(
            call: post("length = 8"), errno: "ENOMEM",
            says: ["in state RESET", "connected, qp:connect"], leavesOut: ["full", "poll"]),
        Row(
            call: "local ud = pd:create_qp { send_cq = cq, qp_type = 'ud' } "
                + post("length = 8, ah = objects['address handle'], remote_qpn = 1", on: "ud"),
            errno: "ENOMEM", says: ["in state RESET", "activated, qp:to_rts"], leavesOut: ["full"]),
        Row(
            call: connected + "for _ = 1, 10000 do " + post("length = 8, signaled = false", on: "a") + " end",
            errno: "ENOMEM", says: ["full: poll"], leavesOut: ["state"]),
        Row(
            call: connected + post("length = 2000, inline = true", on: "a"), errno: "ENOMEM",
            says: ["2000 bytes do not go inline"], leavesOut: ["full", "state"]),
        Row(
            call: "objects['queue pair']:post_recv { mr = objects['memory region'], length = 8 }",
            says: ["in state RESET", "receive requests once it is connected"], leavesOut: ["pieces"]),
        Row(
            call: "pd:reg_dmabuf_mr { length = 4096, access = { 'local_write' }, dmabuf = device:export_dmabuf { "
                + "region_index = 2, ranges = { { offset = 0, length = 4096 }, { offset = 8192, length = 4096 } } } }",
            errno: "EADDRINUSE", says: ["export one range", "below one switch (--bench sim:below-switch)"]),
    ]

    private static func export(_ region: Int, _ ranges: String) -> String {
        "device:export_dmabuf { region_index = \(region), ranges = { \(ranges) } }"
    }

    static let exports = [
        Row(call: export(2, ""), says: ["no range was given"], leavesOut: ["whole pages"]),
        Row(
            call: export(2, "{ offset = 0, length = 0 }"), says: ["the range (offset 0x0, length 0x0) is empty"],
            leavesOut: ["outside"]),
        Row(
            call: export(2, "{ offset = 0, length = 4096 }, { offset = 1, length = 4096 }"),
            says: ["range 2 (offset 0x1, length 0x1000) is not made of whole pages"], leavesOut: ["outside", "empty"]),
        Row(
            call: export(2, "{ offset = 0, length = '1T' }"), says: ["reaches outside the region, which has 0x"],
            leavesOut: ["whole pages"]),
        Row(call: export(9, "{ offset = 0, length = 4096 }"), errno: "ENODEV", says: ["there is no region 9"]),
        Row(call: export(6, "{ offset = 0, length = 4096 }"), errno: "ENODEV", says: ["region 6 is the ROM"]),
        Row(
            call: export(7, "{ offset = 0, length = 4096 }"), errno: "ENODEV",
            says: ["region 7 is the configuration space"]),
        Row(
            call: "require('bench').inject { operation = 'pwrite', error = 'EIO' } device:store(7, 4, 2, 6)",
            errno: "EIO",
            says: ["refused on purpose (--inject, bench.inject)"], leavesOut: ["decode"]),
        Row(
            call: "require('bench').inject { operation = 'open', error = 'ENOENT' } vfio.open('0000:02:00.0')",
            errno: "ENOENT",
            says: ["refused on purpose"], leavesOut: ["driver"]),
    ]

    static let handles = [
        Row(call: "nic:alloc_dmah { ph = 'requester', cpu_id = 0 }", says: ["cpu_id goes with tph_mem_type"]),
        Row(call: "nic:alloc_dmah { cpu_id = 0, tph_mem_type = 'volatile' }", says: ["needs a processing hint"]),
        Row(
            call: "nic:alloc_dmah { ph = 'requester', cpu_id = 4000, tph_mem_type = 'volatile' }",
            says: ["cpu_id is 4000, and the machine has the CPUs 0-3"], leavesOut: ["_DSM"]),
        Row(
            call: "nic:alloc_dmah { ph = 'requester', cpu_id = 0, tph_mem_type = 'volatile' }",
            says: ["the machine has CPU 0", "what remains is: the firmware tells no steering tags", "_DSM"]),
    ]

    private static func joined(_ call: String) -> String {
        "local con = type1.open() local engine = vfio.open('0000:02:00.0', { container = con }) \(call)"
    }

    private static func attached(_ call: String) -> String {
        "local engine = vfio.open('0000:02:00.0', { iommufd = context }) local ioas = objects.ioas engine:attach(ioas) \(call)"
    }

    @Test(arguments: registrations + mappings + queues + posts + handles + exports)
    func theHintNamesTheCauseThatTheArgumentsShow(_ row: Row) throws {
        let hint = try hint(row.call, row.errno)
        for text in row.says { #expect(hint.contains(text), "\(row.call): \(hint)") }
        for text in row.leavesOut { #expect(!hint.contains(text), "\(row.call): \(hint)") }
    }

    /// What a call that is no kernel's refusal says.
    private func message(_ call: String) throws -> String {
        let (_, state) = simulatedState(TracingKernel(SimKernel(.standard)))
        defer { state.close() }
        do throws(ErrorValue) {
            _ = try state.run(Array((openObjects + call).utf8), name: "@cause.lua")
        } catch {
            return error.message
        }
        return ""
    }

    @Test func whatCannotBeClearedIsNotSaidOfSetting() throws {
        #expect(try message("buf:clear_tph()").contains("dmabuf:clear_tph: TPH ABI v2 cannot clear a hint"))
        #expect(
            try message("buf:set_tph { st_ext = 1, ph = 'target' }").contains("dmabuf:set_tph: TPH ABI v2 has one tag"))
    }

    @Test func refusalsOfAnOperationThatIsNoneAreRefused() throws {
        let text = try message("require('bench').refusals('completion')")
        #expect(text.contains("no operation 'completion' is known"))
        #expect(try message("require('bench').refusals('reg_dmabuf')").contains("did you mean 'ibv_reg_dmabuf_mr'?"))
    }

    @Test func whereTheArgumentsAreInOrderTheRouteRemains() throws {
        var topology = Topology.standard
        topology.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: .none)]
        let hint = try hint(
            Self.register("length = 4096, access = { 'local_write', 'remote_write' }"), "EINVAL", on: topology)
        for text in [
            "agree within the page", "inside the dma-buf's 0x1000 bytes", "what remains is: no peer-to-peer route",
        ] {
            #expect(hint.contains(text), "\(hint)")
        }
    }

    @Test func aDriverThatTakesNoneIsNamed() throws {
        var topology = Topology.standard
        topology.nics[0].odp = false
        let hint = try hint(Self.register("length = 4096, access = { 'local_write' }"), "EOPNOTSUPP", on: topology)
        #expect(hint.contains("mlx5_core, the driver of mlx5_0, registers no dma-bufs, or not this exporter's"))
    }

    @Test func aFunctionThatIsNotHereIsAnsweredWithThoseThatAre() throws {
        let hint = try hint("vfio.open('0000:09:00.0')", "ENOENT")
        #expect(hint == "no such PCI function here; there are 0000:00:00.0, 0000:01:00.0, 0000:02:00.0, 0000:03:00.0")
    }

    @Test func aFunctionOfAnotherDriverIsForPeerlabToBind() throws {
        let hint = try hint("vfio.open('0000:03:00.0')", "ENODEV")
        #expect(hint.contains("bound to the driver mlx5_core") && hint.contains("`peerlab bind 0000:03:00.0`"))
        #expect(!hint.contains("drivers_probe"))
    }

    @Test(arguments: ["unmap", "attach", "full"])
    func whatHadNoHintHasOne(_ what: String) throws {
        switch what {
        case "unmap":
            #expect(try hint(Self.attached("ioas:unmap(0, 4096)"), "ENOENT").contains("nothing is mapped there"))
        case "attach":
            let hint = try hint(
                "local engine = vfio.open('0000:02:00.0') engine:attach(objects.ioas)", "EINVAL")
            #expect(
                hint.contains("in the context that the device is bound to (vfio.open(address, { iommufd = context }))"))
        default:
            let hint = try hint(
                Self.joined(
                    "for n = 0, 65535 do con:map { memory = host, iova = 0x100000000 + n * 8192, length = 4096 } end"),
                "ENOSPC")
            #expect(hint.contains("65535") && hint.contains("dma_entry_limit"))
        }
    }
}
