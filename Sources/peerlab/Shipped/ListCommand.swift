import ArgumentParser
import Batch
import Commands
import FoundationEssentials
import Glibc
import LuaKit
import Runner

/// `peerlab list`
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the scenarios, reproducers and simulated benches that come with peerlab.",
        discussion: """
            run, batch, plan, bundle, ab and help take a scenario by its name here, --bench a bench as sim:NAME. A batch \
            also takes scenarios or reproducers, for all of them.
            """)

    /// One line of the list.
    private struct Item: Encodable {
        /// "scenario"
        let kind: String
        /// The heading that it is below: "scenarios".
        let heading: String
        let name: String
        var about = ""
        var tags: [String] = []
        var needs: [String] = []
        let file: String

        private enum CodingKeys: CodingKey { case kind, name, about, tags, needs, file }

        /// The words that are searched.
        var text: String { ([name, about] + tags + needs).joined(separator: " ").lowercased() }
    }

    @Option(help: ArgumentHelp("Only scenarios with these tags: 'tph and not slow'.", valueName: "EXPRESSION"))
    var tag: String?

    @Flag(help: "Print a JSON document.")
    var json = false

    @ArgumentParser.Argument(
        help: "scenarios, reproducers or benches: only these; any other word must be in name, about, tags or needs.",
        completion: .list(kinds))
    var words: [String] = []

    private static let kinds = ShippedScenarios.Kind.allCases.map(\.rawValue) + ["benches"]

    /// Time limit for loading all files, seconds.
    private static let timeout = 20.0

    func run() throws {
        let expression: TagExpression?
        do throws(TagExpression.Invalid) { expression = try tag.map(TagExpression.init) } catch {
            throw ValidationError("--tag: \(error.message)")
        }
        let wanted = words.filter(ListCommand.kinds.contains)
        let searched = words.filter { !ListCommand.kinds.contains($0) }.map { $0.lowercased() }
        let items = try all(wanted.isEmpty ? ListCommand.kinds : wanted).filter { item in
            searched.allSatisfy(item.text.contains)
                && (expression.map { item.kind != "bench" && $0.matches(item.tags) } ?? true)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            printDocument(String(decoding: try encoder.encode(items), as: UTF8.self), to: STDOUT_FILENO)
        } else {
            show(items)
        }
        guard items.isEmpty else { return }
        let near = searched.first.flatMap { nearest(to: $0, in: ShippedScenarios.all.map(\.name)) }
        print(
            "peerlab: nothing that comes with peerlab fits" + (near.map { "; did you mean '\($0)'?" } ?? ""),
            to: STDERR_FILENO)
        throw ExitCode(ExitStatus.fail.rawValue)
    }

    private func show(_ items: [Item]) {
        let width = items.map(\.name.count).max() ?? 0
        var heading = ""
        for item in items {
            if item.heading != heading {
                printDocument((heading.isEmpty ? "" : "\n") + "\(item.heading):", to: STDOUT_FILENO)
            }
            heading = item.heading
            let name = item.name + String(repeating: " ", count: width - item.name.count)
            let tags = item.tags.isEmpty ? "" : "  (\(item.tags.joined(separator: ", ")))"
            print("  \(name)  \(item.about)\(tags)", to: STDOUT_FILENO)
        }
    }

    private func all(_ kinds: [String]) throws -> [Item] {
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        let files = ShippedScenarios.all.filter { kinds.contains($0.kind.rawValue) }
        _ = Confinement(simulated: files.map(\.path), library, memory: Confinement.modelMemory).apply()
        ProcessLimits.watch(seconds: ListCommand.timeout, memory: .max, statm: -1) { _ in
            print("peerlab: list: loading what the files say does not end", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        var items: [Item] = []
        for file in files {
            do throws(ErrorValue) {
                let description = try ScenarioDescription(file.path, library, isSimulated: true)
                if let error = description.error { throw error }
                guard let scenario = description.scenario else { continue }
                items.append(
                    Item(
                        kind: String(file.kind.rawValue.dropLast()), heading: file.kind.rawValue, name: file.name,
                        about: scenario.about, tags: scenario.tags,
                        needs: scenario.needs.map(\.rawValue), file: file.path))
            } catch {
                throw ValidationError(error.line)
            }
        }
        guard kinds.contains("benches") else { return items }
        items += ShippedBench.all(library).map {
            Item(kind: "bench", heading: "benches", name: $0.name, about: $0.about, file: $0.path)
        }
        return items
    }
}
