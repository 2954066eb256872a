import LuaKit
import Testing

@testable import Bindings
@testable import Runner

/// What a role keeps of the others, and no more of it.
@Suite struct RoleStateTests {
    private static func state(memory: UInt64 = 64 << 20) -> RoleState {
        RoleState(["A", "B", "C"], cases: 100, own: "A", memory: memory)
    }

    private static func result(_ lines: [String]) -> CaseResult {
        var result = CaseResult(name: "one", verdict: .pass, duration_ns: 1)
        result.log = lines
        return result
    }

    @Test func peersFillNoMoreThanTheirShare() {
        let state = Self.state()
        let long = Self.result([String(repeating: "x", count: 3 << 20)])
        let reasons = (0..<12).map { state.take(.end(role: "B", result: long, index: $0)) }
        #expect(reasons.prefix(10).allSatisfy { $0 == nil })
        #expect(reasons[11]?.contains("32 MiB here; --memory allows more") == true)
    }

    @Test func whatIsReceivedIsForgotten() throws {
        let state = Self.state()
        let value = LuaValue.bytes([UInt8](repeating: 7, count: 15 << 20))
        for _ in 0..<4 {
            #expect(state.take(.post(value: SentValue(value), from: "B", to: "A", index: 0)) == nil)
            #expect(try state.take(from: "B", to: "A", at: 0) == value)
        }
        #expect(state.take(.post(value: SentValue(value), from: "B", to: "A", index: 0)) == nil)
        #expect(
            state.take(.post(value: SentValue(value), from: "B", to: "A", index: 0)) == "it sends more than is received"
        )
    }

    @Test func whatOthersSendEachOtherIsNotKept() {
        let state = Self.state()
        let value = SentValue(.bytes([UInt8](repeating: 7, count: 15 << 20)))
        for _ in 0..<4 { #expect(state.take(.post(value: value, from: "B", to: "C", index: 0)) == nil) }
    }

    @Test func eachCaseMaySendAsMuch() throws {
        let state = Self.state()
        let value = LuaValue.bytes([UInt8](repeating: 7, count: 10 << 20))
        for index in 0..<4 {
            try state.post(value, from: "A", to: "B", at: index)
            let error = #expect(throws: ErrorValue.self) { try state.post(value, from: "A", to: "B", at: index) }
            #expect(error?.kind == .memory)
            for role in state.names { state.enter(.end(role: role, result: Self.result([]), index: index)) }
            #expect(state.results(of: "one", at: index)?.count == 3)
        }
    }

    @Test func aLongResultIsToldShorter() {
        var long = Self.result((0..<100).map { "\($0) " + String(repeating: "\u{1}", count: 20_000) })
        long.message = String(repeating: "m", count: 5 << 20)
        long.metrics = (0..<3).map {
            Metric(name: "m\($0)", value: 1, unit: "", better: "", size: nil, st: nil, ph: nil)
        }
        let told = long.told
        #expect(told.refusal == nil)
        #expect(told.metrics == long.metrics)
        #expect(told.log.first == long.log.first)
        #expect(told.log.last?.contains("only in this role's own results: ") == true)
        #expect(Self.result(["short"]).told.log == ["short"])
        let json = RoleEvent.end(role: "B", result: told, index: 0).json
        #expect((json?.count ?? .max) <= Connection.longest)
    }

    @Test func theHeaviestValueFitsAnEvent() throws {
        let state = Self.state()
        for value in [
            LuaValue.string(String(repeating: "\u{1}", count: 2_700_000)),
            .bytes([UInt8](repeating: 0xff, count: (16 << 20) - 64)),
            .list([LuaValue](repeating: .number(-Double.leastNormalMagnitude), count: 340_000)),
        ] {
            #expect(value.weight <= RoleEvent.mostWeight)
            let event = RoleEvent.post(value: SentValue(value), from: "B", to: "A", index: 0)
            let json = try #require(event.json)
            #expect(json.count <= Connection.longest)
            let read = try #require(RoleEvent(json: [UInt8](json)[...]))
            #expect(state.take(read) == nil)
            #expect(try state.take(from: "B", to: "A", at: 0) == value)
        }
    }

    // MARK: Many cases

    @Test func aScenarioWithRolesHasNotTooManyCases() throws {
        let outcome = try Outcome(
            """
            local cases = {}
            for i = 1, 100001 do cases[i] = { "case " .. i, function() end } end
            return { roles = { "A", "B" }, options = { never = { type = "string" } }, cases = cases }
            """)
        #expect(outcome.error?.message.contains("at most 100000 cases, and this one has 100001") == true)
    }

    @Test(arguments: [Int.min, -1, 3, 100_000, Int.max])
    func noNumberOfACaseTraps(_ index: Int) throws {
        let state = RoleState(["A", "B"], cases: 1)
        #expect(state.arrive("A", at: index) == 1)
        #expect(try state.isReached(1, at: index) == nil)
        #expect(try state.take(from: "B", to: "A", at: index) == nil)
        #expect(state.results(of: "one", at: index) == nil)
    }
}
