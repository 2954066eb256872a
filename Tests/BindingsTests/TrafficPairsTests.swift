import Bindings
import LuaKit
import Testing

/// Streams over several queue pairs.
@Suite struct TrafficPairsTests {
    /// A second connected pair `c`, whose completions go to a queue of its own, and a stream over `a` and `c`.
    private static let second = """
        local own = context:create_cq(64)
        local c = pd:create_qp { send_cq = own, max_send_wr = 8 }
        local d = pd:create_qp { send_cq = cq, max_send_wr = 8 }
        c:connect { to = d:endpoint(), timeout = 1, retry_cnt = 0 }
        d:connect { to = c:endpoint() }
        local function both(plan)
          local full = { qps = { a, c }, opcode = "rdma_write", mr = mr, remote_addr = mr:addr() + 32768, rkey = mr:rkey(),
            size = 64, count = 101 }
          for key, value in pairs(plan) do full[key] = value end
          if plan.duration_ms then full.count = nil end
          if plan.sizes then full.size = nil end
          return traffic.stream(full)
        end

        """

    private static func run(_ script: String) throws(ErrorValue) -> [String: LuaValue] {
        try TrafficTests.run(second + script)
    }

    @Test(arguments: [
        "", "signal_every = 1", "batch = 3, signal_every = 4", "depth = 1, signal_every = 1", "warmup = 7",
        "rate = 100000", "latency = true",
    ])
    func eachPairHasItsPart(_ plan: String) throws {
        let fields = try Self.run(
            "local r = both { \(plan) } return { a = r.messages_by_qp[1], c = r.messages_by_qp[2], all = r.messages }")
        #expect(fields == ["a": .integer(51), "c": .integer(50), "all": .integer(101)])
    }

    @Test func messagesLieInTheirPlacesWhicheverPairSentThem() throws {
        let fields = try Self.run(
            """
            local sizes = { 8, 100, "1K" }
            local all = { memory = host, sizes = sizes, slots = 9, seed = 3 }
            traffic.stamp(all)
            local r = both { sizes = sizes, slots = 9, count = 9 }
            all.offset = 32768
            return { bytes = r.bytes, good = traffic.check(all) == nil, one = both({ count = 1 }).messages_by_qp[2] }
            """)
        #expect(fields == ["bytes": .integer(3 * (8 + 100 + 1024)), "good": .boolean(true), "one": .integer(0)])
    }

    @Test func latenciesAreOfAllPairs() throws {
        let fields = try Self.run(
            "local r, histogram = both { latency = true } return { count = histogram:summary().count }")
        #expect(fields["count"] == .integer(101))
    }

    @Test func addressesNearTheEndOfTheSpaceAreRefusedByTheNIC() throws {
        let fields = try Self.run(
            "return { status = both({ remote_addr = -8, slots = 4, count = 8 }).failure.status }")
        #expect(fields["status"] == .string("REM_ACCESS_ERR"))
    }

    @Test func endsAfterItsTime() throws {
        let fields = try Self.run(
            """
            local r = both { duration_ms = 20, signal_every = 3 }
            local last = both { count = 4 }
            return { some = r.messages > 0, sum = r.messages == r.messages_by_qp[1] + r.messages_by_qp[2], again = last.messages }
            """)
        #expect(fields == ["some": .boolean(true), "sum": .boolean(true), "again": .integer(4)])
    }

    @Test func onePairsFailureEndsTheStream() throws {
        let fields = try Self.run(
            """
            d:close()
            local r = both { count = 1000000 }
            return { failure = r.failure.status, id = r.failure.wr_id, c = r.messages_by_qp[2], ended = r.messages_by_qp[1] < 500000 }
            """)
        #expect(fields["failure"] == .string("RETRY_EXC_ERR"))
        #expect(fields["id"] == .integer(1))
        #expect(fields["c"] == .integer(0))
        #expect(fields["ended"] == .boolean(true))
    }

    @Test(arguments: [
        (
            "traffic.stream { qps = { a, a }, opcode = 'rdma_write', mr = mr, remote_addr = 0, rkey = 0 }",
            "it is twice among the queue pairs"
        ),
        ("both { qp = a }", "give qp or qps, one of them"),
        ("traffic.stream { opcode = 'rdma_write', mr = mr }", "give qp or qps, one of them"),
        ("both { depth = 9 }", "more than the 8 places"),
        ("both { qps = {} }", "qps"),
        (
            "local small, some = context:create_cq(4), {} "
                + "for i = 1, 4 do some[i] = pd:create_qp { send_cq = small, max_send_wr = 8 } end "
                + "both { qps = some, signal_every = 1 }", "up to 32 completions may wait in a completion queue of"
        ),
        (
            "c:post_send { opcode = 'rdma_write', mr = mr, length = 8, wr_id = 77, "
                + "remote_addr = mr:addr(), rkey = mr:rkey() } both {}",
            "taken was that of wr_id 77, queue pair"
        ),
    ])
    func mistakesAreTold(_ script: String, _ message: String) {
        let error = #expect(throws: ErrorValue.self) { try Self.run(script) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
}
