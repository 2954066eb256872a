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
            Run.self, PlanCommand.self, DoctorCommand.self, BindCommand.self, RestoreCommand.self, BatchCommand.self,
            ResultsCommand.self,
            ABCommand.self,
            ReplayCommand.self, ExportCommand.self, MinimiseCommand.self, BundleCommand.self, ReportCommand.self,
            LabCommand.self, DeviceCommand.self, ListCommand.self, Help.self, Stubs.self, WallsCommand.self,
        ])

    static func main() {
        if GuestInit.isWanted { GuestInit.main() }
        let given = withNegativeValues(Array(CommandLine.arguments.dropFirst()))
        refuseSeparateTrace(given)
        var arguments = withTraceValue(given)
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

    /// Refuses `--trace FILE SCENARIO`, which would run FILE and trace to the terminal.
    private static func refuseSeparateTrace(_ arguments: [String]) {
        let words = arguments.prefix { $0 != "--" }
        guard arguments.first == Run.configuration.commandName, let place = words.firstIndex(of: "--trace"),
            words.indices.contains(place + 1), case let word = words[place + 1],
            !word.hasPrefix("-"), !word.hasSuffix(".lua"),
            words[(place + 2)...].contains(where: { $0.hasSuffix(".lua") })
        else { return }
        print("Error: --trace takes its file behind '=': --trace=\(word)", to: STDERR_FILENO)
        Glibc.exit(ExitStatus.usage.rawValue)
    }

    /// Makes `--trace` alone `--trace=-`: the argument parser has no options with an optional value.
    private static func withTraceValue(_ arguments: [String]) -> [String] {
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments.enumerated().map { $0.offset < end && $0.element == "--trace" ? "--trace=-" : $0.element }
    }
}
