import ArgumentParser
import Commands
import Kernel
import LabBench
import Runner

/// `peerlab lab`
struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", _superCommandName: "peerlab",
        abstract: "Run a program of your own in the lab's guest, beside its devices.",
        discussion: """
            The guest has this program, the stdlib and the archives and files that are named; nothing else of this machine. \
            `peerlab` is a program of it too. What the program prints is printed; its exit code is this command's. \
            Where the guest's kernel dies or stands still while it runs, the exit code is 1 and its last words are on standard \
            error; it is 1 too where the process of the emulated devices, which is peerlab's, crashes. 70 where there is no \
            guest to run it in, or QEMU fails.
            """)

    @OptionGroup var machine: LabOptions

    @Option(
        help: ArgumentHelp(
            "Programs for the guest: a cpio archive, as \(ShippedFolders.labScript("image")) makes one.",
            valueName: "ARCHIVE"))
    var image: [String] = []

    @Option(help: ArgumentHelp("A scenario that comes along, with the Lua files of its folder.", valueName: "FILE"))
    var script: [String] = []

    @Option(help: ArgumentHelp("A file that comes along, at the same path.", valueName: "FILE"))
    var file: [String] = []

    @Option(
        help: ArgumentHelp(
            "Write to FILE what the program writes to /run/results/0; a second time for /run/results/1, and so on.",
            valueName: "FILE"))
    var result: [String] = []

    @Flag(help: "Leave devices to their own drivers instead of giving them to vfio-pci.")
    var unbound = false

    @Option(help: ArgumentHelp("End what takes longer; default: 1h.", valueName: "30s"))
    var timeout: String?

    @ArgumentParser.Argument(parsing: .captureForPassthrough, help: "The program, an absolute path, and its arguments.")
    var command: [String] = []

    func run() throws {
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        guard let program = words.first, program.hasPrefix("/") else {
            throw ValidationError(
                "name a program of the guest by its path behind --, such as -- /usr/bin/peerlab --version")
        }
        var run = LabRun(machine, Array(words.dropFirst()))
        run.program = program
        run.scripts = script
        run.inputs = file
        run.images = image
        run.bindsItself = unbound
        var outputs = OutputFiles()
        for path in image + file { outputs.read("the file", path) }
        outputs.read(scripts: script)
        machine.read(into: &outputs)
        for path in result {
            if let file = try outputs.write("--result", path) { run.results.append(LabResult(file, path, .text)) }
        }
        run.time = try Limits(timeout: timeout, memory: nil).timeout ?? LabRun.defaultTime
        throw ExitCode(try run.run())
    }
}
