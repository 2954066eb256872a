import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// Datagrams, unreliable connections, shared receive queues, completion channels: what scripts make of queues.
@Suite struct QueueKindTests {
    /// The second message, which tells that all are done, would have its turn after twenty seconds.
    @Test func aSlowRateKeepsNoStreamFromEnding() throws {
        let fields = try TrafficTests.run(
            "local r = stream { duration_ms = 1, rate = 0.05, signal_every = 8 } "
                + "return { messages = r.messages, early = r.elapsed_ns < 20000000000 }")
        #expect(fields["messages"] == .integer(2) && fields["early"] == .boolean(true))
    }

    @Test func aDatagramComesWithItsSenderOrNotAtAll() throws {
        let fields = try TrafficTests.run(
            """
            local d, e = pd:create_qp { send_cq = cq, qp_type = "ud" }, pd:create_qp { send_cq = cq, qp_type = "ud" }
            d:to_rts {}
            e:to_rts { qkey = 7 }
            local ah = pd:create_ah { to = e:endpoint() }
            local function send(with)
              with.opcode, with.mr, with.length, with.ah = "send", mr, 64, ah
              d:post_send(with)
              return cq:wait(1)[1].status
            end
            e:post_recv { mr = mr, offset = 4096, length = 256, wr_id = 5 }
            local lost = send { remote_qpn = e:endpoint().qp_num, remote_qkey = 8 }
            local nowhere = send { remote_qpn = 0xfffff0, remote_qkey = 7 }
            local before = #cq:poll(8)
            d:post_send { opcode = "send", mr = mr, length = 64, ah = ah, remote_qpn = e:endpoint().qp_num, remote_qkey = 7,
              signaled = false }
            local got = cq:wait(1)[1]
            local refused = select(2, pcall(d.post_send, d, { opcode = "send", mr = mr, length = 8 }))
            return { lost = lost, nowhere = nowhere, before = before, bytes = got.byte_len,
              sender = got.src_qp == d:endpoint().qp_num, hint = refused.hint }
            """)
        #expect(fields["lost"] == .string("SUCCESS") && fields["nowhere"] == .string("SUCCESS"))
        #expect(fields["before"] == .integer(0))
        #expect(fields["bytes"] == .integer(104))
        #expect(fields["sender"] == .boolean(true))
        #expect(fields["hint"] == .string("a datagram needs ah, remote_qpn and remote_qkey"))
    }

    @Test func anUnreliableConnectionLosesWhatNobodyTakesAndLives() throws {
        let fields = try TrafficTests.run(
            """
            local c, d = pd:create_qp { send_cq = cq, qp_type = "uc" }, pd:create_qp { send_cq = cq, qp_type = "uc" }
            c:connect { to = d:endpoint() }
            d:connect { to = c:endpoint() }
            c:post_send { opcode = "send", mr = mr, length = 8 }
            local lost = cq:wait(1)[1].status
            c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr() + 64, rkey = mr:rkey() }
            local after = cq:wait(1)[1].status
            c:post_send { opcode = "rdma_read", mr = mr, length = 8, remote_addr = mr:addr() + 64, rkey = mr:rkey() }
            return { lost = lost, after = after, read = cq:wait(1)[1].status }
            """)
        #expect(fields["lost"] == .string("SUCCESS") && fields["after"] == .string("SUCCESS"))
        #expect(fields["read"] == .string("LOC_QP_OP_ERR"))
    }

    /// No provider that is modelled promises an order, and one that is gone has none.
    @Test func aQueuePairTellsWhetherDataComesInOrder() throws {
        let fields = try TrafficTests.run(
            """
            local c = pd:create_qp { send_cq = cq }
            local write, read = c:query_data_in_order("rdma_write"), c:query_data_in_order("rdma_read")
            local known = pcall(c.query_data_in_order, c, "bind")
            c:close()
            return { write = write, read = read, known = known, closed = pcall(c.query_data_in_order, c, "rdma_write") }
            """)
        #expect(fields["write"] == .boolean(false) && fields["read"] == .boolean(false))
        #expect(fields["known"] == .boolean(false) && fields["closed"] == .boolean(false))
    }

    @Test func queuePairsShareReceivesAndASendWaitsForOne() throws {
        let fields = try TrafficTests.run(
            """
            local srq = pd:create_srq { max_wr = 2 }
            local c = pd:create_qp { send_cq = cq }
            local d = pd:create_qp { send_cq = cq, srq = srq }
            c:connect { to = d:endpoint() }
            d:connect { to = c:endpoint() }
            c:post_send { opcode = "send", mr = mr, length = 8, wr_id = 1 }
            local early = #cq:poll(4)
            srq:post_recv { mr = mr, offset = 4096, length = 64, wr_id = 2 }
            local list = cq:wait(2)
            local busy = select(2, pcall(srq.close, srq)).name
            local full = 0
            while pcall(srq.post_recv, srq, { mr = mr, length = 8 }) do full = full + 1 end
            return { early = early, first = list[1].wr_id, second = list[2].wr_id, busy = busy, full = full }
            """)
        #expect(fields["early"] == .integer(0))
        #expect(fields["first"] == .integer(2) && fields["second"] == .integer(1))
        #expect(fields["busy"] == .string("EBUSY"))
        // libmlx5 keeps one of a power of two free: of two there are three.
        #expect(fields["full"] == .integer(3))
    }

    @Test func aWaitThatEndsTooSoonLosesNothing() throws {
        let fields = try TrafficTests.run(
            """
            a:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr() + 64, rkey = mr:rkey(), wr_id = 9 }
            local late = select(2, pcall(cq.wait, cq, 2, 5)).name
            local list = cq:poll(4)
            return { late = late, count = #list, id = list[1].wr_id }
            """)
        #expect(fields["late"] == .string("ETIMEDOUT"))
        #expect(fields["count"] == .integer(1) && fields["id"] == .integer(9))
    }

    @Test func aWaitHearsTheInterrupt() {
        do throws(ErrorValue) {
            _ = try TrafficTests.run("cq:wait(1, 3600000) return {}", interrupting: true)
            Issue.record("it ended")
        } catch {
            #expect(error.kind == .interrupt)
        }
    }

    @Test func moderationMakesFewerEvents() throws {
        let fields = try TrafficTests.run(
            """
            local events = context:create_cq(16, { events = true })
            local c, d = pd:create_qp { send_cq = events }, pd:create_qp { send_cq = cq }
            c:connect { to = d:endpoint() }
            d:connect { to = c:endpoint() }
            events:modify { cq_count = 3, cq_period = 0 }
            events:req_notify()
            local before = 0
            for i = 1, 3 do
              if pcall(events.wait_event, events, 1) then break end
              before = i
              c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() }
            end
            events:wait_event(1)
            local refused = select(2, pcall(cq.req_notify, cq))
            return { before = before, hint = refused.hint }
            """)
        #expect(fields["before"] == .integer(3))
        #expect(fields["hint"] == .string("it has no events: create_cq(cqe, { events = true })"))
    }

    @Test func whatAnObjectUsesLivesAsLongAsIt() throws {
        let fields = try TrafficTests.run(
            """
            local far = pd:create_qp {
              send_cq = context:create_cq(8), recv_cq = context:create_cq(8), srq = pd:create_srq {},
            }
            local region = pd:reg_mr { memory = memory.alloc(4096), access = { "local_write", "remote_write" } }
            collectgarbage() collectgarbage()
            far:connect { to = b:endpoint() }
            a:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = region:addr(), rkey = region:rkey() }
            local status = cq:wait(1)[1].status
            region, far = nil, nil
            collectgarbage() collectgarbage()
            return { status = status }
            """)
        #expect(fields["status"] == .string("SUCCESS"))
    }

    @Test func connectionsOfDifferentKindsDoNotTalk() throws {
        let fields = try TrafficTests.run(
            """
            local c, d = pd:create_qp { send_cq = cq }, pd:create_qp { send_cq = cq, qp_type = "uc" }
            c:connect { to = d:endpoint(), timeout = 1, retry_cnt = 0 }
            d:connect { to = c:endpoint() }
            c:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() }
            return { status = cq:wait(1)[1].status }
            """)
        #expect(fields["status"] == .string("RETRY_EXC_ERR"))
    }

    @Test(arguments: [
        ("a:post_send { opcode = 'send', mr = mr, length = 200, inline = true }", "(create_qp, max_inline_data = 200)"),
        ("pd:create_qp { send_cq = rdma.open('mlx5_0'):create_cq(4) }", "its queues must be of the context"),
        (
            "pd:create_qp({ send_cq = cq, srq = pd:create_srq {} }):post_recv { mr = mr }",
            "it takes its receive requests"
        ),
        ("a:connect { to = { qp_num = 1, gid = 'x' } }", "a GID has 16 bytes"),
    ])
    func whatIsWrongIsSaid(_ call: String, _ message: String) throws {
        let fields = try TrafficTests.run("return { message = tostring(select(2, pcall(function() \(call) end))) }")
        guard case .string(let text)? = fields["message"] else { return }
        #expect(text.contains(message), "\(text)")
    }

    @Test func hugePagesMakeWholeOnesAndAreRegistered() throws {
        let fields = try TrafficTests.run(
            """
            local huge = memory.alloc(5000, "2M")
            local region = pd:reg_mr { memory = huge }
            return { length = huge:length(), region = region:length() }
            """)
        #expect(fields["length"] == .integer(2 << 20) && fields["region"] == .integer(2 << 20))
    }

    @Test func aQueueWhoseChannelStaysIsNotUsedAgain() throws {
        let fields = try TrafficTests.run(
            """
            local events, used = context:create_cq(8, { events = true }), false
            require("bench").inject { operation = "ibv_destroy_comp_channel", error = "EIO" }
            local first = select(2, pcall(events.close, events)).name
            local poll = select(2, pcall(events.poll, events)).hint
            local qp = select(2, pcall(pd.create_qp, pd, { send_cq = events })).name
            pcall(events.close, events)
            return { first = first, poll = poll, qp = qp }
            """)
        #expect(fields["first"] == .string("EIO"))
        #expect(fields["poll"] == .string("it is destroyed; close it again, for its channel"))
        #expect(fields["qp"] == .string("EINVAL"))
    }
}
