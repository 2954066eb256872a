import ArgumentParser
import Commands
import Kernel

/// `peerlab manual`: what scripts/install makes manual pages with.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual", abstract: "Write manual pages of all commands into a folder.", shouldDisplay: false)

    @ArgumentParser.Argument(help: "The folder.") var folder: String

    func run() throws { try ManualPages(Peerlab.self, version: Peerlab.version).write(to: folder) }
}
