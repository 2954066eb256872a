import LuaKit
import Runner
import SimKernel
import TestBench
import Testing

/// Scenarios whose cases several roles run together.
@Suite struct RoleTests {
    static func outcome(_ cases: String, roles: String = "\"target\", \"initiator\"") throws -> Outcome {
        try Outcome("return { roles = { \(roles) }, cases = { \(cases) } }")
    }

    @Test func rolesMeetAtBarriersAndExchangeValues() throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              local got = t:exchange { from = t:role(), bytes = "\\xff\\0", list = { 1, 2.5, true } }
              t:barrier()
              t:log(t:peers()[1] .. got.from .. got.bytes:byte(1) .. #got.list .. tostring(got.list[3]))
            end
            """)
        #expect(outcome.result?.verdict == .pass)
        #expect(
            outcome.result?.cases.first?.log == [
                "[target] initiatorinitiator2553true", "[initiator] targettarget2553true",
            ])
    }

    @Test func whatEveryRoleFailsOfIsTold() throws {
        let outcome = try Self.outcome(
            """
            { "both", function(t) error(t:role() .. " broke", 0) end },
            { "one", function(t) if t:role() == "target" then error("alone", 0) else t:barrier() end end },
            { "closing", function(t)
              local x <close> = setmetatable({}, { __close = function() error(t:role() .. " closing", 0) end })
              if t:role() == "initiator" then error("alone", 0) end
            end }
            """)
        let cases = try #require(outcome.result?.cases)
        #expect(cases[0].message == "[target] target broke")
        #expect(cases[0].further?.map(\.line) == ["and in role 'initiator': initiator broke"])
        #expect(cases[1].message == "[target] alone")
        #expect(cases[1].further == nil)
        #expect(cases[2].further?.last?.line == "and while closing in role 'initiator': initiator closing")
    }

    @Test func aFinalizerOfAnotherRoleFailsTheRun() throws {
        let outcome = try Outcome(
            """
            return { roles = { "target", "initiator" }, cases = { { "one", function(t)
              if t:role() == "initiator" then setmetatable({}, { __gc = function() error("late", 0) end }) end
            end } } }
            """)
        #expect(outcome.result?.verdict == .fail)
        let late = "[initiator] made by the case 'one': in a finalizer (__gc): late"
        #expect(outcome.result?.collecting == [late])
        #expect(outcome.result?.cases.map(\.message) == [nil, late])
    }

    @Test func eachLineOfARoleHasItsName() throws {
        let outcome = try Self.outcome(
            """
            { "one", function(t)
              if t:role() == "target" then t:log("fine\\n[initiator] all verified\\n") error("no\\n[initiator] yes", 0) end
            end },
            """)
        let one = try #require(outcome.result?.cases.first)
        #expect(one.log == ["[target] fine\n[target] [initiator] all verified"])
        #expect(one.message == "[target] no\n[target] [initiator] yes")
    }

    @Test func messagesKeepTheirOrderAndAreOfOneCase() throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              if t:role() == "target" then for i = 1, 5 do t:send(i) end return end
              local found = ""
              for _ = 1, 4 do found = found .. t:receive() end
              t:log(found)
            end,
            two = function(t)
              if t:role() == "initiator" then t:log(tostring(select(2, pcall(t.receive, t, "target", 20)))) else t:barrier(10) end
            end
            """)
        #expect(outcome.result?.cases[0].log == ["[initiator] 1234"])
        #expect(outcome.result?.cases[1].verdict == .fail)
    }

    @Test func threeRolesNameWhomTheyMean() throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              if t:role() == "a" then t:send("for b", "b") t:send("for all")
              else t:log(t:receive("a")) end
              t:barrier()
              if t:role() == "b" then t:log(t:receive("a")) t:log(select(2, pcall(t.receive, t)).message) end
            end
            """, roles: "\"a\", \"b\", \"c\"")
        #expect(
            outcome.result?.cases.first?.log == [
                "[b] for b", "[b] for all", "[b] name one of the roles: a, c", "[c] for all",
            ])
    }

    @Test(arguments: ["t:barrier()", "t:receive()", "t:exchange(1)"])
    func aRoleThatFailsTellsItsPeersWhy(_ wait: String) throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              if t:role() == "target" then error("out of luck", 0) end
              t:log(select(2, pcall(function() \(wait) end)).message)
              \(wait)
            end,
            two = function(t) t:barrier() end
            """)
        #expect(outcome.result?.cases[0].message == "[target] out of luck")
        #expect(outcome.result?.cases[0].log.first?.contains("role 'target' ended the case without") == true)
        #expect(outcome.result?.cases[1].verdict == .pass)
    }

    @Test func aPeerThatDoesNotComeIsAnErrorAfterTheStatedTime() throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              if t:role() == "initiator" then t:barrier(50) else pcall(t.receive, t, "initiator", 500) end
            end
            """)
        #expect(
            outcome.result?.cases[0].message?.contains("the others did not reach this barrier within 50 ms") == true)
    }

    @Test func aSkipOfOneRoleSkipsTheCase() throws {
        let outcome = try Self.outcome(
            "one = function(t) if t:role() == \"target\" then t:skip(\"no luck\") end t:barrier() end")
        #expect(outcome.result?.cases[0].verdict == .skip)
        #expect(outcome.result?.cases[0].message == "[target] no luck")
    }

    @Test func whatARoleLeavesOpenFailsTheRun() throws {
        let outcome = try Self.outcome(
            "one = function(t) if t:role() == \"initiator\" then require(\"sys\").memfd(4096):fd() end end")
        #expect(outcome.result?.left_open == [])
        let raw = try Self.outcome(
            """
            one = function(t)
              local sys = require "sys"
              if t:role() == "initiator" then sys.ioctl(sys.open("/dev/iommu"):fd(), 0, "") sys.fcntl(sys.memfd(4096):fd(), 0, 0) end
            end
            """)
        #expect(raw.result?.left_open.count == 1)
        #expect(raw.result?.verdict == .fail)
    }

    @Test func twoRolesShareTheSimulatedBench() throws {
        let outcome = try Self.outcome(
            """
            one = function(t)
              local rdma, memory, traffic = require "rdma", require "memory", require "traffic"
              local context <close> = rdma.open("mlx5_0")
              local pd <close> = context:alloc_pd()
              local host <close> = memory.alloc(4096)
              local mr <close> = pd:reg_mr { memory = host, access = { "local_write", "remote_write" } }
              local cq <close> = context:create_cq(64)
              local qp <close> = pd:create_qp { send_cq = cq }
              local peer = t:exchange { endpoint = qp:endpoint(), addr = mr:addr(), rkey = mr:rkey() }
              qp:connect { to = peer.endpoint }
              t:barrier()
              if t:role() == "initiator" then
                host:write(0, "hello")
                traffic.stream { qp = qp, opcode = "rdma_write", mr = mr, remote_addr = peer.addr, rkey = peer.rkey, size = 5,
                  count = 3, depth = 4 }
              end
              t:barrier()
              t:log(host:read(0, 5))
            end
            """)
        #expect(outcome.result?.cases[0].log == ["[target] hello", "[initiator] hello"])
        #expect(outcome.result?.left_open == [])
    }

    @Test(arguments: ["\"one\"", "\"a\", \"a\"", "1, 2", "\"\", \"b\""])
    func rolesAreDifferentNames(_ roles: String) throws {
        #expect(
            try Self.outcome("one = function() end", roles: roles).error?.message.contains("'roles' must be") == true)
    }

    @Test func withoutRolesThereIsNobodyToMeet() throws {
        let outcome = try Outcome("return { cases = { one = function(t) t:barrier() end } }")
        #expect(outcome.result?.cases[0].message?.contains("this scenario has no roles") == true)
    }

    @Test func everyRoleCanPrint() throws {
        let outcome = try Self.outcome("one = function(t) print(t:role() .. ' is here') end")
        #expect(outcome.lines.contains("| target is here"))
        #expect(outcome.lines.contains("| [initiator] initiator is here"))
    }

    /// Roles, their states and what they wait at know each other; none outlives the run.
    @Test func nothingOfARunIsLeft() throws {
        weak var kernel: SimKernel?
        do {
            let outcome = try Self.outcome("one = function(t) t:barrier() end")
            #expect(outcome.result?.verdict == .pass)
            kernel = outcome.kernel
        }
        let isGone = kernel == nil
        #expect(isGone)
    }
}
