import Commands
import ArgumentParser
import Bindings
import Glibc
import LuaKit
import Runner

/// `peerlab help`
struct Help: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help",
        abstract: "Show what a scenario is for and its options, or what a Lua module offers.")

    @ArgumentParser.Argument(
        help: "A command, a scenario file, or a module: vfio, iommufd, type1, memory, rdma, traffic, sys, bench, case.")
    var topic: String?

    func run() throws {
        guard let topic else {
            printDocument(Peerlab.helpMessage(), to: STDOUT_FILENO)
            return
        }
        if let command = Peerlab.configuration.subcommands.first(where: { $0.configuration.commandName == topic }) {
            printDocument(Peerlab.helpMessage(for: command), to: STDOUT_FILENO)
            return
        }
        if let module = modules.first(where: { $0.name == topic }) {
            printDocument(Reference.lines(module).joined(separator: "\n"), to: STDOUT_FILENO)
            return
        }
        do {
            try describe(topic)
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        }
    }

    /// Time limit for loading a file, seconds.
    private static let timeout = 10.0

    private func describe(_ file: String) throws {
        let library = Library(stdlib: StdlibFolders.all(extra: []))
        _ = Confinement(simulated: [file], library, memory: Confinement.modelMemory).apply()
        ProcessLimits.watch(seconds: Help.timeout, memory: .max, statm: -1) { _ in
            print("peerlab: \(file): it does not say in \(Int(Help.timeout)) s what it is", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        let description = try ScenarioDescription(file, library, isSimulated: true)
        if let error = description.error { throw error }
        guard let scenario = description.scenario else {
            print("\(file): a plain script; it declares no options", to: STDOUT_FILENO)
            return
        }
        print("\(scenario.name)" + (scenario.about.isEmpty ? "" : ": \(scenario.about)"), to: STDOUT_FILENO)
        let claims = [("concerns", scenario.concerns), ("expected", scenario.expected), ("seen", scenario.seen)]
        for (key, claim) in claims {
            if let claim { print("  \(key): \(claim)", to: STDOUT_FILENO) }
        }
        if !scenario.options.isEmpty { printDocument("\noptions (--set NAME=VALUE):", to: STDOUT_FILENO) }
        let width = scenario.options.map(\.name.count).max() ?? 0
        for option in scenario.options {
            let name = option.name + String(repeating: " ", count: width - option.name.count)
            let fallback = option.fallback.map { ", default \(plainText($0))" } ?? ", must be given"
            print("  \(name)  \(option.about) (\(option.typeText)\(fallback))", to: STDOUT_FILENO)
        }
        if !scenario.needs.isEmpty {
            printDocument("\nneeds: " + scenario.needs.map(\.rawValue).joined(separator: ", "), to: STDOUT_FILENO)
        }
        printDocument("\ncases:", to: STDOUT_FILENO)
        for one in scenario.cases { print("  \(one.name)", to: STDOUT_FILENO) }
    }
}

/// `peerlab stubs`
struct Stubs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stubs",
        abstract: "Print editor stubs (LuaLS) of a Lua module.", shouldDisplay: false)

    @Flag(help: "Print the module's page of the documentation instead.")
    var markdown = false

    @ArgumentParser.Argument(help: "The module.")
    var module: String

    func run() throws {
        guard let module = modules.first(where: { $0.name == module }) else {
            throw ValidationError("no module '\(module)': \(modules.map(\.name).joined(separator: ", "))")
        }
        printDocument(markdown ? Reference.page(module) : Reference.stubs(module), to: STDOUT_FILENO)
    }
}
