public import ArgumentParser
import Commands
public import LabBench

/// Options that configure the lab's guest.
struct LabOptions: ParsableArguments {
    @Option(
        name: .customLong("lab-kernel"),
        help: ArgumentHelp(
            """
            Kernel image for the lab bench; default: PEERLAB_LAB_KERNEL, or what \(ShippedFolders.labScript("build-kernel")) made. debian \
            and running are what \(ShippedFolders.labScript("unpack-kernel")) gets of Debian, and of this machine.
            """, valueName: "FILE|debian|running"))
    var kernel: String?

    @Option(
        name: .customLong("lab-tph"),
        help: ArgumentHelp(
            """
            Give the lab's kernel DMA_BUF_TPH (\(ShippedFolders.labScript("build-modules"))): v2, v6, v7, v9, v10 or v11, by default at number \
            13. From v7 on it looks at the exporter's completer: --lab-exporter.
            """, valueName: "REVISION[@NUMBER]"))
    var tph: String?

    @Flag(
        name: .customLong("lab-importer"),
        help: "Give the lab's engine to an in-kernel importer of dma-bufs (engines.edu_importer) instead of VFIO.")
    var importer = false

    @Option(
        name: .customLong("lab-machine"),
        help: ArgumentHelp(
            """
            What is between the lab's devices: a host bridge that Linux knows to pass peer-to-peer requests on, one that \
            it does not know, or a switch. Default: bridge with --lab-importer and --lab-nic, else no-route.
            """, valueName: "MACHINE"))
    var machine: LabMachine.Fabric?

    @Option(
        name: .customLong("lab-clock"),
        help: ArgumentHelp(
            "What moves the lab's clock: host, or the instructions of one processor, so that times repeat.",
            valueName: "CLOCK"))
    var clock: LabMachine.Clock?

    @Option(
        name: .customLong("lab-exporter"),
        help: ArgumentHelp(
            """
            Give the lab an exporter of this program instead of QEMU's, as `peerlab device several` takes one, such as \
            size=16M,completer=extended. Needs QEMU 10.1 or newer, or what \(ShippedFolders.labScript("qemu")) unpacks.
            """, valueName: "KEY=VALUE[,...]"))
    var exporter: String?

    @Option(
        name: .customLong("lab-nic"),
        help: ArgumentHelp(
            """
            Give the lab an emulated ConnectX: connectx, and what it is like behind commas, as `peerlab device \
            connectx --nic` takes it, such as tph=none. Needs QEMU 10.1 or newer, or what \(ShippedFolders.labScript("qemu")) unpacks.
            """, valueName: "connectx[,KEY=VALUE]"))
    var nic: String?

    @Option(
        name: .customLong("lab-accel"),
        help: ArgumentHelp(
            """
            What executes the guest's instructions: tcg, QEMU's translation, or kvm, this machine's processor. Default: tcg.
            """, valueName: "tcg|kvm"))
    var accelerator: LabMachine.Accelerator?

    /// Adds the files that these options read: no output may be one of them.
    func read(into files: inout OutputFiles) {
        if let kernel { files.read("the kernel", LabKernel.file(kernel)) }
    }

    /// The bench's name in the guest's peerlab.
    var inside: String { LabOptions.insides[(nic == nil ? 0 : 1) + (accelerator == .kvm ? 2 : 0)] }

    /// All names that a guest may use.
    static let insides = ["QEMU", "QEMU (kvm)"].flatMap {
        ["\($0) with emulated devices", "\($0) with emulated devices and an emulated ConnectX"]
    }

    /// The options that shape the machine, without those that name files, for a command line or a bundle.
    var telling: [(key: String, value: String?)] {
        var words: [(key: String, value: String?)] = []
        if let tph { words.append(("lab-tph", tph)) }
        if importer { words.append(("lab-importer", nil)) }
        if let exporter { words.append(("lab-exporter", exporter)) }
        if let nic { words.append(("lab-nic", nic)) }
        if let machine { words.append(("lab-machine", machine.rawValue)) }
        return words
    }
}

extension LabMachine.Fabric: ExpressibleByArgument {}
extension LabMachine.Clock: ExpressibleByArgument {}
extension LabMachine.Accelerator: ExpressibleByArgument {}
