import ArgumentParser
import Commands

extension ResultsCommand {
    /// `peerlab results manual`: what scripts/install makes manual pages with.
    struct Manual: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write manual pages of all commands into a folder.", shouldDisplay: false)

        @Argument(help: "The folder.") var folder: String

        func run() throws { try ManualPages(ResultsCommand.self).write(to: folder) }
    }
}
