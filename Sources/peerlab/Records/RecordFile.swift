import ArgumentParser
import Commands
import Devices
import Glibc
import Kernel
import LuaKit
import Records
import Runner

/// `--record FILE`: a record that is written while a scenario runs.
struct RecordFile {
    let recorder: Recorder
    private let output: LineFile

    /// Begins the record of one file's run.
    init(_ file: ResultFile, of files: [String], on bench: Bench, model: String?, settings: [String]) throws {
        var header = [("script", files[0]), ("bench", String(bench.line.dropFirst("bench: ".count)))]
        for setting in settings { header.append(("set", setting)) }
        if let model { header.append(("model", model)) }
        for (key, value) in bench.machine().sorted(by: { $0.key < $1.key }) { header.append((key, value)) }
        if !bench.isSimulated, let line = firstLine(of: "/proc/cmdline") {
            // rdinit= only names the lab's init program.
            let words = line.split(separator: " ").filter { !$0.hasPrefix("rdinit=") }
            header.append(("command line", words.joined(separator: " ")))
        }
        if !bench.isSimulated {
            let versions = MachineTopology.versions(kernel: bench.makeKernel())
            header += versions.map { ($0.key, $0.fields) }
        }
        if !bench.isSimulated, model == nil {
            do throws(Failure) {
                let machine = try MachineTopology(kernel: bench.makeKernel())
                header += machine.lines.map { ($0.key, $0.fields) }
            } catch {
                print("peerlab: the record does not describe this machine: \(error.message)", to: STDERR_FILENO)
            }
        }
        header.append(("peerlab", Peerlab.version))
        let output = try LineFile(file)
        self.output = output
        recorder = Recorder(header: header.map { (key: $0.0, value: $0.1) }) { line in
            // Lines are written at once, as a crash of the kernel would lose them. Posted and polled work is buffered:
            // it may be a lot.
            let isWork = line.hasPrefix("ibv_post_") || line.hasPrefix("ibv_poll_cq")
            output.write(line, isWork ? .later : .now)
        }
    }

    /// Writes the remaining lines; false where a write failed, which it reports.
    func finish() -> Bool {
        recorder.finish()
        return output.finish()
    }

    /// The same when the process ends now.
    func finishNow() { output.finishNow() }

    /// Records the start and the first failure of a case, wrong answers, and what the scenario says of itself.
    func note(_ note: CaseNote) {
        switch note {
        case .begins(let name): recorder.note(name)
        case .fails(let error):
            let operation = error.errno == nil ? nil : error.operation
            recorder.fail(call: operation.flatMap { name in error.name.map { (name, $0) } }, error.line)
        case .wrong(let wrong): recorder.judge(found: wrong.found, right: wrong.right, wrong.what)
        case .scenario(let key, let text): recorder.tell(key, text)
        }
    }

    /// Records the calls of a kernel handle.
    func watch(_ kernel: TracingKernel?) {
        if let kernel { recorder.watch(kernel) }
    }
}

/// Name of the simulated bench that models this one, for the record; nil where none does.
func recordModel(_ on: BenchOptions, _ bench: Bench) -> String? {
    if bench.isSimulated { return on.bench == "sim" ? "sim:standard" : on.bench }
    return on.recordModel
}

private func firstLine(of path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 4096)
    guard fgets(&text, Int32(text.count), file) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
