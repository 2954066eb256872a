/// How a run in the lab bench's guest ended. `consoleTail` is the end of the guest kernel's log.
public enum LabVerdict: Equatable, Sendable {
    /// The command ended, or init could not set the guest up: exit code 70, with the reason on standard error.
    case finished(exitCode: Int32)
    /// The guest's kernel panicked, or the machine reset itself while the command ran.
    case panicked(consoleTail: String)
    /// The kernel panicked before user space was reached.
    case diedBooting(consoleTail: String)
    /// User space was reached, and later nothing came from the guest for half a minute.
    case hung(consoleTail: String)
    /// User space was not reached within the boot's time.
    case neverBooted(consoleTail: String)
    /// An interrupt came before the command was started, or the command did not end within its grace after one.
    case interrupted(consoleTail: String)
    /// The command exceeded its time.
    case timedOut(seconds: Double)
    /// The guest has broken the protocol of frames.
    case refused(reason: String)
    /// There is no QEMU to run.
    case noQEMU(message: String)
    /// There is no kernel to boot.
    case noKernel(message: String)
    /// The process that serves its devices, which is this program's own, crashed or ended first: how, and what it and QEMU said.
    case devicesFailed(stderr: String)
    /// QEMU refused its arguments, died, or could not be started; with its standard error, or the reason.
    case qemuFailed(stderr: String)
}

extension LabVerdict {
    /// Message of a kernel that ran into its own breakpoint, which QEMU kept: see LabMachine.swift.
    public static let keptBreakpoint = "Oops: int3"

    /// Whether the guest probably died of a fault of QEMU.
    var isByEmulator: Bool {
        switch self {
        case .panicked(let tail), .diedBooting(let tail): tail.contains(Self.keptBreakpoint)
        default: false
        }
    }
}

extension LabVerdict: CustomStringConvertible {
    /// The reason reported for a guest that has stopped responding.
    public static let silence = "nothing was heard of it for \(GuestWatch.longestSilence.components.seconds) s"

    /// Text for the user.
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
