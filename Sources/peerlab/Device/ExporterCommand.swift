import ArgumentParser
import Commands
import Kernel
import VFIOUser

/// `peerlab device exporter`
struct ExporterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exporter", _superCommandName: "peerlab device",
        abstract: "Serve PCI Express endpoints with memory in BAR 2, which VFIO exports as a dma-buf.",
        discussion: """
            1af4:1110, with function level reset, power states and MSI-X. The guest's processors reach the memory without a \
            message. Writing a vector's number to the first four bytes of BAR 0 raises it.
            """)

    @OptionGroup var serving: ServingOptions

    @Option(help: ArgumentHelp("Bytes of memory, a power of two from 4K to 64T.", valueName: "1M"))
    var size = "1M"

    @Option(
        help: ArgumentHelp(
            "What its Device Capabilities 2 say of it as a completer of requests with processing hints.",
            valueName: "none|tph|extended"))
    var completer = "none"

    @Option(help: ArgumentHelp("MSI-X vectors, 1 to 64.", valueName: "N"))
    var vectors = "1"

    @Flag(name: .customLong("no-flr"), help: "Leave function level reset out.")
    var withoutReset = false

    @Flag(name: .customLong("d3-reset"), help: "Lose its state in D3hot (No_Soft_Reset is 0).")
    var losesState = false

    private func described() throws -> Exporter.Description {
        var description = Exporter.Description()
        try description.set("size", size)
        try description.set("completer", completer)
        try description.set("vectors", vectors)
        description.functionLevelReset = !withoutReset
        description.keepsStateInD3 = !losesState
        return description
    }

    func validate() throws { _ = try described() }

    func run() throws {
        let description = try described()
        try serving.serve { (_, bus) throws(Errno) in try Exporter(description, on: bus) }
    }
}
