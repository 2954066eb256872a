import ArgumentParser
import Commands
import ConnectX
import Glibc
import Kernel
import VFIOUser

/// `peerlab device connectx`
struct ConnectXCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connectx", _superCommandName: "peerlab device",
        abstract: "Serve emulated ConnectX-6 Dx NICs, which Linux's mlx5_core and mlx5_ib drive.",
        discussion: """
            15b3:101d with one InfiniBand port; the ports of one process are on one fabric. Place each behind a root port.

            NIC is what they are like, KEY=VALUE with commas between:
            \(HCAOptions.keys.map { "  \($0.name)=\($0.values): \($0.help)" }.joined(separator: "\n"))
            Any other key is a capability of struct mlx5_ifc_cmd_hca_cap_bits, such as log_max_qp=10.
            """)

    @OptionGroup var serving: ServingOptions

    @Option(help: ArgumentHelp("What the NICs are like.", valueName: "NIC"))
    var nic: String?

    @OptionGroup var capturing: CaptureOptions

    private func described() throws -> HCAOptions {
        guard let nic else { return HCAOptions() }
        do throws(HCAOptions.Invalid) { return try HCAOptions(nic) } catch {
            throw ValidationError("--nic: \(error.reason)")
        }
    }

    func validate() throws { _ = try described() }

    func run() throws {
        let options = try described()
        let fabric = Fabric()
        let isVerbose = serving.verbose
        // Reported here: the driver only reads the capability and gives up, so no command is refused.
        if isVerbose, options.capabilities["xrc"] == 0 {
            print(
                "peerlab: mlx5_ib will not take the NIC: without xrc its probe fails with -95 (mlx5_ib_dev_res_init)",
                to: STDERR_FILENO)
        }
        let capture = capturing.capture()
        try serving.serve(beside: capture?.socket) { (index, bus) throws(Errno) in
            Self.nic(options.next(index), bus, fabric, capture, isVerbose: isVerbose)
        }
    }

    /// A NIC whose requests `capture` gets; with `isVerbose` it prints what it refuses.
    static func nic(
        _ options: HCAOptions, _ bus: any PCIBus, _ fabric: Fabric, _ capture: RequestCapture?, isVerbose: Bool
    ) -> HCA {
        let hca = HCA(options, bus: bus, fabric: fabric)
        capture?.listen(to: hca, on: bus)
        if isVerbose { hca.log = { tell($0) } }
        return hca
    }

    /// Prints a command that was refused, for people who look for the effect of their patch.
    private static func tell(_ event: HCA.Event) {
        switch event {
        case .command(_, _, nil): break
        case .command(let name, let number, let failure?):
            print(
                "peerlab: \(name) \(number): \(failure.status): \(failure.reason) (syndrome \(failure.syndrome))",
                to: STDERR_FILENO)
        case .reset: print("peerlab: the NIC was reset", to: STDERR_FILENO)
        }
    }
}
