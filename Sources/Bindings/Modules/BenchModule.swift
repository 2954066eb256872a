import Kernel
import LuaKit

private enum FilterKeys {
    static let isWrite = Key<Bool?>("kind", .choice([("read", 0), ("write", 1)]), "only these")
    static let requester = Key<String?>("requester", .string(1...16), "sent by: \"0000:03:00.0\"")
    static let target = Key<String?>("target", .string(1...16), "sent to: \"0000:01:00.0\", or \"memory\"")
    static let isHinted = Key<Bool?>("hinted", "with a processing hint, or without")
    static let first = Key<Int>(
        "first_number", .integer(1...Int64.max), default: 1, "skips the requests before that one"
    ).was("from")
    static let isRelaxed = Key<Bool?>("relaxed_ordering", "with that attribute, or without")
    static let all: [any TableKey] = [isWrite, requester, target, isHinted, first, isRelaxed]
}

private enum FaultKeys {
    static let operation = Key<String?>(
        "operation", .string(1...64),
        "as errors name it: \"IOMMU_IOAS_MAP\", \"VFIO_DEVICE_FEATURE DMA_BUF GET\", \"ibv_reg_mr\"")
    static let error = Key<String?>("error", .string(1...32), "one it can give: \"ENOMEM\"")
    static let when = Key<String?>(
        "when", .string(1...32),
        "\"2\" for the second call from now on, \"2+\" from it on, \"2+3\" for it and every third after it; default: \"1\""
    )
    static let completion = Key<UInt32?>(
        "completion",
        .choice(CompletionFault.statuses.map { ($0.name, Int64($0.status)) }),
        "instead: how a work request of a reliable connection ends, of which nothing is carried out; `when` counts work requests"
    )
    static let lost = Key<Int?>(
        "lost", .integer(1...1_000_000),
        "instead: so many tries of a work request are lost; more than retry_cnt of them end it with RETRY_EXC_ERR")
    static let notReady = Key<Int?>(
        "rnr", .integer(1...1_000_000),
        "instead: so many tries find no receive request; more than rnr_retry of them, unless that is 7, end it with RNR_RETRY_EXC_ERR"
    )
    static let rate = Key<Double?>("rate", "instead: any call, with this probability, above 0 to 1")
    static let seed = Key<UInt64>("seed", default: 1, "what decides with `rate`, and with which error")
    static let all: [any TableKey] = [operation, error, when, completion, lost, notReady, rate, seed]
}

/// Functions that only a simulated bench can provide.
let benchModule = Module(
    "bench",
    "The bench itself: what it saw on its links, and what it shall refuse. Only simulated benches have them, and the lab with an emulated ConnectX those about requests.",
    functions: [
        Function(
            "tlps",
            [
                Parameter("filter", .record(FilterKeys.all), .absent, "default: all")
            ],
            returns: [.list(.record(tlpRecord))], errors: [("EOPNOTSUPP", "this bench sees no links")],
            "Requests on the links, oldest first, at most 65536.",
            entry: { Call($0, $1).run(tlps) }),
        Function(
            "clear_tlps", errors: [("EOPNOTSUPP", "this bench sees no links")],
            "Forgets the requests so far.",
            entry: {
                Call($0, $1).run { call in
                    guard try call.kernel().clearTLPs() else { throw seesNothing("bench.clear_tlps") }
                    return call.nothing
                }
            }),
        Function(
            "inject",
            [
                Parameter("fault", .record(FaultKeys.all), .required, "which calls, and what they are answered")
            ],
            errors: [("EOPNOTSUPP", "this bench's kernel is real")],
            "Calls that are refused instead of being made, or work requests that fail or are tried again, until bench.clear_faults(). "
                + "A close is made all the same. Work requests of streams count too.",
            entry: { Call($0, $1).run(inject) }),
        Function(
            "clear_faults", returns: [.integer],
            "No call is refused any more. Returns how many were in this run.",
            entry: {
                Call($0, $1).run { call in
                    let kernel = try call.kernel() as? TracingKernel
                    kernel?.faults = nil
                    _ = kernel?.clearCompletionFaults()
                    return call.push(Int64(kernel?.callsRefused ?? 0))
                }
            }),
        Function(
            "refusals",
            [Parameter("operation", .string(1...64), .required, "as errors name it")],
            returns: [.list(.string)], "The errors that an operation can give. One that is not known is refused.",
            entry: {
                Call($0, $1).run { call in
                    let errors = Refusal.all(of: call[0].string)
                    guard !errors.isEmpty else { throw unknownOperation(call[0].string) }
                    return call.push(value: errors.map(\.name))
                }
            }),
    ])

private func unknownOperation(_ name: String) -> ErrorValue {
    let near = Refusal.operations.first {
        $0.lowercased().contains(name.lowercased()) || name.lowercased().contains($0.lowercased())
    }
    return ErrorValue(
        kind: .argument,
        "bench.refusals: no operation '\(name)' is known" + (near.map { "; did you mean '\($0)'?" } ?? "")
            + ": they are named as errors and traces name them")
}

private func inject(_ call: Call) throws -> CInt {
    let fault = call[0].table
    guard call.host.isSimulated, let kernel = try call.kernel() as? TracingKernel else {
        throw Failure(
            "bench.inject", .notSupported, object: "this bench",
            hint: "its kernel is real: what it refuses must be its own answer (stdlib: kernel_faults)")
    }
    var plan = kernel.faults ?? FaultPlan()
    do throws(FaultPlan.RuleError) {
        let when = fault[FaultKeys.when]
        if let kind = try completionFault(fault) {
            _ = kernel.inject(try CompletionFault(kind, when: when ?? "1"))
            return call.nothing
        }
        switch (fault[FaultKeys.operation], fault[FaultKeys.error], fault[FaultKeys.rate]) {
        case (let operation?, let error?, nil):
            try plan.add(operation, error, when: when ?? "1")
        case (nil, nil, let rate?) where when == nil:
            try plan.refuse(rate: rate, seed: fault[FaultKeys.seed])
        default:
            throw FaultPlan.RuleError(
                message: "it takes operation and error, perhaps with when; or rate, perhaps with seed")
        }
    } catch {
        throw ErrorValue(kind: .argument, "bench.inject: \(error.message)")
    }
    kernel.faults = plan
    return call.nothing
}

/// What befalls a work request; nil where the fault is about calls.
private func completionFault(_ fault: Table) throws(FaultPlan.RuleError) -> CompletionFault.Kind? {
    let kinds: [CompletionFault.Kind] = [
        fault[FaultKeys.completion].map { .ends($0) }, fault[FaultKeys.lost].map { .lost($0) },
        fault[FaultKeys.notReady].map { .notReady($0) },
    ].compactMap { $0 }
    guard let kind = kinds.first else { return nil }
    let isOfCalls =
        fault[FaultKeys.operation] != nil || fault[FaultKeys.error] != nil || fault[FaultKeys.rate] != nil
    guard kinds.count == 1, !isOfCalls else {
        throw FaultPlan.RuleError(message: "completion, lost and rnr go with `when` alone, one of them at a time")
    }
    return kind
}

private func seesNothing(_ operation: String) -> Failure {
    Failure(
        operation, .notSupported, object: "this bench",
        hint:
            "only a simulated bench sees its links, and the lab those of an emulated ConnectX (--lab-nic connectx); on "
            + "hardware that takes an analyzer")
}

private func log(_ call: Call) throws -> TLPLog {
    guard let log = try call.kernel().tlps else { throw seesNothing("bench.tlps") }
    guard log.lost == 0 else {
        throw ErrorValue(
            kind: .bench,
            "bench.tlps: \(log.lost) requests are missing, as the log has \(TLPLog.limit) at most; bench.clear_tlps() empties it, "
                + "peerlab run --tlp FILE writes what comes")
    }
    return log
}

private func tlps(_ call: Call) throws -> CInt {
    let log = try log(call)
    let filter = call[0].table
    let first = filter[FilterKeys.first]
    let found = log.requests.enumerated().lazy.filter { $0.offset + 1 >= first }
        .map { LoggedRequest($0.element, number: $0.offset + 1) }.filter { matches($0, filter) }
    return call.push(list: Array(found), as: tlpRecord)
}

private func matches(_ logged: LoggedRequest, _ filter: Table) -> Bool {
    func fits<Value: KeyValue & Equatable>(_ key: Key<Value?>, _ value: Value) -> Bool {
        filter[key].map { $0 == value } ?? true
    }
    let request = logged.request
    return fits(FilterKeys.isWrite, request.isWrite) && fits(FilterKeys.requester, request.requesterAddress)
        && fits(FilterKeys.isRelaxed, request.isRelaxed)
        && fits(FilterKeys.target, request.target?.function ?? "memory")
        && fits(FilterKeys.isHinted, logged.hint != nil)
}

/// A request of the log, with its decoded header.
private struct LoggedRequest {
    let request: TLP
    let number: Int
    let header: TLPHeader?
    /// The hint in the header; where our reference does not define the header's layout, the requested hint.
    let hint: TLP.Hint?

    init(_ request: TLP, number: Int) {
        self.request = request
        self.number = number
        header = request.header.flatMap { TLPHeader($0, request.mode) }
        hint = header.map(\.hint) ?? request.hint
    }
}

private let tlpRecord = ResultRecord<LoggedRequest>(
    "bench.tlp", "A request on a link.",
    [
        ResultField("number", "its number, from 1") { $0.number }.was("n"),
        ResultField("time_ns", .nanoseconds, "when it was sent") { $0.request.time }.was("time"),
        ResultField("kind", "\"read\" or \"write\"") { $0.request.isWrite ? "write" : "read" },
        ResultField("name", "as its header's type and format say: \"MWr(64)\"") { $0.header?.name },
        ResultField("requester", "who sent it: a PCI address") { $0.request.requesterAddress },
        ResultField("target", "who gets it: a PCI address, or \"memory\"") { $0.request.target?.function ?? "memory" },
        ResultField("region", "which BAR it reaches") { $0.request.target?.region },
        ResultField("offset", .bytes, "where in that BAR") { $0.request.target?.offset },
        ResultField("addr", "the address on the link") { $0.request.address }.was("address"),
        ResultField("length", .bytes, "what it reads or writes") { $0.request.length },
        ResultField("relaxed_ordering", "whether it has that attribute") {
            $0.header?.isRelaxed ?? $0.request.isRelaxed
        },
        ResultField("ph", "the processing hint of one that has a hint") { $0.hint?.name },
        ResultField("st", "its steering tag") { $0.hint.map { UInt32($0.tag) } },
        ResultField("extended", "whether that has 16 bits") { $0.hint?.isExtended },
        ResultField("mode", "\"non-flit\" or \"flit\": what its header looks like") { $0.request.mode.rawValue },
        ResultField("words", "the header's double words") { $0.header == nil ? nil : $0.request.header },
    ])
