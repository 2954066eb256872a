import ArgumentParser
import Bindings
import Commands
import Devices
import Glibc
import LuaCheck
import LuaKit
import Runner

/// `peerlab plan`
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Print what a run would touch and change, without a device.",
        discussion: """
            A scenario says what it is for; what it changes is found out by running it on a simulated bench, and held \
            against what it declares. What a case that failed or was skipped there would have changed is not seen.
            """)

    @Option(help: "sim[:NAME or FILE]: where it is tried.", completion: .custom(Completions.benches))
    var bench = "sim"

    @Option(name: .customLong("set"), help: ArgumentHelp("Set a scenario's option.", valueName: "option=value"))
    var settings: [String] = []

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    @ArgumentParser.Argument(help: "Scenarios, by file or name.", completion: .custom(Completions.scenarios))
    var files: [String]

    /// Time limit of each file, seconds.
    private static let timeout = 20.0

    func run() throws {
        let files = try ShippedScenarios.paths(files)
        let library = Library(stdlib: ShippedFolders.stdlib(extra: lib))
        guard case .sim(let name) = try BenchChoice(bench) else {
            throw ValidationError("plan tries scenarios on a simulated bench: --bench sim:NAME")
        }
        let pairs = try settings.map(BenchOptions.pair)
        var isWhole = true
        do {
            let bench = try SimBench.make(name, tph: .auto, library: library)
            _ = Confinement(
                simulated: files, library, memory: Limits.defaultMemory + Confinement.modelMemory
            ).apply()
            ProcessLimits.watch(seconds: PlanCommand.timeout * Double(files.count + 1), memory: .max, statm: -1) { _ in
                print("peerlab: plan: loading what the files say does not end", to: STDERR_FILENO)
                _exit(ExitStatus.fail.rawValue)
            }
            for file in files {
                do throws(ErrorValue) {
                    try plan(file, bench, library, pairs)
                } catch {
                    print("peerlab: \(error.line)", to: STDERR_FILENO)
                    isWhole = false
                }
            }
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        }
        if !isWhole { throw ExitCode(ExitStatus.usage.rawValue) }
    }

    private func plan(
        _ file: String, _ bench: Bench, _ library: Library, _ pairs: [(name: String, value: String)]
    ) throws(ErrorValue) {
        var context = RunContext(bench, library)
        context.limits = Limits(timeout: PlanCommand.timeout)
        context.permissions = { Permissions(keepsFunctions: true, isHeld: false) }
        context.deadline = Deadline { _ in
            print("peerlab: \(file): it does not end", to: STDERR_FILENO)
            _exit(ExitStatus.fail.rawValue)
        }
        let script = try ScenarioScript(file, in: context)
        let scenario = LuaChecker.returnsNothing(script.text) ? nil : try script.describe()
        print("\(file)" + (scenario.map { ": \($0.name)" } ?? ": a plain script"), to: STDOUT_FILENO)
        if let scenario { describe(scenario) }
        let run = try ScenarioRun(file, in: context, settings: pairs)
        let result = try run.run()
        let verdict = result.skipped.isEmpty ? Report.summary([result]) : result.skipped.joined(separator: "; ")
        print("  tried on \(bench.description): \(verdict)", to: STDOUT_FILENO)
        tell(run.effects, scenario)
    }

    private func describe(_ scenario: Scenario) {
        for option in scenario.options {
            let fallback = option.fallback.map { ", default \(plainText($0))" } ?? ", must be given"
            let what =
                if case .pci = option.kind { "device" } else if case .rdma = option.kind { "device" } else { "option" }
            print("  \(what) \(option.name): \(option.typeText)\(fallback)", to: STDOUT_FILENO)
        }
        if !scenario.needs.isEmpty {
            print("  needs \(scenario.needs.map(\.rawValue).joined(separator: ", "))", to: STDOUT_FILENO)
        }
        if !scenario.roles.isEmpty { print("  roles \(scenario.roles.joined(separator: ", "))", to: STDOUT_FILENO) }
        print("  declares \(scenario.effects.map(Permissions.list) ?? "nothing")", to: STDOUT_FILENO)
    }

    private func tell(_ used: [Effect: [String]], _ scenario: Scenario?) {
        for (effect, functions) in used.sorted(by: { $0.key < $1.key }) {
            print("  \(effect.rawValue): \(functions.sorted().joined(separator: ", "))", to: STDOUT_FILENO)
        }
        let declared = scenario?.effects ?? []
        for effect in declared.subtracting(used.keys).sorted() {
            print("  \(effect.rawValue): declared, not seen", to: STDOUT_FILENO)
        }
        let all = declared.union(used.keys)
        if scenario != nil, scenario?.effects != all, !(scenario?.effects == nil && all.isEmpty) {
            print("  to be declared: effects = \(Permissions.list(all))", to: STDOUT_FILENO)
        }
        let devices = GrantedDevice.opened(by: used[.open] ?? []).union(scenario?.grantedDevices ?? [])
        let options = Permissions.options(all.sorted(), opening: devices)
        print("  on this machine: --bench host" + (options.isEmpty ? "" : " \(options)"), to: STDOUT_FILENO)
    }
}
