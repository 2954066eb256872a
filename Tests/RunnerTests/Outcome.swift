import Devices
import Glibc
import LuaKit
import Runner
import SimKernel
import TestBench

/// A file that is there as long as this is.
final class TemporaryScript {
    private let folder: String
    let path: String

    init(_ text: String) {
        var template = Array("/tmp/peerlab-test.XXXXXX".utf8CString)
        guard let folder = mkdtemp(&template) else { preconditionFailure("no folder in /tmp") }
        self.folder = String(cString: folder)
        path = self.folder + "/script.lua"
        guard let file = fopen(path, "w") else { preconditionFailure("no file in \(self.folder)") }
        fputs(text, file)
        fclose(file)
    }

    deinit {
        unlink(path)
        rmdir(folder)
    }
}

/// Runs a script on the simulated bench.
struct Outcome {
    var result: ScenarioResult?
    var error: ErrorValue?
    var lines: [String] = []
    let kernel: SimKernel

    init(
        _ text: String, _ settings: [(name: String, value: String)] = [], topology: Topology = .standard,
        tph: TPHChoice = .auto, expected: [ExpectedFailure] = [], cases: [String] = [], isOneOfMany: Bool = false,
        isPlain: Bool = false,
        kind: String = "sim"
    ) throws {
        let script = TemporaryScript(text)
        let path = script.path
        defer { withExtendedLifetime(script) {} }
        // One run is made below, in this thread.
        nonisolated(unsafe) let kernel = SimKernel(topology)
        self.kernel = kernel
        let bench = Bench(
            kind: kind, description: "test", isSimulated: kind == "sim", tph: tph, makeKernel: { kernel })
        let root = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined())
        let output = Lines()
        do throws(ErrorValue) {
            var context = RunContext(bench, Library(stdlib: [root + "/stdlib"]))
            context.sinks.report = { output.all.append($0) }
            context.expected = expected
            context.cases = CaseSelection(cases, isOneOfMany: isOneOfMany) { _ in isPlain }
            result = try ScenarioRun(path, in: context, settings: settings).run()
        } catch {
            self.error = error
        }
        lines = output.all
    }

    private final class Lines { var all: [String] = [] }
}
