import Commands
import ArgumentParser
import Glibc
import Kernel
import LabBench
import Synchronization

/// The command line.
@main
struct Peerlab: ParsableCommand {
    static let version = "0.2.0"

    static let configuration = CommandConfiguration(
        commandName: "peerlab",
        abstract: "Scripted experiments with PCIe peer-to-peer memory: VFIO dma-bufs, TPH, RDMA.",
        discussion: """
            Exit codes: 0 passed (some cases may be skipped), 1 failed, or a file could not be run, 2 wrong usage and nothing was run, \
            3 nothing is worse but something cannot be decided (ab, results compare), 4 everything skipped, 70 internal error, 130 interrupted.
            """,
        version: "peerlab \(version)",
        subcommands: [
            Run.self, InitCommand.self, CheckCommand.self, ReplCommand.self, PlanCommand.self, DoctorCommand.self,
            BindCommand.self, RestoreCommand.self,
            BatchCommand.self, ResultsCommand.self,
            ABCommand.self,
            ReplayCommand.self, ExportCommand.self, MinimiseCommand.self, BundleCommand.self, ReportCommand.self,
            LabCommand.self, DeviceCommand.self, ListCommand.self, Help.self, Stubs.self, ManualCommand.self,
            WallsCommand.self,
        ])

    static func main() {
        if GuestInit.isWanted { GuestInit.main() }
        var arguments = withTraceValue(withNegativeValues(Array(CommandLine.arguments.dropFirst())))
        // The parser examines the options of all subcommands first. A command that must start fast is therefore parsed
        // as a root of its own.
        var root: any ParsableCommand.Type = Peerlab.self
        if arguments.first == Run.configuration.commandName {
            root = Run.self
            arguments.removeFirst()
        }
        CommandLineProgram.run(root, arguments) { try OptionTable.check($0, arguments) }
    }

    /// Makes `--seed -1` `--seed=-1`: the parser takes -1 for an option, and no option of ours is a number.
    private static func withNegativeValues(_ arguments: [String]) -> [String] {
        var result: [String] = []
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        for (index, word) in arguments.enumerated() {
            let isNumber = word.first == "-" && word.dropFirst().first?.isNumber == true
            if isNumber, index < end, let last = result.last, last.hasPrefix("--"), !last.contains("=") {
                result[result.count - 1] = last + "=" + word
            } else {
                result.append(word)
            }
        }
        return result
    }

    /// Gives `--trace` its value, for the argument parser has no options with an optional one: the next word where that is
    /// no scenario and leaves one for the command, else "-".
    private static func withTraceValue(_ arguments: [String]) -> [String] {
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        guard let place = arguments[..<end].firstIndex(of: "--trace") else { return arguments }
        let alone = arguments[..<place] + ["--trace=-"] + arguments[(place + 1)...]
        guard arguments.first == Run.configuration.commandName, place + 1 < end else { return Array(alone) }
        let file = arguments[place + 1]
        guard !file.hasPrefix("-") || file == "-", !file.hasSuffix(".lua"), !ShippedScenarios.isShipped(file) else {
            return Array(alone)
        }
        let together = Array(arguments[..<place] + ["--trace=\(file)"] + arguments[(place + 2)...])
        return (try? Run.parse(Array(together.dropFirst()))) == nil ? Array(alone) : together
    }
}
