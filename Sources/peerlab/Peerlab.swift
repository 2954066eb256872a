import Commands
import ArgumentParser
import Glibc
import Kernel
import LabBench
import Synchronization

/// The command line.
@main
struct Peerlab: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "peerlab",
        abstract: "Scripted experiments with PCIe peer-to-peer memory: VFIO dma-bufs, TPH, RDMA.",
        discussion: """
            Exit codes: 0 passed (some cases may be skipped), 1 failed, 2 wrong usage or an unusable file, \
            3 nothing is worse but something cannot be decided (ab, results compare), 4 everything skipped, 70 internal error, 130 interrupted.
            """,
        version: "peerlab \(version)",
        subcommands: [
            Run.self, PlanCommand.self, BindCommand.self, RestoreCommand.self, BatchCommand.self, ResultsCommand.self,
            ABCommand.self,
            ReplayCommand.self, ExportCommand.self, MinimiseCommand.self, BundleCommand.self, ReportCommand.self,
            LabCommand.self, DeviceCommand.self, Help.self, Stubs.self, WallsCommand.self,
        ])

    static func main() {
        if GuestInit.isWanted { GuestInit.main() }
        var arguments = withTraceValue(Array(CommandLine.arguments.dropFirst()))
        // The parser looks at every subcommand's options before it looks at one's own; the one that must start fast is its
        // own root.
        var root: any ParsableCommand.Type = Peerlab.self
        if arguments.first == Run.configuration.commandName {
            root = Run.self
            arguments.removeFirst()
        }
        CommandLineProgram.run(root, arguments) { try OptionTable.check($0, arguments) }
    }

    /// `--trace` alone is `--trace=-`: the argument parser knows no option whose value may be left out.
    private static func withTraceValue(_ arguments: [String]) -> [String] {
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments.enumerated().map { $0.offset < end && $0.element == "--trace" ? "--trace=-" : $0.element }
    }
}
