import ArgumentParser
import ConnectX
import Kernel
import VFIOUser

/// `peerlab device several`
struct SeveralCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "several", _superCommandName: "peerlab device",
        abstract: "Serve functions of several kinds from one process, such as a NIC and the exporter it writes to.",
        discussion: """
            A FUNCTION is connectx or exporter, and KEY=VALUE behind commas. A NIC's keys are those of `peerlab device \
            connectx --nic`, an exporter's:
            \(Exporter.Description.keys.map { "  \($0.name)=\($0.values): \($0.help)" }.joined(separator: "\n"))
            There is a --socket for each, in the same order.
            """)

    @OptionGroup var serving: ServingOptions

    @OptionGroup var capturing: CaptureOptions

    @Argument(help: ArgumentHelp("What to serve, in the order of the sockets.", valueName: "FUNCTION"))
    var functions: [String]

    private func described() throws -> [ServedFunction] {
        let functions = try functions.map { text throws(ValidationError) in try ServedFunction(text) }
        guard functions.count == serving.count else {
            throw ValidationError("\(functions.count) functions need as many sockets, not \(serving.count)")
        }
        return functions
    }

    func validate() throws { _ = try described() }

    func run() throws {
        let functions = try described()
        let fabric = Fabric()
        let isVerbose = serving.verbose
        let capture = capturing.capture()
        try serving.serve(beside: capture?.socket) { (index, bus) throws(Errno) in
            switch functions[index] {
            case .exporter(let description):
                let exporter = try Exporter(description, on: bus)
                capture?.know(exporter, described: description)
                return exporter
            case .connectx(let options):
                // Counts only NICs: they are numbered on their fabric.
                let before = functions[..<index].count { if case .connectx = $0 { true } else { false } }
                return ConnectXCommand.nic(options.next(before), bus, fabric, capture, isVerbose: isVerbose)
            }
        }
    }
}
