import Commands
import Runner

extension ForeignLimits {
    /// The same options as words, for the program in the lab's guest.
    var words: [String] { ["--timeout", timeout, "--memory", memory] }

    /// `--timeout`, seconds.
    var seconds: Double { get throws { try Limits(timeout: timeout, memory: memory).timeout ?? LabRun.defaultTime } }
}

extension Confinement {
    /// For a replay of a record on this machine's devices.
    static func devices(_ on: RecordBench, _ library: Library) -> Confinement {
        Confinement(real: [], library, insideLab: on.insideLab != nil, granted: nil, port: nil)
    }
}
