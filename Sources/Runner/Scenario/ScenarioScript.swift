import Bindings
import Kernel
public import LuaKit

/// A scenario's file in a Lua state of its own, with the kernel and the permissions that one role has.
public final class ScenarioScript {
    let file: String
    /// The file without its folder.
    let name: String
    /// The text that is run.
    public let text: [UInt8]
    let context: RunContext
    let loaded: LoadedModules
    let host: Host
    let state: LuaState
    /// Whether the loaded file returned a table without any key of a scenario: it is a module.
    public private(set) var returnsNoScenario = false

    /// Reads the file and prepares a state, to ``describe()`` it; nothing runs yet.
    public convenience init(_ file: String, in context: RunContext) throws(ErrorValue) {
        try self.init(file, in: context, kernel: RunKernels(context).first)
    }

    /// - Parameters:
    ///   - loaded: gets the modules that it loads from its own folder; roles share it.
    ///   - text: what is run in place of the file's text.
    ///   - seed: the seed of `math.random`; a random one where nil.
    ///   - role: the name before each line that the script prints; nil for none.
    init(
        _ file: String, text: [UInt8]? = nil, in context: RunContext, kernel: any Kernel,
        loaded: LoadedModules = LoadedModules(), seed: Int64? = nil, role: String? = nil
    ) throws(ErrorValue) {
        self.text = if let text { text } else { try Library.named(file) }
        self.file = file
        name = file.split(separator: "/").last.map(String.init) ?? file
        self.context = context
        self.loaded = loaded
        let tph = TPHResolver(context.bench.tph)
        if let tracing = kernel as? TracingKernel { tph.found = { tracing.know($0) } }
        let host = Host(
            kernel: kernel, isSimulated: context.bench.isSimulated, tph: tph, permissions: context.permissions())
        self.host = host
        let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
        state = LuaState(
            context: host, seed: seed,
            find: { name throws(ErrorValue) in try context.library.find(name, from: folder, loaded: loaded) },
            print: { ScenarioScript.print($0, role, host, context.sinks) })
        host.stop = { [unowned state] in state.interrupt(.output) }
        state.limitMemory(context.limits.memory ?? Limits.defaultMemory)
        state.askForEffects { [host] effect, function throws(ErrorValue) in
            try host.permissions.permit(effect, function)
        }
        state.offer(modules)
    }

    /// Shows lines that a script prints, up to a limit, at which the script is stopped. Each line is marked, so that it
    /// cannot be taken for the report's.
    private static func print(_ text: String, _ role: String?, _ host: Host, _ sinks: RunSinks) {
        let lines = PrintableText.lines(text)
        host.printed += max(text.utf8.count + 1, lines.reduce(0) { $0 + $1.utf8.count + 3 })
        host.printedLines.add(lines)
        guard host.printed <= Limits.output else {
            host.stop?()
            return
        }
        for line in lines {
            let line = (role.map { "[\($0)] " } ?? "") + line
            sinks.report(PrintableText.line(line.isEmpty ? "|" : "| " + line))
        }
    }

    /// The scenario that the file declares, without running any case; nil for a plain script.
    public func describe() throws(ErrorValue) -> Scenario? {
        host.refusal = ErrorValue(kind: .usage, "a plain script has no options to describe")
        defer { host.refusal = nil }
        do throws(ErrorValue) {
            return try load()
        } catch {
            if error.kind == .usage { return nil }
            throw error
        }
    }

    /// Runs the file's top-level code; for a plain script that is all of it, and the result nil.
    func load() throws(ErrorValue) -> Scenario? {
        switch try state.run(text, name: "@" + context.library.shown(file)) {
        case .none: return nil
        case .table(let fields, let functions):
            returnsNoScenario = Scenario.keys.isDisjoint(with: fields.keys)
            do throws(ErrorValue) {
                return try Scenario(fields, functions: functions, file: name, on: context.bench.kind)
            } catch {
                throw located(error)
            }
        case .other(let type):
            returnsNoScenario = true
            throw located(
                ErrorValue(
                    kind: .script,
                    "a script returns a scenario (a table with cases) or nothing; this one returns: \(type)"))
        }
    }

    private func located(_ error: ErrorValue) -> ErrorValue {
        var error = error
        error.position = context.library.shown(file) + ": "
        return error
    }

    /// Applies the memory limit and the effects that the scenario declares.
    func hold(to scenario: Scenario) throws(ErrorValue) {
        if let memory = scenario.limits.memory, memory < context.limits.memory ?? Limits.defaultMemory {
            state.limitMemory(memory)
        }
        try host.permissions.declare(
            scenario.effects, of: scenario.name, opening: scenario.grantedDevices)
    }
}
