import Kernel
import LuaKit

private let benchParameter = Parameter("bench", .any, .required, "the module: functions are called with a colon")

/// What only a simulated bench can tell or do.
let benchModule = Module(
    "bench",
    "The bench itself: what it saw on its links, and what it shall refuse. Functions are called with a colon, "
        + "bench:tlps { ... }. Only simulated benches have them, and the lab with an emulated ConnectX those about requests.",
    functions: [
        Function(
            "tlps",
            [
                benchParameter,
                Parameter(
                    "filter",
                    .record([
                        Parameter("kind", .choice([("read", 0), ("write", 1)]), .absent, "only these"),
                        Parameter("requester", .string(1...16), .absent, "sent by: \"0000:03:00.0\""),
                        Parameter("target", .string(1...16), .absent, "sent to: \"0000:01:00.0\", or \"memory\""),
                        Parameter("hinted", .boolean, .absent, "with a processing hint, or without"),
                        Parameter("from", .integer(1...Int64.max), .integer(1), "skips the requests before that one"),
                        Parameter("relaxed_ordering", .boolean, .absent, "with that attribute, or without"),
                    ]), .absent, "default: all"),
            ],
            returns: "bench.tlp[]", errors: [("EOPNOTSUPP", "this bench sees no links")],
            "Requests on the links, oldest first, at most 65536: n, time, kind, name, requester, target, region, offset, "
                + "address, length, relaxed_ordering; ph, st and extended with a hint; mode and words, the header's double words.",
            entry: { Call($0, $1).run(tlps) }),
        Function(
            "clear_tlps", [benchParameter], errors: [("EOPNOTSUPP", "this bench sees no links")],
            "Forgets the requests so far.",
            entry: {
                Call($0, $1).run { call in
                    guard try call.kernel().clearTLPs() else { throw seesNothing("bench:clear_tlps") }
                    return call.nothing
                }
            }),
        Function(
            "inject",
            [
                benchParameter,
                Parameter(
                    "fault",
                    .record([
                        Parameter(
                            "operation", .string(1...64), .absent,
                            "as errors name it: \"IOMMU_IOAS_MAP\", \"VFIO_DEVICE_FEATURE DMA_BUF GET\", \"ibv_reg_mr\""
                        ),
                        Parameter("error", .string(1...32), .absent, "one it can give: \"ENOMEM\""),
                        Parameter(
                            "when", .string(1...32), .absent,
                            "\"2\" for the second call from now on, \"2+\" from it on, \"2+3\" for it and every third after "
                                + "it; default: \"1\""),
                        Parameter("rate", .number, .absent, "instead: any call, with this probability, above 0 to 1"),
                        Parameter("seed", .uint64, .integer(1), "what decides with `rate`, and with which error"),
                    ]), .required, "which calls, and what they are answered"),
            ],
            errors: [("EOPNOTSUPP", "this bench's kernel is real")],
            "Calls that are refused instead of being made, until bench:clear_faults(). A close is made all the same.",
            entry: { Call($0, $1).run(inject) }),
        Function(
            "clear_faults", [benchParameter], returns: "integer",
            "No call is refused any more. Returns how many were in this run.",
            entry: {
                Call($0, $1).run { call in
                    let kernel = try call.kernel() as? TracingKernel
                    kernel?.faults = nil
                    return call.push(Int64(kernel?.callsRefused ?? 0))
                }
            }),
        Function(
            "refusals",
            [benchParameter, Parameter("operation", .string(1...64), .required, "as errors name it")],
            returns: "string[]", "The errors that an operation can give. One that is not known is refused.",
            entry: {
                Call($0, $1).run { call in
                    let errors = Refusal.all(of: call[1].string)
                    guard !errors.isEmpty else { throw unknownOperation(call[1].string) }
                    return call.push(.list(errors.map { .string($0.name) }))
                }
            }),
    ])

private func unknownOperation(_ name: String) -> ErrorValue {
    let near = Refusal.operations.first {
        $0.lowercased().contains(name.lowercased()) || name.lowercased().contains($0.lowercased())
    }
    return ErrorValue(
        kind: .argument,
        "bench:refusals: no operation '\(name)' is known" + (near.map { "; did you mean '\($0)'?" } ?? "")
            + ": they are named as errors and traces name them")
}

private func inject(_ call: Call) throws -> CInt {
    let fault = call[1]
    guard call.host.isSimulated, let kernel = try call.kernel() as? TracingKernel else {
        throw Failure(
            "bench:inject", .notSupported, object: "this bench",
            hint: "its kernel is real: what it refuses must be its own answer (stdlib: kernel_faults)")
    }
    var plan = kernel.faults ?? FaultPlan()
    do throws(FaultPlan.RuleError) {
        switch (fault[0].isPresent, fault[1].isPresent, fault[3].isPresent) {
        case (true, true, false):
            try plan.add(fault[0].string, fault[1].string, when: fault[2].isPresent ? fault[2].string : "1")
        case (false, false, true):
            guard !fault[2].isPresent else { fallthrough }
            try plan.refuse(rate: fault[3].double, seed: fault[4].uint64)
        default:
            throw FaultPlan.RuleError(
                message: "it takes operation and error, perhaps with when; or rate, perhaps with seed")
        }
    } catch {
        throw ErrorValue(kind: .argument, "bench:inject: \(error.message)")
    }
    kernel.faults = plan
    return call.nothing
}

private func seesNothing(_ operation: String) -> Failure {
    Failure(
        operation, .notSupported, object: "this bench",
        hint:
            "only a simulated bench sees its links, and the lab those of an emulated ConnectX (--lab-nic connectx); on "
            + "hardware that takes an analyzer")
}

private func log(_ call: Call) throws -> TLPLog {
    guard let log = try call.kernel().tlps else { throw seesNothing("bench:tlps") }
    guard log.lost == 0 else {
        throw ErrorValue(
            kind: .bench,
            "bench:tlps: \(log.lost) requests are missing, as the log has \(TLPLog.limit) at most; bench:clear_tlps() empties it, "
                + "peerlab run --tlp FILE writes what comes")
    }
    return log
}

private func tlps(_ call: Call) throws -> CInt {
    let log = try log(call)
    var list: [LuaValue] = []
    let first = call[1].isPresent ? call[1][4].int : 1
    for (index, request) in log.requests.enumerated() where index + 1 >= first {
        let header = request.header.flatMap { TLPHeader($0, request.mode) }
        // What is on the link counts; where our reference does not tell how that looks, what was asked for.
        let hint = header.map(\.hint) ?? request.hint
        guard !call[1].isPresent || matches(request, hint != nil, call[1]) else { continue }
        list.append(table(request, index + 1, header, hint))
    }
    return call.push(.list(list))
}

private func matches(_ request: TLP, _ isHinted: Bool, _ filter: Argument) -> Bool {
    if filter[0].isPresent, filter[0].bool != request.isWrite { return false }
    if filter[1].isPresent, filter[1].string != request.requesterAddress { return false }
    if filter[5].isPresent, filter[5].bool != request.isRelaxed { return false }
    if filter[2].isPresent, filter[2].string != request.target?.function ?? "memory" { return false }
    return !filter[3].isPresent || filter[3].bool == isHinted
}

private func table(_ request: TLP, _ number: Int, _ header: TLPHeader?, _ hint: TLP.Hint?) -> LuaValue {
    var fields: [String: LuaValue] = [
        "n": .integer(Int64(number)), "time": .integer(Int64(clamping: request.time)),
        "kind": .string(request.isWrite ? "write" : "read"), "requester": .string(request.requesterAddress),
        "target": .string(request.target?.function ?? "memory"),
        "address": .integer(Int64(bitPattern: request.address)), "length": .integer(Int64(request.length)),
        "mode": .string(request.mode.rawValue),
        "relaxed_ordering": .boolean(header?.isRelaxed ?? request.isRelaxed),
    ]
    if let target = request.target {
        fields["region"] = .integer(Int64(target.region))
        fields["offset"] = .integer(Int64(bitPattern: target.offset))
    }
    if let words = request.header, let header {
        fields["words"] = .list(words.map { .integer(Int64($0)) })
        fields["name"] = .string(header.name)
    }
    if let hint {
        fields["st"] = .integer(Int64(hint.tag))
        fields["ph"] = .string(hint.name)
        fields["extended"] = .boolean(hint.isExtended)
    }
    return .table(fields)
}
