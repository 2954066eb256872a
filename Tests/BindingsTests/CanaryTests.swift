import Bindings
import CHeap
import CLua
import Devices
import Glibc
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// The bench's refusals can be switched on by a script, and the heap looked at.
private let switches = Module(
    "switches", "For tests.",
    functions: [
        Function(
            "refuse", [Parameter("on", .boolean, .required, "")], "Makes the kernel refuse everything, or not.",
            entry: {
                Call($0, $1).run { call in
                    var everything = FaultPlan()
                    try everything.refuse(rate: 1, seed: 1)
                    (call.context(Host.self).realKernel as? TracingKernel)?.faults = call[0].bool ? everything : nil
                    return call.nothing
                }
            }),
        Function(
            "heap", returns: [.integer], "Bytes of heap in use.",
            entry: { Call($0, $1).run { call in call.push(Int64(heap_bytes())) } }),
        Function(
            "leak", [], "Does what no function may: raises over its own Swift frame.",
            entry: { state, _ in
                let object = Leaked()
                lua_pushnil(state)
                let result = lua_error(state)
                withExtendedLifetime(object) {}
                return result
            }),
    ])

private final class Leaked {
    let ballast = (0, 0, 0, 0)
}

/// Makes `count` errors through a call; returns how many there were and how much the heap grew.
private func errors(_ count: Int, through call: String) throws(ErrorValue) -> (errors: Int64, growth: Int64) {
    let kernel = TracingKernel(SimKernel(.standard))
    let (_, state) = simulatedState(kernel, modules + [switches])
    let script =
        openObjects + """
            local switches, errors = require "switches", 0
            local function try(count)
              for i = 1, count do
                if not pcall(function() \(call) end) then errors = errors + 1 end
              end
              collectgarbage() collectgarbage()
            end
            switches.refuse(true)
            try(3000)
            errors = 0
            local before = switches.heap()
            try(\(count))
            local growth = switches.heap() - before
            switches.refuse(false)
            return { errors = errors, growth = growth }
            """
    guard case .table(let fields, _) = try state.run(Array(script.utf8), name: "@canary.lua"),
        case .integer(let errors)? = fields["errors"], case .integer(let growth)? = fields["growth"]
    else { throw ErrorValue(kind: .script, "no counts") }
    state.close()
    guard kernel.open.isEmpty else { throw ErrorValue(kind: .script, "left open: \(kernel.open)") }
    return (errors, growth)
}

/// A line on standard error, which the tests look at.
private func complain(_ message: String) {
    let line = message + "\n"
    write(STDERR_FILENO, line, line.utf8.count)
}

/// In processes of their own, so that nothing else uses the heap meanwhile.
@Suite struct CanaryTests {
    @Test func tenThousandErrorsThroughEveryFunctionLeaveNothing() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            var total: Int64 = 0
            for (name, call) in calls {
                let (errors, growth) = try errors(10_000, through: call)
                total += errors
                // An object on the heap takes 32 bytes: this is one left by every second error. Lua's own tables and the
                // allocator's bins account for the rest.
                if errors > 0, growth > 160_000 {
                    complain("\(name): the heap grew by \(growth) bytes over \(errors) errors")
                }
            }
            // Most functions ask the kernel and so fail; the rest (addresses, keys) cannot.
            if total < Int64(calls.count) * 10_000 / 2 { complain("only \(total) errors of \(calls.count) functions") }
        }
        #expect(String(decoding: result?.standardErrorContent ?? [], as: UTF8.self) == "")
    }

    @Test func aRaiseOverASwiftFrameWouldBeSeen() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let (errors, growth) = try errors(10_000, through: "switches.leak()")
            if errors != 10_000 || growth < 320_000 { complain("\(errors) errors, \(growth) bytes") }
        }
        #expect(String(decoding: result?.standardErrorContent ?? [], as: UTF8.self) == "")
    }
}
