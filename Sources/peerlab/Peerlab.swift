import ArgumentParser
import Glibc
import Kernel
import Synchronization

/// What the process ends with.
enum ExitStatus: Int32 {
    /// Every case passed, or some passed and the rest were skipped.
    case pass = 0
    /// A case failed, or something was left open.
    case fail = 1
    /// The command line, a scenario file or an option is wrong; nothing of it was run.
    case usage = 2
    /// Every case was skipped.
    case skipped = 4
    /// A fault of peerlab's own, or of the lab bench's guest.
    case software = 70
    /// Ctrl-C or SIGTERM; everything was released.
    case interrupted = 130
}

/// The command line.
@main
struct Peerlab: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "peerlab",
        abstract: "Scripted experiments with PCIe peer-to-peer memory: VFIO dma-bufs, TPH, RDMA.",
        discussion: """
            Exit codes: 0 passed (some cases may be skipped), 1 failed, 2 wrong usage or an unusable file, \
            4 everything skipped, 70 internal error, 130 interrupted.
            """,
        version: "peerlab \(version)",
        subcommands: [Run.self, BatchCommand.self, ResultsCommand.self, ABCommand.self, Help.self, Stubs.self])

    static func main() {
        let arguments = withTraceValue(Array(CommandLine.arguments.dropFirst()))
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
        } catch let status as ExitCode {
            Glibc.exit(status.rawValue)
        } catch {
            let text = fullMessage(for: error)
            let succeeded = exitCode(for: error).isSuccess
            if !text.isEmpty { print(text, to: succeeded ? STDOUT_FILENO : STDERR_FILENO) }
            Glibc.exit(succeeded ? ExitStatus.pass.rawValue : ExitStatus.usage.rawValue)
        }
    }

    /// `--trace` alone is `--trace=-`: the argument parser knows no option whose value may be left out.
    private static func withTraceValue(_ arguments: [String]) -> [String] {
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments.enumerated().map { $0.offset < end && $0.element == "--trace" ? "--trace=-" : $0.element }
    }
}

/// Writes a line at once: what is shown must be there when a guest or a device takes the machine down.
func print(_ line: String, to descriptor: Int32) {
    guard !writeAll(Array((line + "\n").utf8), to: descriptor), descriptor == STDOUT_FILENO else { return }
    lostOutput.store(errno, ordering: .relaxed)
}

/// Why a line of the report could not be written; 0 where all were. A full disk must not look like a pass.
let lostOutput = Atomic<Int32>(0)
