import LabBench
import LuaKit
import Runner

extension RunProgress.Death {
    /// Kinds of errors that mean that a case's guest died.
    static let ofGuests: Set<ErrorKind> = [.kernelDied, .guestHung, .emulator]

    /// What an abnormal end of the guest means for the running case; nil where it means nothing for it.
    static func of(_ verdict: LabVerdict, in stage: String) -> RunProgress.Death? {
        switch verdict {
        case .panicked(let tail):
            let lines = tail.split(separator: "\n").map(String.init)
            let signs = ["Kernel panic", "BUG: ", "Oops: "].lazy.compactMap { sign in
                lines.lazy.compactMap { line in line.firstRange(of: sign).map { line[$0.lowerBound...] } }.first
            }
            var why = signs.first.map { ": \($0)" } ?? ""
            if tail.contains(LabVerdict.keptBreakpoint) {
                why += "; QEMU is known to keep a breakpoint of a kernel that patches its own code: run it again"
            }
            return RunProgress.Death(
                kind: .kernelDied, "the kernel died in \(stage)\(why)", kernel: KernelFindings(lines: lines))
        case .hung(let tail):
            return RunProgress.Death(
                kind: .guestHung, "the guest stood still in \(stage): \(LabVerdict.silence)",
                kernel: KernelFindings(lines: tail.split(separator: "\n").map(String.init)))
        case .timedOut(let seconds):
            return RunProgress.Death(kind: .timeout, "the guest's time of \(seconds) s was over in \(stage)")
        case .interrupted:
            return RunProgress.Death(kind: .interrupt, "interrupted in \(stage)", verdict: .interrupted)
        case .devicesFailed(let reason):
            return RunProgress.Death(
                kind: .crash, "the process of the emulated devices has crashed in \(stage): \(reason)")
        case .qemuFailed(let reason):
            return RunProgress.Death(kind: .emulator, "QEMU failed in \(stage): \(reason)")
        case .finished(let code) where LabRun.isSignal(code):
            let name = BatchVerdict.name(code - 128)
            return RunProgress.Death(kind: .crash, "its process was ended by \(name) in \(stage)")
        case .finished, .neverBooted, .diedBooting, .refused, .noQEMU, .noKernel: return nil
        }
    }
}
