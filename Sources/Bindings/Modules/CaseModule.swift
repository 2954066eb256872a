import Histogram
import Kernel
import LuaKit

private let caseParameter = Parameter("case", .any, .required, "the case")

private enum LabelKeys {
    static let unit = Key<String?>("unit", .string(0...40), "\"B/s\", \"ns\"")
    static let isHigherBetter = Key<Bool?>("better", .choice([("higher", 1), ("lower", 0)]), "what a regression is")
    static let size = Key<Int64?>("size", .size(0...Int64.max), "bytes of a message")
    static let st = Key<Int64?>("st", .integer(0...0xffff), "steering tag")
    static let ph = Key<ProcessingHint?>("ph", "processing hint")
    static let all: [any TableKey] = [unit, isHigherBetter] + conditions
    /// What latencies depend on.
    static let conditions: [any TableKey] = [size, st, ph]
}

/// Which answer of the kernel a script finds wrong.
private func wrongAnswer(_ absence: Parameter.Fallback) -> [Parameter] {
    [
        Parameter("found", .string(0...200), absence, "what the kernel answered: \"EADDRINUSE\""),
        Parameter("right", .string(0...200), absence, "what a right kernel answers"),
        Parameter("what", .string(0...200), .absent, "of what: \"the map\""),
    ]
}

extension Call {
    /// The same from the arguments from `first` on.
    fileprivate func wrongAnswer(from first: Int) -> WrongAnswer {
        WrongAnswer(
            found: self[first].string, right: self[first + 1].string,
            what: self[first + 2].isPresent ? self[first + 2].string : "")
    }
}

/// The first argument of a case function (`t`). Registered as a module, so that it is described like everything else.
let caseModule = Module(
    "case", "The running case; the first argument of each case's function.",
    functions: [
        Function(
            "skip",
            [
                Parameter("case", .any, .required, "the case"),
                Parameter("reason", .string(1...4096), .required, "why it cannot run here"),
            ],
            "Ends the case as skipped.",
            entry: { Call($0, $1).run { call in throw ErrorValue(kind: .skip, call[1].string) } }),
        Function(
            "log",
            [
                Parameter("case", .any, .required, "the case"),
                Parameter(
                    "value", .any, .required,
                    "a line for the report; of what is no text, what tostring makes of it: `inspect.text` shows a table's contents"
                ),
            ],
            "Adds a line to the case's report.",
            entry: {
                Call($0, $1).run { call in
                    let text = call.text(of: call[1])
                    call.host.logged += text.utf8.count + 64
                    guard call.host.logged <= Host.longestLog else {
                        throw ErrorValue(kind: .memory, "case:log: more than 64 MiB in one case")
                    }
                    try call.hold(text.utf8.count + 64, "case:log")
                    call.host.log.append(text)
                    call.host.findingCame()
                    (call.host.realKernel as? TracingKernel)?.note("| " + text)
                    return call.nothing
                }
            }),
        Function(
            "metric",
            [
                caseParameter, Parameter("name", .string(1...200), .required, "what was measured"),
                Parameter("value", .number, .required, "the number"),
                Parameter("labels", .record(LabelKeys.all), .absent, "what it depends on"),
            ],
            "Keeps a number that was measured in the result, to be charted and compared.",
            entry: { Call($0, $1).run(metric) }),
        Function(
            "latencies",
            [
                caseParameter, Parameter("name", .string(1...200), .required, "what was measured"),
                Parameter("histogram", .object(LatencyHistogram.self), .required, "as `traffic` gives it"),
                Parameter("labels", .record(LabelKeys.conditions), .absent, "what they depend on"),
            ],
            "Keeps a distribution of latencies in the result, and its p50 and p99 as metrics. Of a paced stream's the name says "
                + "from what they count: \"from post\", \"from due\".",
            entry: { Call($0, $1).run(latencies) }),
        Function(
            "expect_kernel_log",
            [
                caseParameter,
                Parameter("pattern", .string(1...1000), .required, "a Lua pattern that a line of the kernel's log has"),
                Parameter(
                    "sometimes", .boolean, .absent,
                    "whether the kernel may leave it out: it limits how often it reports an IOMMU fault, for one"),
            ],
            "Declares that the kernel will complain while the case runs, or has just done so: a complaint (WARNING, BUG, a report of "
                + "lockdep or KASAN, an IOMMU fault, a new taint flag) that no pattern fits fails the case, and so does a pattern "
                + "that nothing fits. Where nobody can see a kernel's log, as on a simulated bench, the result says that this "
                + "was not checked.",
            entry: {
                Call($0, $1).run { call in
                    let count = call.host.expectedKernelLog.count + call.host.allowedKernelLog.count
                    guard count < Host.mostKernelPatterns else {
                        throw ErrorValue(
                            kind: .memory,
                            "case:expect_kernel_log: more than \(Host.mostKernelPatterns) patterns in one case")
                    }
                    if let problem = LuaPattern.problem(of: call[1].string) {
                        throw ErrorValue(
                            kind: .argument, "case:expect_kernel_log: 'pattern' is no Lua pattern: \(problem)")
                    }
                    if call[2].isPresent, call[2].bool {
                        call.host.allowedKernelLog.append(call[1].string)
                    } else {
                        call.host.expectedKernelLog.append(call[1].string)
                    }
                    return call.nothing
                }
            }),
        Function(
            "fail",
            [Parameter("message", .string, .required, "what was expected and what was found")] + wrongAnswer(.absent),
            "Ends the case as failed; what `expect` uses. Records keep which answer was wrong.",
            entry: {
                Call($0, $1).run { call in
                    var error = ErrorValue(kind: .expectation, call[0].string)
                    if call[1].isPresent, call[2].isPresent { error.wrong = call.wrongAnswer(from: 1) }
                    throw error
                }
            }),
        Function(
            "fixed",
            [
                Parameter("message", .string, .required, "what was found"),
                Parameter("right", .string(0...200), .required, "the answer, which is a right kernel's"),
                Parameter("what", .string(0...200), .absent, "of what: \"the map\""),
            ],
            "Ends a case about a known bug as failed, as the kernel does not have the bug. Records and results keep that.",
            entry: {
                Call($0, $1).run { call in
                    var error = ErrorValue(kind: .fixed, call[0].string)
                    error.wrong = WrongAnswer(
                        found: call[1].string, right: call[1].string, what: call[2].isPresent ? call[2].string : "")
                    throw error
                }
            }),
        Function(
            "wrong", wrongAnswer(.required),
            "Says in a record that an answer of the kernel is wrong, and goes on: a mail or C made of the record then knows the "
                + "bug. For a case that passes while the kernel has a known bug.",
            entry: {
                Call($0, $1).run { call in
                    call.host.foundWrong?(call.wrongAnswer(from: 0))
                    return call.nothing
                }
            }),
        Function(
            "errno", [Parameter("name", .string(1...100), .required, "a C name, such as \"EINVAL\"")],
            returns: [.integer],
            "An errno's number; a name that none has is refused. What `expect` uses.",
            entry: {
                Call($0, $1).run { call in
                    let name = call[0].string
                    if let errno = Errno(name: name) { return call.push(Int64(errno.code)) }
                    let near = nearest(to: name.uppercased(), in: Errno.allNames).map { "; did you mean '\($0)'?" }
                    throw ErrorValue(kind: .argument, "no errno is called '\(name)'\(near ?? "")")
                }
            }),
        Function(
            "nearest",
            [
                Parameter("word", .string(0...200), .required, "a name that is not known"),
                Parameter("names", .list(.string(0...200), 0...4096), .required, "those that are"),
            ],
            returns: [.optional(.string)],
            "The name that was probably meant; nil where none is near. What errors of the library's module `keys` suggest.",
            entry: {
                Call($0, $1).run { call in
                    let names = (0..<call[1].count).map { call[1][$0].string }
                    guard let near = nearest(to: call[0].string, in: names) else { return call.push(LuaValue.none) }
                    return call.push(near)
                }
            }),
        Function(
            "bench", [Parameter("case", .any, .required, "the case")], returns: [.string],
            "\"sim\" where the bench is simulated, \"real\" where a real kernel answers.",
            entry: { Call($0, $1).run { call in call.push(call.host.isSimulated ? "sim" : "real") } }),
    ] + roleFunctions)

private func metric(_ call: Call) throws -> CInt {
    let value = call[2].double
    guard value.isFinite else {
        throw ErrorValue(kind: .argument, "case:metric: '\(call[1].string)' is \(value), which is no measurement")
    }
    guard call.host.metrics.count < Host.mostMetrics else {
        throw ErrorValue(kind: .memory, "case:metric: more than \(Host.mostMetrics) in one case")
    }
    try call.hold(256, "case:metric")
    let labels = call[3].table
    call.host.metrics.append(
        Metric(
            name: call[1].string, value: value, unit: labels[LabelKeys.unit] ?? "",
            better: labels[LabelKeys.isHigherBetter].map { $0 ? "higher" : "lower" } ?? "",
            size: labels[LabelKeys.size], st: labels[LabelKeys.st], ph: labels[LabelKeys.ph]?.name))
    call.host.findingCame()
    return call.nothing
}

private func latencies(_ call: Call) throws -> CInt {
    let histogram = call[2].object(LatencyHistogram.self).pointee.histogram
    let name = call[1].string + call[2].object(LatencyHistogram.self).pointee.label
    guard histogram.totalCount > 0 else {
        throw ErrorValue(kind: .argument, "case:latencies: '\(name)' has none")
    }
    try call.hold(2048, "case:latencies")
    let labels = call[3].table
    let (size, st, ph) = (labels[LabelKeys.size], labels[LabelKeys.st], labels[LabelKeys.ph]?.name)
    func value(_ percentile: Double) -> Double { Double(histogram.valueAtPercentile(percentile)) }
    call.host.distributions.append(
        Distribution(
            name: name, count: Int64(clamping: histogram.totalCount), mean: histogram.mean,
            percentiles: Distribution.kept.map { [$0, value($0)] }, size: size, st: st, ph: ph))
    for (label, percentile) in [("p50", 50.0), ("p99", 99.0)] {
        call.host.metrics.append(
            Metric(
                name: "\(name) \(label)", value: value(percentile), unit: "ns", better: "lower", size: size, st: st,
                ph: ph))
    }
    call.host.findingCame()
    return call.nothing
}
