import Kernel
import LuaKit

/// What a case gets as its first argument. Registered as a module, so that it is described as everything else.
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
            entry: { Call($0, $1).run { call in throw ErrorValue(kind: "skip", call[1].string) } }),
        Function(
            "log",
            [
                Parameter("case", .any, .required, "the case"),
                Parameter("text", .string, .required, "a line for the report"),
            ],
            "Adds a line to the case's report.",
            entry: {
                Call($0, $1).run { call in
                    call.host.log.append(call[1].string)
                    (call.host.realKernel as? TracingKernel)?.note("| " + call[1].string)
                    return call.nothing
                }
            }),
        Function(
            "fail", [Parameter("message", .string, .required, "what was expected and what was found")],
            "Ends the case as failed; what `expect` uses.",
            entry: { Call($0, $1).run { call in throw ErrorValue(kind: "expectation", call[0].string) } }),
        Function(
            "bench", [Parameter("case", .any, .required, "the case")], returns: "string",
            "\"sim\" where the bench is simulated, \"real\" where a real kernel answers.",
            entry: { Call($0, $1).run { call in call.push(call.host.isSimulated ? "sim" : "real") } }),
    ] + roleFunctions)
