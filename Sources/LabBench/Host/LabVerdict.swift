/// How a run in the lab bench's guest ended. `consoleTail` is the end of the guest kernel's log.
public enum LabVerdict: Equatable, Sendable {
    /// The command ended, or the guest's first program could not set the guest up: exit code 70, with the reason on standard error.
    case finished(exitCode: Int32)
    /// The guest's kernel panicked, or the machine reset itself while the command ran.
    case panicked(consoleTail: String)
    /// It panicked before user space was reached.
    case diedBooting(consoleTail: String)
    /// User space was reached, and then nothing was heard of the guest for half a minute.
    case hung(consoleTail: String)
    /// User space was not reached within the boot's time.
    case neverBooted(consoleTail: String)
    /// The command did not end within its grace after an interrupt, or had not been started yet.
    case interrupted(consoleTail: String)
    /// It did not end in the time that it had.
    case timedOut(seconds: Double)
    /// The guest has broken the protocol of frames.
    case refused(reason: String)
    /// There is no QEMU to run.
    case noQEMU(message: String)
    /// There is no kernel to boot.
    case noKernel(message: String)
    /// The process that serves its devices, which is this program's own, crashed or ended first: how, and what it and QEMU said.
    case devicesFailed(stderr: String)
    /// QEMU refused its arguments or died, or could not be started; its words, or the reason.
    case qemuFailed(stderr: String)
}

extension LabVerdict {
    /// What a kernel says that met a breakpoint of its own which QEMU kept: see LabMachine.swift.
    public static let keptBreakpoint = "Oops: int3"

    /// Whether the guest seems to have died of a fault of QEMU's.
    var isByEmulator: Bool {
        switch self {
        case .panicked(let tail), .diedBooting(let tail): tail.contains(Self.keptBreakpoint)
        default: false
        }
    }
}

extension LabVerdict: CustomStringConvertible {
    /// The reason that is reported for a guest that stands still.
    public static let silence = "nothing was heard of it for \(GuestWatch.longestSilence.components.seconds) s"

    /// What to tell the user.
    public var description: String {
        switch self {
        case .finished(let exitCode): "the command ended with exit code \(exitCode)"
        case .panicked(let tail): "the guest's kernel died; its last words:\n\(tail)"
        case .diedBooting(let tail): "the guest's kernel died while it booted; its last words:\n\(tail)"
        case .hung(let tail): "the guest stands still: \(Self.silence); the console's end:\n\(tail)"
        case .neverBooted(let tail): "the guest did not reach user space in time; the console's end:\n\(tail)"
        case .interrupted(let tail): "interrupted, and the guest was stopped by force; the console's end:\n\(tail)"
        case .timedOut(let seconds): "the guest's time, \(seconds) s, was over, and it was ended"
        case .refused(let reason): "the guest was ended: \(reason)"
        case .noQEMU(let message), .noKernel(let message): message
        case .devicesFailed(let stderr):
            "the process of the emulated devices, which is peerlab's own, has crashed: \(stderr)"
        case .qemuFailed(let stderr): "QEMU failed: \(stderr)"
        }
    }
}
