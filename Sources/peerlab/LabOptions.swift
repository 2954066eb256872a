public import ArgumentParser
import Commands
public import LabBench

/// What the lab's guest is.
struct LabOptions: ParsableArguments {
    @Option(
        name: .customLong("lab-kernel"),
        help: ArgumentHelp(
            "Kernel image for the lab bench; default: PEERLAB_LAB_KERNEL, or what scripts/lab/build-kernel made.",
            valueName: "FILE"))
    var kernel: String?

    @Option(
        name: .customLong("lab-tph"),
        help: ArgumentHelp(
            "Give the lab's kernel DMA_BUF_TPH (scripts/lab/build-modules): v2 or v6, by default at number 13.",
            valueName: "v2|v6[@NUMBER]"))
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
        name: .customLong("lab-nic"),
        help: ArgumentHelp(
            """
            Give the lab an emulated ConnectX: connectx, and what it is like behind commas, as `peerlab device \
            connectx --nic` takes it, such as tph=off. Needs QEMU 10.1 or newer, or what scripts/lab/qemu unpacks.
            """, valueName: "connectx[,KEY=VALUE]"))
    var nic: String?

    /// What these options read: no output may be one of these files.
    func read(into files: inout OutputFiles) {
        if let kernel { files.read("the kernel", kernel) }
    }

    /// What the guest's peerlab calls its bench.
    var inside: String { LabOptions.insides[nic == nil ? 0 : 1] }

    /// What any guest may call its bench.
    static let insides = ["QEMU with emulated devices", "QEMU with emulated devices and an emulated ConnectX"]

    /// The bench of stdlib/benches that is this machine.
    var model: String {
        var name = "sim:lab"
        if importer { name += "-importer" }
        if nic != nil { name += "-connectx" }
        if let machine, machine != .bridge { name += "-\(machine.rawValue)" }
        if let tph { name += "-tph-" + tph.split(separator: "@").joined(separator: "-at-") }
        return name
    }
}

extension LabMachine.Fabric: ExpressibleByArgument {}
extension LabMachine.Clock: ExpressibleByArgument {}
