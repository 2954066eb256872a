import ArgumentParser
import Commands
import Devices
import Glibc
import LuaKit
import Runner

/// Options that choose where a record is replayed, beside the bench.
struct RecordBench: ParsableArguments {
    @OptionGroup(title: "Lab") var lab: LabOptions

    @Option(help: ArgumentHelp("Further folder of Lua modules, for a bench's file.", valueName: "DIR"))
    var lib: [String] = []

    /// See ``BenchOptions/insideLab``.
    @Option(help: .hidden)
    var insideLab: String?

    /// See ``BenchOptions/read(into:)``.
    func read(into files: inout OutputFiles) {
        lab.read(into: &files)
        for folder in lib { files.read("the modules", folder) }
    }

    func validate() throws { if insideLab == nil { try BenchOptions.check(lib: lib) } }

    var library: Library { Library(stdlib: ShippedFolders.stdlib(extra: lib)) }
}

/// Options that choose where scenarios run, for one run and for a batch.
struct BenchOptions: ParsableArguments {
    @Option(
        help: "sim[:NAME or FILE], lab, or host; peerlab list benches shows the names.",
        completion: .custom(Completions.benches))
    var bench = "sim"

    @Option(name: .customLong("set"), help: ArgumentHelp("Set a scenario's option.", valueName: "option=value"))
    var settings: [String] = []

    @Option(
        help: ArgumentHelp(
            "Which DMA_BUF_TPH ABI the kernel has: auto identifies it or refuses.", valueName: "NAME[@NUMBER]|auto|off")
    )
    var tphAbi = "auto"

    @OptionGroup(title: "Lab") var lab: LabOptions

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    @OptionGroup(title: "Permissions") var grants: GrantOptions

    /// Set by the lab bench for the peerlab in its guest: the bench's name.
    @Option(help: .hidden)
    var insideLab: String?

    /// Set with it: the simulated bench that models the guest.
    @Option(help: .hidden)
    var recordModel: String?

    /// `--tph-abi`.
    func tph() throws -> TPHChoice {
        do throws(TPHChoiceError) { return try TPHChoice(tphAbi) } catch { throw ValidationError(error.message) }
    }

    /// `--set`.
    func pairs() throws -> [(name: String, value: String)] { try settings.map(BenchOptions.pair) }

    static func pair(_ text: String) throws -> (name: String, value: String) { try pair(text, of: "--set") }

    /// The two parts of another option's value; `form` names them in messages.
    static func pair(
        _ text: String, of option: String, form: String = "option=value"
    ) throws -> (name: String, value: String) {
        guard let equals = text.firstIndex(of: "=") else {
            throw ValidationError("\(option) takes \(form), not '\(text)'")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    func validate() throws { if insideLab == nil { try BenchOptions.check(lib: lib) } }

    /// Checks that `--lib` names folders.
    static func check(lib: [String]) throws {
        for folder in lib {
            var status = stat()
            let isThere = stat(folder, &status) == 0
            guard !isThere || status.st_mode & S_IFMT != S_IFDIR else { continue }
            let reason = isThere ? "it is no folder" : String(cString: strerror(errno))
            throw ValidationError("--lib '\(folder)': \(reason)")
        }
    }

    /// Adds the files that these options read: no output may be one of them.
    func read(into files: inout OutputFiles) {
        if let rules = grants.rules { files.read("the rules", rules) }
        if bench.hasPrefix("sim:") { files.read("the bench", String(bench.dropFirst(4))) }
        lab.read(into: &files)
        for folder in lib { files.read("the modules", folder) }
    }

    /// Whether the bench that was asked for is a model.
    var isSimulated: Bool { if case .sim? = try? BenchChoice(bench) { true } else { false } }

    var library: Library { Library(stdlib: ShippedFolders.stdlib(extra: lib)) }
}
