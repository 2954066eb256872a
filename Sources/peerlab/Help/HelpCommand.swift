import ArgumentParser
import Bindings
import Commands
import Glibc
import LuaKit
import Runner

/// `peerlab help`
struct Help: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help",
        abstract: "Explain a command, a scenario and how to write one, a Lua module or function, benches, or an errno.",
        discussion: """
            A topic is a command (run, device several), a scenario by name or file, a module (modules lists them), a \
            function, class or field (vfio.open, device:region_info, expect.equal), benches or one of them, an errno \
            (EINVAL), or errors with an errno or a call (errors ibv_reg_mr). scenario, options, needs and effects explain how to \
            write a scenario.
            """)

    @ArgumentParser.Argument(
        help: ArgumentHelp("What to explain.", valueName: "topic"), completion: .custom(Completions.topics))
    var topics: [String] = []

    func run() throws {
        guard let topic = topics.first else {
            printDocument(Peerlab.helpMessage(), to: STDOUT_FILENO)
            return
        }
        if let lines = try lines() {
            for line in lines { line.isEmpty ? printDocument("", to: STDOUT_FILENO) : print(line, to: STDOUT_FILENO) }
            return
        }
        let isFile = topic.contains("/") || topic.hasSuffix(".lua") || access(topic, F_OK) == 0
        if topics.count == 1, isFile || ShippedScenarios.isShipped(topic) {
            return try ScenarioHelp.show(try ShippedScenarios.path(topic))
        }
        let word = HelpTopics.nearest(to: topic) ?? ErrorReference.nearest(to: topic)
        let module = HelpTopics.module(of: topic).map { "; `peerlab help \($0)` lists what \($0) has" }
        let near = word.map { "; did you mean '\($0)'?" } ?? module ?? ""
        throw ValidationError("there is no help about '\(topics.joined(separator: " "))'\(near)")
    }

    /// The lines about a topic; nil where it may be a scenario. Text of commands is printed here.
    private func lines() throws -> [String]? {
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        switch (topics[0], topics.count) {
        case ("benches", 1): return HelpTopics.benches(library)
        case ("modules", 1): return HelpTopics.modules(library)
        case ("errors", 1): return ErrorReference.overview
        case ("errors", 2...):
            let word = topics.dropFirst().joined(separator: " ")
            if let lines = ErrorReference.lines(word) { return lines }
            let near = ErrorReference.nearest(to: word).map { "; did you mean '\($0)'?" } ?? ""
            throw ValidationError("no errno and no call is called '\(word)'\(near)")
        case (ResultsCommand.configuration.commandName, 2...):
            try ResultsTool.become(Array(topics.dropFirst()) + ["--help"])
        default: break
        }
        if let command = try HelpTopics.command(topics) {
            if command == ResultsCommand.self { try ResultsTool.become(["--help"]) }
            return Peerlab.helpMessage(for: command).split(separator: "\n", omittingEmptySubsequences: false).map(
                String.init)
        }
        return topics.count == 1 ? HelpTopics.lines(topics[0], library) : nil
    }
}

/// `peerlab stubs`
struct Stubs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stubs",
        abstract: "Print editor stubs (LuaLS) of a Lua module.")

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
