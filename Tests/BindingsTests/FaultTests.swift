import Bindings
import Devices
import Kernel
import LuaKit
import SimKernel
import TestBench
import Testing

/// Ends the case, needs other roles, or cannot be done on a bench with v2.
private let endings: Set = [
    "case.skip", "case.fail", "case.fixed", "case.log", "case.metric", "case.latencies", "case.expect_kernel_log",
    "case.bench",
    "case.role", "case.peers", "case.barrier", "case.send", "case.receive", "case.exchange",
    "dmabuf.adopt", "dmabuf:clear_tph", "traffic.ping_pong",
]

/// Two queue pairs that are connected, `a` and `b`.
private let connected = """
    local mr = pd:reg_mr { memory = host, access = { "local_write", "remote_write" } }
    local a, b = pd:create_qp { send_cq = cq }, pd:create_qp { send_cq = cq }
    for _, object in ipairs { mr, a, b } do opened[#opened + 1] = object end
    a:connect { to = b:endpoint() }
    b:connect { to = a:endpoint() }
    """

private func expression(_ body: String) -> String { "(function() \(body) end)()" }

/// Calls that do their work, where arguments made from the description alone are refused.
private let working: [String: String] = {
    let message = connected + "\nb:post_recv { mr = mr } a:post_send { opcode = \"send\", mr = mr } cq:wait(2)"
    let mapped = "objects.ioas:map { memory = host, iova = 0x10000 }"
    let timed =
        connected + """

            local traffic = require "traffic"
            local result, latency = traffic.stream { qp = a, opcode = "rdma_write", mr = mr, size = 8, count = 1,
              remote_addr = mr:addr(), rkey = mr:rkey(), latency = true }
            opened[#opened + 1] = latency
            """
    let group = """
        local container = objects["vfio container"]
        opened[#opened + 1] = vfio.open("0000:02:00.0", { container = container })
        container:map { memory = host, iova = 0x10000 }
        container:track_dirty_pages(true)
        container:dirty_bitmap(0x10000, 4096)
        container:track_dirty_pages(false)
        container:unmap(0x10000, 4096)
        """
    let event =
        connected + """

            cq:req_notify()
            a:post_send { opcode = "rdma_write", mr = mr, length = 8, remote_addr = mr:addr(), rkey = mr:rkey() }
            cq:wait_event()
            """
    let asynchronous =
        connected + """

            b:post_recv { mr = mr }
            a:post_send { opcode = "rdma_write", mr = mr, remote_addr = 0, rkey = 1 }
            nic:wait_event()
            """
    return [
        "case.latencies": expression(timed + "\nrequire(\"case\").latencies(1, \"of a write\", latency)"),
        "case.errno": "require(\"case\").errno(\"EINVAL\")",
        "context:wait_event": expression(asynchronous), "context:alloc_dm": "nic:alloc_dm(64)",
        "context:frmr_pools": "nic:frmr_pools()", "pd:reg_dm_mr": "pd:reg_dm_mr { dm = objects['device memory'] }",
        "dm:write": "objects['device memory']:write(0, 'bytes')",
        "dm:read": "objects['device memory']:read(0, 16)",
        "pd:create_ah": "pd:create_ah { to = objects[\"queue pair\"]:endpoint() }",
        "cq:wait_event": expression(event), "context:create_cq": "nic:create_cq(8, { events = true })",
        "vfio.open": "vfio.open('0000:02:00.0')", "device:read": "device:read(2, 0, 16)",
        "device:write": "device:write(2, 0, 'bytes')", "device:load": "device:load(2, 0, 4)",
        "device:store": "device:store(2, 0, 4, 1)", "device:mmap": "device:mmap(2, { length = 4096 })",
        "device:attach": expression(
            """
            local engine = vfio.open("0000:02:00.0", { iommufd = context })
            opened[#opened + 1] = engine
            engine:attach(objects.ioas)
            """),
        "device:export_dmabuf": "device:export_dmabuf { region_index = 2, ranges = { { offset = 0, length = 4096 } } }",
        "device:feature": "device:feature { number = 11, operation = { 'probe', 'get' } }",
        "dmabuf:set_tph": "buf:set_tph { st = 1, ph = 'target' }",
        "ioas:map_file": "objects.ioas:map_file { dmabuf = buf, length = 4096 }",
        "ioas:copy": expression(
            mapped + " return objects.ioas:copy { src_ioas = objects.ioas, src_iova = 0x10000, length = 4096 }"),
        "ioas:unmap": expression(mapped + " return objects.ioas:unmap(0x10000, 4096)"),
        "container:map": expression(group), "container:unmap": expression(group),
        "container:track_dirty_pages": expression(group), "container:dirty_bitmap": expression(group),
        "memory:read": "host:read(0, 16)", "memory:fill": "host:fill(0, 16, 1)",
        "memory:write": "host:write(0, 'bytes')", "rdma.open": "rdma.open('mlx5_0')",
        "context:alloc_dmah": "nic:alloc_dmah { ph = 'target' }", "pd:reg_mr": "pd:reg_mr { memory = host }",
        "pd:reg_dmabuf_mr": "pd:reg_dmabuf_mr { dmabuf = buf, length = 4096 }",
        "pd:reg_mr_ex": "pd:reg_mr_ex { dmabuf = buf, length = 4096 }",
        "pd:mlx5dv_reg_dmabuf_mr": "pd:mlx5dv_reg_dmabuf_mr { dmabuf = buf, length = 4096 }",
        "cq:wait": expression(message), "qp:post_send": expression(message), "qp:post_recv": expression(message),
        "qp:connect": expression(connected), "pd:alloc_mw": "pd:alloc_mw()",
        "qp:to_rts":
            "(function() local d = pd:create_qp { send_cq = cq, qp_type = \"ud\" } opened[#opened + 1] = d d:to_rts {} end)()",
        "traffic.stamp": "require('traffic').stamp { memory = host, size = 64 }",
        "traffic.check": "require('traffic').check { memory = host, size = 64 }",
        "traffic.stream": expression(timed), "latency:quantile": expression(timed + " latency:quantile(0.5)"),
        "latency:summary": expression(timed + " latency:summary()"), "sys.request": "sys.request('VFIO_DEVICE_RESET')",
        "sys.open": "sys.open('/dev/iommu')",
        "sys.mmap": "sys.mmap(device:fd(), { length = 4096, offset = 2 << 40, prot = 3, flags = 1 })",
        "sys.readlink": "sys.readlink('/sys/bus/pci/devices/0000:01:00.0/driver')",
        "bench.refusals": "require('bench').refusals('ibv_reg_mr')",
        "bench.inject": "require('bench').inject { operation = 'eventfd', error = 'EMFILE' }",
    ]
}()

/// Every operation of the Lua API with every error its calls can give.
@Suite struct FaultTests {
    /// How a script ended on a bench of its own, and what it left open.
    struct Outcome {
        var error: ErrorValue?
        var open: [String] = []
        var calls: [String: Int] = [:]
        var refused = 0
    }

    /// Opens everything, makes the call, and closes everything; what the kernel refuses to close is closed once more.
    static func run(_ call: String, _ plan: FaultPlan) -> Outcome {
        let kernel = TracingKernel(SimKernel(.standard))
        kernel.faults = plan
        let (_, state) = simulatedState(kernel)
        let script = """
            local opened, result = {}, nil
            local function body()
            \(openObjects)
              local names = {}
              for name in pairs(objects) do names[#names + 1] = name end
              table.sort(names)
              for i, name in ipairs(names) do opened[i] = objects[name] end
              result = \(call)
            end
            local ok, message = pcall(body)
            if type(result) == "userdata" then opened[#opened + 1] = result end
            for _ = 1, 4 do
              for _, object in ipairs(opened) do pcall(object.close, object) end
            end
            if not ok then error(message, 0) end
            """
        var outcome = Outcome()
        do throws(ErrorValue) { _ = try state.run(Array(script.utf8), name: "@fault.lua") } catch {
            outcome.error = error
        }
        outcome.calls = kernel.faults?.calls ?? [:]
        outcome.refused = kernel.callsRefused
        state.collect()
        state.close()
        outcome.open = kernel.open
        return outcome
    }

    /// One call that is refused: which, and with what.
    struct Fault: Sendable {
        let operation: String
        let number: Int
        let name: String
    }

    /// Every error of every call that `call` makes beyond those that `known` counts.
    static func faults(_ call: String, beyond known: [String: Int]) -> [Fault] {
        run(call, FaultPlan()).calls.sorted { $0.key < $1.key }.flatMap { operation, count in
            Array((known[operation] ?? 0)..<max(count, known[operation] ?? 0)).flatMap { index in
                Refusal.all(of: operation).map {
                    Fault(operation: operation, number: index + 1, name: $0.name)
                }
            }
        }
    }

    static func check(_ call: String, _ fault: Fault, _ name: String) throws {
        var plan = FaultPlan()
        try plan.add(fault.operation, fault.name, when: String(fault.number))
        let outcome = run(call, plan)
        let what = Comment("\(name): call \(fault.number) of \(fault.operation) answers \(fault.name)")
        #expect(outcome.refused == 1, what)
        #expect(outcome.open.isEmpty, what)
        guard let error = outcome.error else { return }
        #expect(error.message.contains(fault.name) || error.kind == .argument, what)
        // Of probes the answers are weighed; what the script is told is the conclusion.
        guard error.kind == .kernel, !fault.operation.contains(" FEATURE_") else { return }
        #expect(error.name == fault.name && error.operation != nil && error.object != nil, what)
    }

    static let opening = run("nil", FaultPlan()).calls

    @Test func openingEverythingSurvivesEveryError() throws {
        let faults = Self.faults("nil", beyond: [:])
        #expect(faults.count > 100)
        for fault in faults { try Self.check("nil", fault, "opening") }
    }

    @Test(arguments: calls)
    func everyFunctionSurvivesEveryError(_ function: (name: String, call: String)) throws {
        let call = working[function.name] ?? function.call
        for fault in Self.faults(call, beyond: Self.opening) { try Self.check(call, fault, function.name) }
    }

    /// Only then an error means something.
    @Test(arguments: calls)
    func everyFunctionWorksWithoutFaults(_ function: (name: String, call: String)) throws {
        let outcome = Self.run(working[function.name] ?? function.call, FaultPlan())
        #expect(outcome.error == nil || endings.contains(function.name), "\(outcome.error?.message ?? "")")
        #expect(outcome.open.isEmpty)
    }

    @Test func everyRequestAndVerbHasItsErrors() {
        for request in Request.all where request.name != "VFIO_DEVICE_FEATURE" {
            #expect(!Refusal.all(of: request.name).isEmpty, "\(request.name)")
        }
        for operation in Refusal.operations {
            let names = Refusal.all(of: operation).map(\.name)
            #expect(Set(names).count == names.count, "\(operation) names an error twice: \(names)")
            for name in names { #expect(Errno(name: name) != nil, "\(operation): \(name)") }
        }
    }

    @Test(arguments: [
        ("2", [false, true, false, false, false]), ("2+", [false, true, true, true, true]),
        ("1+3", [true, false, false, true, false]),
    ])
    func aRuleSaysWhichCalls(_ when: String, _ expected: [Bool]) throws {
        var plan = FaultPlan()
        try plan.add("eventfd", "EMFILE", when: when)
        let kernel = TracingKernel(SimKernel(.standard))
        kernel.faults = plan
        #expect((0..<5).map { _ in kernel.eventfd(0) == -24 } == expected)
    }

    @Test(arguments: [
        ("eventfd", "ENOTTY", "1"), ("eventfds", "EMFILE", "1"), ("eventfd", "EMFILE", "0"),
        ("eventfd", "EMFILE", "x"), ("eventfd", "EMFILE", "1+0"), ("eventfd", "EMFILE", "1+-1"),
    ])
    func whatNoCallCanAnswerIsNoRule(_ operation: String, _ name: String, _ when: String) {
        var plan = FaultPlan()
        #expect(throws: FaultPlan.RuleError.self) { try plan.add(operation, name, when: when) }
    }

    @Test func whatIsNeverRefusedSaysWhy() throws {
        var plan = FaultPlan()
        try plan.add("eventfd", "EMFILE")
        try plan.add("eventfd", "ENFILE")
        try plan.add("open", "ENOENT")
        let kernel = TracingKernel(SimKernel(.standard))
        kernel.faults = plan
        _ = kernel.eventfd(0)
        #expect(
            kernel.faults?.unused == [
                "ENFILE at call 1 of eventfd, which another rule refuses",
                "ENOENT at call 1 of open, which was not called",
            ])
        try plan.refuse(rate: 0.5, seed: 1)
        #expect(plan.unused.last == "calls at a rate of 0.5, of which there were 0")
        #expect(throws: FaultPlan.RuleError.self) { try plan.refuse(rate: 0, seed: 1) }
    }

    @Test func aSeedRefusesTheSameCallsAgain() throws {
        func refused(seed: UInt64) throws -> [Int] {
            var plan = FaultPlan()
            try plan.refuse(rate: 0.3, seed: seed)
            let kernel = TracingKernel(SimKernel(.standard))
            kernel.faults = plan
            return (0..<200).map { _ in kernel.eventfd(0) }.filter { $0 < 0 }
        }
        let one = try refused(seed: 5)
        #expect(try refused(seed: 5) == one)
        #expect(try refused(seed: 6) != one)
        #expect((30...90).contains(one.count))
        #expect(Set(one) == Set(Refusal.all(of: "eventfd").compactMap { Errno(name: $0.name)?.result }))
    }
}
