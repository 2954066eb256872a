import ArgumentParser
import Bindings
import Commands
import Glibc
import LuaKit
import Runner

/// What `peerlab help` shows of a scenario.
enum ScenarioHelp {
    /// Time limit for loading a file, seconds.
    private static let timeout = 10.0

    /// Prints what a scenario's file declares; its cases do not run.
    static func show(_ file: String) throws {
        do throws(ErrorValue) { try describe(file) } catch { throw ValidationError(error.line) }
    }

    private static func describe(_ file: String) throws(ErrorValue) {
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        _ = Confinement(simulated: [file], library, memory: Confinement.modelMemory).apply()
        ProcessLimits.watch(seconds: timeout, memory: .max, statm: -1) { _ in
            print("peerlab: \(file): it does not say in \(Int(timeout)) s what it is", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        let description = try ScenarioDescription(file, library, isSimulated: true)
        if let error = description.error { throw error }
        guard let scenario = description.scenario else {
            print("\(file): a plain script; it declares no options", to: STDOUT_FILENO)
            return
        }
        for line in lines(scenario) {
            line.isEmpty ? printDocument("", to: STDOUT_FILENO) : print(line, to: STDOUT_FILENO)
        }
    }

    /// The lines of a scenario.
    private static func lines(_ scenario: Scenario) -> [String] {
        var lines = ["\(scenario.name)" + (scenario.about.isEmpty ? "" : ": \(scenario.about)")]
        let limits = scenario.limits
        let facts: [(String, String?)] = [
            ("concerns", scenario.concerns), ("expected", scenario.expected), ("seen", scenario.seen),
            ("tags", list(scenario.tags)), ("roles", list(scenario.roles)),
            ("needs", list(scenario.needs.map(\.rawValue))),
            ("effects", scenario.effects.map { list($0.sorted().map(\.rawValue)) ?? "none" }),
            ("timeout", limits.timeout.map { "\(Int(exactly: $0).map(String.init) ?? String($0)) s" }),
            ("memory", limits.memory.map { "\($0) B" }),
        ]
        lines += facts.compactMap { name, value in value.map { "  \(name): \($0)" } }
        if !scenario.options.isEmpty { lines += ["", "options (--set NAME=VALUE):"] }
        let width = scenario.options.map(\.name.count).max() ?? 0
        lines += scenario.options.map { option in
            let name = option.name + String(repeating: " ", count: width - option.name.count)
            let fallback = option.fallback.map { ", default \(plainText($0))" } ?? ", must be given"
            return "  \(name)  \(option.about) (\(option.typeText)\(fallback))"
        }
        if !scenario.matrix.isEmpty {
            lines += ["", "matrix (batch runs each combination):"]
            lines += scenario.matrix.map { "  \($0.option): \($0.values.joined(separator: ", "))" }
        }
        return lines + ["", "cases:"] + scenario.cases.map { "  \($0.name)" }
    }

    private static func list(_ words: [String]) -> String? { words.isEmpty ? nil : words.joined(separator: ", ") }
}
