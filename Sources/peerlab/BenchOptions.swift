import ArgumentParser
import Commands
import Devices
import LuaKit
import Runner

/// What decides where scenarios run; the same for one run and for a batch.
struct BenchOptions: ParsableArguments {
    @Option(help: "sim[:NAME or FILE], lab, or host.")
    var bench = "sim"

    @Option(name: .customLong("set"), help: ArgumentHelp("Set a scenario's option.", valueName: "option=value"))
    var settings: [String] = []

    @Option(
        help: ArgumentHelp(
            "Which DMA_BUF_TPH ABI the kernel has: auto identifies it or refuses.", valueName: "NAME[@NUMBER]|auto|off")
    )
    var tphAbi = "auto"

    @Option(
        help: ArgumentHelp(
            "Kernel image for the lab bench; default: PEERLAB_LAB_KERNEL, or what scripts/lab/build-kernel made.",
            valueName: "FILE"))
    var labKernel: String?

    @Option(
        help: ArgumentHelp(
            "Give the lab's kernel DMA_BUF_TPH (scripts/lab/build-modules): v2 or v6, by default at number 13.",
            valueName: "v2|v6[@NUMBER]"))
    var labTph: String?

    @Flag(help: "Give the lab's engine to an in-kernel importer of dma-bufs (engines.edu_importer) instead of VFIO.")
    var labImporter = false

    @Option(
        help: ArgumentHelp(
            """
            What is between the lab's devices: a host bridge that Linux knows to pass peer-to-peer requests on, one that \
            it does not know, or a switch. Default: bridge with --lab-importer, else no-route.
            """, valueName: "MACHINE"))
    var labMachine: LabMachine.Fabric?

    @Option(
        help: ArgumentHelp(
            "What moves the lab's clock: host, or the instructions of one processor, so that times repeat.",
            valueName: "CLOCK"))
    var labClock: LabMachine.Clock?

    @Option(help: ArgumentHelp("Further folder of Lua modules.", valueName: "DIR"))
    var lib: [String] = []

    @OptionGroup(title: "Permissions") var grants: GrantOptions

    /// Set by the lab bench for the peerlab in its guest: what to call the bench.
    @Option(help: .hidden)
    var insideLab: String?

    /// Set with it: the simulated bench that models the guest.
    @Option(help: .hidden)
    var recordModel: String?

    /// Refuses what does not go with the bench.
    func check() throws {
        if bench != "lab", labTph != nil || labImporter || labMachine != nil || labClock != nil {
            throw ValidationError("--lab-tph, --lab-importer, --lab-machine and --lab-clock are for --bench lab")
        }
    }

    /// `--tph-abi`.
    func tph() throws -> TPHChoice {
        do throws(TPHChoiceError) { return try TPHChoice(tphAbi) } catch { throw ValidationError(error.message) }
    }

    /// `--set`.
    func pairs() throws -> [(name: String, value: String)] { try settings.map(BenchOptions.pair) }

    static func pair(_ text: String) throws -> (name: String, value: String) {
        guard let equals = text.firstIndex(of: "=") else {
            throw ValidationError("--set takes option=value, not '\(text)'")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// What these options read: no output may be one of these files.
    func read(into files: inout OutputFiles) {
        if let rules = grants.rules { files.read("the rules", rules) }
        if bench.hasPrefix("sim:") { files.read("the bench", String(bench.dropFirst(4))) }
        if let labKernel { files.read("the kernel", labKernel) }
        for folder in lib { files.read("the modules", folder) }
    }

    var library: Library { Library(stdlib: StdlibFolders.all(extra: lib)) }
}
