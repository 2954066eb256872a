import ArgumentParser
import Bindings
import CKernel
import Commands
import Devices
import Glibc
import Kernel
import LuaCheck
import LuaKit
import Runner

/// `peerlab repl`
struct ReplCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repl", abstract: "Try Lua line by line on a bench.",
        discussion: """
            An expression shows its values, the first of which is _ afterwards. Variables stay from line to line, also those that a \
            line begins with 'local'; modules are there by name; t is the case. A line that is not complete goes on with the next. \
            help(vfio.open), help(dev) and help "device:read" explain. Tab completes names, methods and keys. Ctrl-C stops a line, \
            Ctrl-D ends the session and closes what is open. Lines may come from a pipe; then the exit code is 1 where one failed.
            """)

    @Option(help: "sim[:NAME or FILE], or host.", completion: .custom(Completions.benches))
    var bench = "sim"

    @Option(
        help: ArgumentHelp(
            "Which DMA_BUF_TPH ABI the kernel has: auto identifies it or refuses.", valueName: "NAME[@NUMBER]|auto|off")
    )
    var tphAbi = "auto"

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    @OptionGroup(title: "Permissions") var grants: GrantOptions

    func run() throws {
        try BenchOptions.check(lib: lib)
        let library = Library(stdlib: ShippedFolders.stdlib(extra: lib))
        let tph: TPHChoice
        do throws(TPHChoiceError) { tph = try TPHChoice(tphAbi) } catch { throw ValidationError(error.message) }
        let bench: Bench
        switch try BenchChoice(self.bench) {
        case .sim(let name): bench = try SimBench.make(name, tph: tph, library: library)
        case .host: bench = HostBench.make(tph: tph, insideLab: nil)
        case .lab:
            throw ValidationError(
                "repl is for sim and host: a lab's guest takes no typed lines; peerlab run --bench lab runs a file there"
            )
        }
        process_count_signals()
        do {
            let status = try Repl(bench, library, try grants.grants(on: bench.kind)).run()
            if status != .pass { throw ExitCode(status.rawValue) }
        } catch let error as ErrorValue {
            throw ValidationError(error.line)
        }
    }
}
