import ArgumentParser
import Bindings
import CKernel
import Commands
import Devices
import FoundationEssentials
import Glibc
import Kernel
import LabBench
import LiveKernel
import LuaKit
import Records
import Runner
import SimKernel
import Synchronization

/// The output for trace lines.
struct TraceFile: Sendable {
    private let file: LineFile?

    /// nil for none.
    init(_ file: ResultFile?) throws(Failure) {
        self.file = try file.map { file throws(Failure) in try LineFile(file) }
    }

    func write(_ line: String) { file?.write(PrintableText.line(line, longest: TraceFile.longest), .now) }

    /// Bytes of the longest line. Traces cut a call's data far below that.
    private static let longest = 1 << 20

    /// Whether all lines were written; reports it where not.
    func finish() -> Bool { file?.finish() ?? true }

    /// The same when the process ends now.
    func finishNow() { file?.finishNow() }
}

/// The files that a run writes.
struct RunOutputs {
    let json: ResultFile?
    let trace: ResultFile?
    let tlp: ResultFile?
    let record: ResultFile?

    /// Throws unless all can be written and none is a file that the run reads. `json`: the file for the results, where
    /// it is open already.
    init(_ run: Run, json opened: ResultFile? = nil) throws {
        var files = OutputFiles()
        files.read(scripts: run.files)
        run.on.read(into: &files)
        if let path = run.expect.path { files.read("the known failures", path) }
        json = try opened ?? files.write("--json", run.json)
        record = try files.write("--record", run.record)
        trace = try files.write("--trace", run.trace, dash: STDERR_FILENO)
        tlp = try files.write("--tlp", run.tlp, dash: STDERR_FILENO)
    }

    var all: [ResultFile] { [json, trace, tlp, record].compactMap { $0 } }
}
