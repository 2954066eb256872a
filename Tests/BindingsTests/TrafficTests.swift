import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// Streams over the simulated NIC, as scripts see them.
@Suite struct TrafficTests {
    /// Two connected queue pairs `a` and `b` with eight places each, and a region `mr` of 64 KiB that both may use.
    static let setup = """
        local rdma, memory, traffic = require "rdma", require "memory", require "traffic"
        local context = rdma.open("mlx5_0")
        local pd, cq, host = context:alloc_pd(), context:create_cq(64), memory.alloc("64K")
        local mr = pd:reg_mr { memory = host, access = { "local_write", "remote_write", "remote_read", "remote_atomic" } }
        local a = pd:create_qp { send_cq = cq, max_send_wr = 8, max_inline_data = 64 }
        local b = pd:create_qp { send_cq = cq, max_send_wr = 8 }
        a:connect { to = b:endpoint(), timeout = 1, retry_cnt = 0 }
        b:connect { to = a:endpoint() }
        local function stream(plan)
          local full = { qp = a, opcode = "rdma_write", mr = mr, remote_addr = mr:addr() + 32768, rkey = mr:rkey(), size = 64,
            count = 100, depth = 8 }
          for key, value in pairs(plan) do full[key] = value end
          if plan.duration_ms then full.count = nil end
          if plan.sizes then full.size = nil end
          return traffic.stream(full)
        end

        """

    /// Runs a script; `interrupting` as if Ctrl-C were pressed when it first waits for a completion.
    static func run(_ script: String, interrupting: Bool = false) throws(ErrorValue) -> [String: LuaValue] {
        try runWithWarnings(script, interrupting: interrupting).fields
    }

    static func runWithWarnings(
        _ script: String, interrupting: Bool = false
    ) throws(ErrorValue) -> (fields: [String: LuaValue], warnings: [String]) {
        let kernel = SimKernel(.standard)
        let (host, state) = simulatedState(TracingKernel(kernel))
        defer { state.close() }
        if interrupting { kernel.whenIdle { state.interrupt() } }
        guard case .table(let fields, _) = try state.run(Array((setup + script).utf8), name: "@traffic.lua") else {
            throw ErrorValue(kind: .script, "no table")
        }
        return (fields, host.warnings)
    }

    @Test(arguments: [
        "batch = 1, signal_every = 1", "batch = 3, signal_every = 1", "batch = 8, signal_every = 1", "signal_every = 8",
        "batch = 3, signal_every = 6", "depth = 1", "inline = true", "warmup = 7", "opcode = 'rdma_read'",
        "opcode = 'atomic_fetch_and_add', size = 8", "count = 1", "slots = 5", "size = 0",
    ])
    func everyMessageIsCountedOnce(_ plan: String) throws {
        let fields = try Self.run(
            "local r = stream { \(plan) } return { messages = r.messages, bad = next(r.failures) }")
        #expect(fields["messages"] == .integer(plan.hasPrefix("count") ? 1 : 100))
        #expect(fields["bad"] == nil)
    }

    @Test func messagesLieInTheirPlaces() throws {
        let fields = try Self.run(
            """
            for i = 0, 3 do host:fill(64 * i, 64, i + 1) end
            stream { slots = 4, count = 4 }
            local found = ""
            for i = 0, 4 do found = found .. host:read(32768 + 64 * i, 1):byte() .. host:read(32768 + 64 * i + 63, 1):byte() end
            return { found = found }
            """)
        #expect(fields["found"] == .string("1122334400"))
    }

    @Test func severalSizesAreTakenInTurn() throws {
        let fields = try Self.run(
            """
            local sizes = { 8, 100, "1K" }
            local all = { memory = host, sizes = sizes, slots = 6, seed = 3 }
            traffic.stamp(all)
            local r = stream { sizes = sizes, slots = 6, count = 7 }
            all.offset = 32768
            local good = traffic.check(all) == nil
            host:fill(32768 + 1024 * 4 + 99, 1, 0)
            local wrong = traffic.check(all)
            local same = host:read(32768 + 8, 1):byte()
            local ok, err = pcall(stream, { sizes = sizes, slots = 4 })
            return { bytes = r.bytes, good = good, message = wrong.message, byte = wrong.byte, same = same,
              refused = tostring(err) }
            """)
        #expect(fields["bytes"] == .integer(2 * (8 + 100 + 1024) + 8))
        #expect(fields["good"] == .boolean(true))
        #expect(fields["message"] == .integer(4) && fields["byte"] == .integer(99))
        #expect(fields["same"] == .integer(0), "behind a short message nothing is written")
        #expect("\(fields["refused"] ?? .none)".contains("no multiple of 3 sizes"))
    }

    @Test func aRequestMayHaveSeveralPieces() throws {
        let fields = try Self.run(
            """
            local c = pd:create_qp { send_cq = cq, max_send_wr = 8, max_send_sge = 4 }
            local d = pd:create_qp { send_cq = cq }
            c:connect { to = d:endpoint() }
            d:connect { to = c:endpoint() }
            local sizes = { 8, 101, "1K" }
            local all = { memory = host, sizes = sizes, slots = 6, seed = 3 }
            traffic.stamp(all)
            local r = stream { qp = c, sizes = sizes, slots = 6, count = 12, pieces = 4, batch = 2, signal_every = 2 }
            all.offset = 32768
            local function refused(plan) return tostring(select(2, pcall(stream, plan))) end
            return { bytes = r.bytes, wrong = traffic.check(all), messages = r.messages, most = refused { qp = c, pieces = 5 },
              one = refused { pieces = 2 }, small = refused { qp = c, size = 3, pieces = 4 },
              atomic = refused { qp = c, opcode = "atomic_fetch_and_add", size = 8, pieces = 2 } }
            """)
        #expect(fields["messages"] == .integer(12) && fields["bytes"] == .integer(4 * (8 + 101 + 1024)))
        #expect(fields["wrong"] == nil, "every byte of every piece is in its place")
        #expect("\(fields["most"] ?? .none)".contains("max_send_sge = 5"))
        #expect("\(fields["one"] ?? .none)".contains("max_send_sge = 2"))
        #expect("\(fields["small"] ?? .none)".contains("a message of 3 bytes"))
        #expect("\(fields["atomic"] ?? .none)".contains("an atomic has one piece"))
    }

    /// `left`: of a stream of 20 messages whose fifth is ended, how many came to pass.
    @Test(arguments: ["RETRY_EXC_ERR", "RNR_RETRY_EXC_ERR", "REM_ACCESS_ERR", "LOC_PROT_ERR", "FATAL_ERR"])
    func aCompletionMayFailOnPurpose(_ status: String) throws {
        let fields = try Self.run(
            """
            local bench = require "bench"
            bench.inject { completion = "\(status)", when = "5" }
            local r = stream { count = 20, signal_every = 1, depth = 1 }
            return { good = r.messages, status = r.failure.status, failed = r.failures["\(status)"] }
            """)
        #expect(fields["good"] == .integer(4) && fields["status"] == .string(status))
        #expect(fields["failed"] == .integer(1))
    }

    @Test func triesThatAreLostTakeTimeAndEndOnlyWhereTheyAreTooMany() throws {
        let fields = try Self.run(
            """
            local bench, sys = require "bench", require "sys"
            local function pair(with)
              local c, d = pd:create_qp { send_cq = cq }, pd:create_qp { send_cq = cq }
              with.to = d:endpoint()
              c:connect(with)
              d:connect { to = c:endpoint() }
              return c
            end
            local function write(c, fault)
              if fault then bench.inject(fault) end
              local start = sys.now()
              c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() }
              local status = cq:wait()[1].status
              bench.clear_faults()
              return status, sys.now() - start
            end
            local plain = select(2, write(pair { timeout = 10, retry_cnt = 3 }))
            local again, took = write(pair { timeout = 10, retry_cnt = 3 }, { lost = 3 })
            local ended = write(pair { timeout = 10, retry_cnt = 3 }, { lost = 4 })
            local rnr, waited = write(pair { rnr_retry = 2 }, { rnr = 2 })
            local never = write(pair { rnr_retry = 2 }, { rnr = 3 })
            local patient = write(pair { rnr_retry = 7 }, { rnr = 3 })
            local both = tostring(select(2, pcall(bench.inject, { lost = 1, rate = 0.5 })))
            return { again = again, took = took - plain, ended = ended, rnr = rnr, waited = waited - plain, never = never,
              patient = patient, both = both }
            """)
        #expect(fields["again"] == .string("SUCCESS") && fields["ended"] == .string("RETRY_EXC_ERR"))
        #expect(fields["rnr"] == .string("SUCCESS") && fields["never"] == .string("RNR_RETRY_EXC_ERR"))
        #expect(fields["patient"] == .string("SUCCESS"), "7 is without end")
        guard case .integer(let took)? = fields["took"], case .integer(let waited)? = fields["waited"] else {
            return #expect(Bool(false))
        }
        #expect(took > 12_500_000, "three timeouts of 4.096 us * 2^10")
        #expect(waited > 1_270_000, "two RNR timers of 0.64 ms")
        #expect("\(fields["both"] ?? .none)".contains("one of them at a time"))
    }

    @Test func aNICsOwnMemoryIsReachedThroughItsRegionWithoutARequest() throws {
        let fields = try Self.run(
            """
            local bench = require "bench"
            local dm <close> = context:alloc_dm(4096)
            dm:write(64, "in the NIC")
            local own <close> = pd:reg_dm_mr { dm = dm, access = { "local_write", "remote_write", "remote_read" } }
            bench.clear_tlps()
            a:post_send { opcode = "rdma_read", mr = mr, length = 10, remote_addr = own:addr() + 64, rkey = own:rkey() }
            cq:wait()
            local tlps = #bench.tlps()
            a:post_send { opcode = "rdma_write", mr = mr, length = 10, remote_addr = 128, rkey = own:rkey() }
            cq:wait()
            local busy, outside = select(2, pcall(dm.close, dm)), select(2, pcall(dm.read, dm, 4090, 8))
            local more = select(2, pcall(context.alloc_dm, context, 131072))
            local wide = select(2, pcall(pd.reg_dm_mr, pd, { dm = dm, offset = 8, length = 4096 }))
            return { read = host:read(0, 10), back = dm:read(128, 10), tlps = tlps, busy = busy.name,
              outside = outside.name, more = more.name, wide = wide.name, start = own:addr() }
            """)
        #expect(fields["read"] == .string("in the NIC") && fields["back"] == .string("in the NIC"))
        #expect(fields["tlps"] == .integer(1), "the host's memory is written, the NIC's is not asked for")
        #expect(fields["busy"] == .string("EBUSY") && fields["outside"] == .string("EFAULT"))
        #expect(fields["more"] == .string("ENOMEM") && fields["wide"] == .string("EINVAL"))
        #expect(fields["start"] == .integer(0))
    }

    @Test func moderationMakesAnEventOfFewerAfterItsPeriod() throws {
        let fields = try Self.run(
            """
            local events = context:create_cq(64, { events = true })
            local c, d = pd:create_qp { send_cq = events }, pd:create_qp { send_cq = cq }
            c:connect { to = d:endpoint() }
            d:connect { to = c:endpoint() }
            local function write() c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() } end
            local function waits(ms) return (pcall(events.wait_event, events, ms)) end
            events:modify { cq_count = 4, cq_period = 3000 }
            events:req_notify()
            write()
            local early, late = waits(1), waits(5)
            events:modify { cq_count = 2, cq_period = 0 }
            events:req_notify()
            write()
            local forever = waits(50)
            write()
            return { early = early, late = late, forever = forever, second = waits(1) }
            """)
        #expect(fields["early"] == .boolean(false) && fields["late"] == .boolean(true))
        #expect(fields["forever"] == .boolean(false) && fields["second"] == .boolean(true))
    }

    @Test func anInterruptedStreamWaitsForNoLostPeer() {
        let error = #expect(throws: ErrorValue.self) {
            _ = try Self.run("stream { opcode = 'send', count = 1, timeout_ms = 3600000 }", interrupting: true)
        }
        #expect(error?.kind == .interrupt)
    }

    @Test(arguments: [
        "host:close() a:post_send { wr_id = 1, opcode = 'rdma_write', mr = mr, inline = true, length = 8, remote_addr = mr:addr(), "
            + "rkey = mr:rkey() }",
        "host:close() stream { inline = true, count = 1, size = 8 }",
    ])
    func inlineBytesAreNotReadFromMemoryThatWasClosed(_ script: String) {
        let error = #expect(throws: ErrorValue.self) { _ = try Self.run(script) }
        #expect(error?.name == "EFAULT")
        #expect(error?.line.contains("close the memory last") == true)
    }

    @Test func aFullLogOfRequestsCanBeEmptied() throws {
        let fields = try Self.run(
            """
            local bench = require "bench"
            stream { count = 33000, depth = 8 }
            local whole = pcall(bench.tlps)
            bench.clear_tlps()
            return { whole = whole, count = #bench.tlps() }
            """)
        #expect(fields["whole"] == .boolean(false))
        #expect(fields["count"] == .integer(0))
    }

    @Test func aDurationEndsWithEveryMessageAccountedFor() throws {
        let fields = try Self.run(
            """
            local r = stream { duration_ms = 20, batch = 3, signal_every = 6 }
            return { messages = r.messages, elapsed = r.elapsed_ns, left = #cq:poll() }
            """)
        guard case .integer(let messages)? = fields["messages"], case .integer(let elapsed)? = fields["elapsed"] else {
            Issue.record("no numbers")
            return
        }
        #expect(messages > 0 && elapsed >= 20_000_000)
        #expect(fields["left"] == .integer(0))
    }

    @Test func latenciesAreOnePerMessage() throws {
        let fields = try Self.run(
            """
            local r, latency = stream { latency = true }
            local s = latency:summary()
            return { count = s.count, ordered = s.min_ns <= s.p50_ns and s.p50_ns <= s.p99_ns and s.p99_ns <= s.max_ns,
              same = latency:quantile(0.5) == s.p50_ns, wrong = pcall(latency.quantile, latency, 1.5) }
            """)
        #expect(fields["count"] == .integer(100))
        #expect(fields["ordered"] == .boolean(true) && fields["same"] == .boolean(true))
        #expect(fields["wrong"] == .boolean(false))
    }

    @Test func ofNoLatenciesThereIsNoQuantile() throws {
        let fields = try Self.run(
            """
            local r, latency = stream { latency = true, rkey = 1 }
            local s = latency:summary()
            local ok, err = pcall(latency.quantile, latency, 0.5)
            return { messages = r.messages, count = s.count, none = s.p50_ns == nil and s.mean_ns == nil and s.max_ns == nil,
              ok = ok, kind = err.kind }
            """)
        #expect(fields["messages"] == .integer(0) && fields["count"] == .integer(0))
        #expect(fields["none"] == .boolean(true))
        #expect(fields["ok"] == .boolean(false) && fields["kind"] == .string("argument"))
    }

    /// One message in ten nanoseconds is more than any machine posts; and the first message of all is never late.
    @Test(arguments: [("count = 300, rate = 1e8", true), ("count = 1, rate = 1", false)])
    func aRateThatIsMissedIsSaidAndCountedFromWhenMessagesWereDue(_ plan: String, _ isMissed: Bool) throws {
        let (fields, warnings) = try Self.runWithWarnings(
            """
            local r, post, due = stream { \(plan), latency = true, depth = 1 }
            local p, d = post:summary(), due:summary()
            return { asked = r.rate_asked, reached = r.rate_reached, late = r.late, post = p.origin, due = d.origin,
              counts = p.count == d.count and p.count == r.messages, longer = d.min_ns >= p.min_ns and d.max_ns > p.max_ns,
              waited = d.p99_ns > 2 * p.p50_ns }
            """)
        #expect(fields["post"] == .string("post") && fields["due"] == .string("due"))
        #expect(fields["counts"] == .boolean(true))
        guard case .number(let asked)? = fields["asked"], case .number(let reached)? = fields["reached"] else {
            Issue.record("no rates")
            return
        }
        #expect(reached <= asked && (reached < 0.99 * asked) == isMissed)
        #expect(fields["late"] != .integer(0) || !isMissed)
        if isMissed { #expect(fields["longer"] == .boolean(true) && fields["waited"] == .boolean(true)) }
        #expect(warnings.count == (isMissed ? 1 : 0))
        #expect(warnings.allSatisfy { $0.contains("was to post 100000000 messages a second and posted ") })
    }

    @Test func whatIsNotPacedHasOneHistogramAndNoRate() throws {
        let fields = try Self.run(
            """
            local list = { stream { latency = true } }
            return { count = #list, from = list[2]:summary().origin == nil, rate = list[1].rate_asked == nil }
            """)
        #expect(fields == ["count": .integer(2), "from": .boolean(true), "rate": .boolean(true)])
    }

    @Test func aRateOfAnySizeIsNoTrap() throws {
        let fields = try Self.run(
            "return { fast = stream { rate = 1e300 }.messages, slow = stream { rate = 1e-3, count = 1 }.messages }")
        #expect(fields["fast"] == .integer(100) && fields["slow"] == .integer(1))
    }

    @Test func aRefusedMessageEndsTheStreamAndIsNamed() throws {
        let fields = try Self.run(
            """
            local r = stream { rkey = 1 }
            return { messages = r.messages, first = r.failure.status, refused = r.failures.REM_ACCESS_ERR,
              flushed = r.failures.WR_FLUSH_ERR, id = r.failure.wr_id }
            """)
        #expect(fields["messages"] == .integer(0))
        #expect(fields["first"] == .string("REM_ACCESS_ERR") && fields["id"] == .integer(0))
        #expect(fields["refused"] == .integer(1))
    }

    @Test func aPeerThatIsGoneIsAnErrorOfTheConnection() throws {
        let fields = try Self.run("b:close() local r = stream {} return { first = r.failure.status }")
        #expect(fields["first"] == .string("RETRY_EXC_ERR"))
    }

    @Test func withoutATimeoutAPeerThatIsGoneIsWaitedFor() throws {
        let fields = try Self.run(
            """
            local c, d = pd:create_qp { send_cq = cq }, pd:create_qp { send_cq = cq }
            c:connect { to = d:endpoint(), timeout = 0 }
            c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() }
            local waiting = select(2, pcall(cq.wait, cq, 1, 5)).name
            return { waiting = waiting }
            """)
        #expect(fields["waiting"] == .string("ETIMEDOUT"))
    }

    @Test func whatNobodyReceivesIsALostPeer() throws {
        let fields = try Self.run(
            """
            local ok, err = pcall(stream, { opcode = "send", timeout_ms = 1 })
            return { name = err.name, hint = err.hint }
            """)
        #expect(fields["name"] == .string("ETIMEDOUT"))
    }

    @Test(arguments: [
        ("batch = 9", "batch 9 is more than depth 8"), ("signal_every = 9", "signal_every 9 is more than"),
        ("opcode = 'atomic_fetch_and_add'", "an atomic has 8 bytes, not 64"),
        ("rate = -1", "a rate is messages per second"),
        ("depth = 13, count = 100", "depth 13 is more than the 12 places of the send queue"),
    ])
    func whatCannotWorkIsRefused(_ plan: String, _ message: String) throws {
        let fields = try Self.run(
            "local ok, err = pcall(stream, { \(plan), signal_every = \(plan.contains("signal") ? "9" : "4") }) "
                + "return { ok = ok, message = tostring(err) }")
        #expect(fields["ok"] == .boolean(false))
        guard case .string(let text)? = fields["message"] else { return }
        #expect(text.contains(message))
    }

    @Test(arguments: [1, 7, 8, 9, 64, 4096, (1 << 20) + 9])
    func aStampIsFoundWhereItWasPutAndNowhereElse(_ size: Int) throws {
        let fields = try Self.run(
            """
            local host = memory.alloc("4M")
            local w = { memory = host, offset = 3, size = \(size), slots = 3, first_message = 10, seed = 4 }
            traffic.stamp(w)
            local repeats = \(size) > 1 << 20 and host:read(3, 9) == host:read(3 + (1 << 20), 9)
            local clean = traffic.check(w) == nil
            w.first_message = 11
            local shifted = traffic.check(w)
            w.first_message, w.seed = 10, 5
            local reseeded = traffic.check(w)
            w.seed = 4
            local place = 3 + 2 * \(size) + \(size) - 1
            local byte = host:read(place, 1):byte()
            host:write(place, string.char(byte ~ 0x40))
            local wrong = traffic.check(w)
            return { clean = clean, repeats = repeats, moved = shifted ~= nil and reseeded ~= nil, message = wrong.message, byte = wrong.byte,
              offset = wrong.offset - place, same = wrong.expected == byte and wrong.found == byte ~ 0x40 }
            """)
        #expect(fields["clean"] == .boolean(true) && fields["moved"] == .boolean(true))
        #expect(fields["message"] == .integer(12) && fields["byte"] == .integer(Int64(size - 1)))
        #expect(fields["offset"] == .integer(0) && fields["same"] == .boolean(true))
        #expect(fields["repeats"] == .boolean(false))
    }

    @Test func completionsOfOthersAreNotMistakenForItsOwn() throws {
        let fields = try Self.run(
            """
            b:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey(), wr_id = 3 }
            local ok, err = pcall(stream, {})
            a:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey(), wr_id = 1000 }
            local again, why = pcall(stream, {})
            return { name = err.name, again = why.name }
            """)
        #expect(fields["name"] == .string("EPROTO") && fields["again"] == .string("EPROTO"))
    }

    @Test func messagesBeforeTheFirstBadOneCount() throws {
        let fields = try Self.run(
            """
            local r = stream { slots = 512, size = 64, remote_addr = mr:addr() + 65536 - 64 * 20, count = 50, signal_every = 8 }
            return { messages = r.messages, id = r.failure.wr_id }
            """)
        #expect(fields["messages"] == .integer(20) && fields["id"] == .integer(20))
    }

    @Test func aSlowRateIsNoLostPeer() throws {
        let fields = try Self.run("return { messages = stream { count = 3, rate = 100, timeout_ms = 1 }.messages }")
        #expect(fields["messages"] == .integer(3))
    }
}
