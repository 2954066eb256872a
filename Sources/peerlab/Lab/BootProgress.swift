import CKernel
import Commands

/// Tells on a terminal how long a guest has been silent.
final class BootProgress {
    private let line = TerminalLine()
    private let start = sys_monotonic()
    /// When the guest was last heard; nil while it boots.
    private var heard: UInt64?
    /// Seconds that the line shows; nil without a line.
    private var shown: UInt64?

    /// To be called often. Of a guest that has spoken the line comes after five silent seconds, as a case may be long.
    func tick() {
        guard line.isTerminal else { return }
        let seconds = (sys_monotonic() - (heard ?? start)) / 1_000_000_000
        guard seconds != shown ?? 0, heard == nil || seconds >= 5 else { return }
        let text =
            heard == nil ? "the lab's guest boots: \(seconds) s" : "the lab's guest has been silent for \(seconds) s"
        shown = seconds
        line.show(text)
    }

    /// Before anything is printed: removes the line.
    func clear() {
        shown = nil
        line.clear()
    }

    /// The guest has printed or told something.
    func hear() {
        clear()
        heard = sys_monotonic()
    }
}
