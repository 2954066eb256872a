import ArgumentParser
import Commands
import Glibc
import Kernel
import Records
import Runner

/// `peerlab export`
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Turn a record into one C file that needs nothing of peerlab.",
        discussion: """
            The file makes the record's calls in their order, compares each answer with the recorded one, and stops at the \
            first thing that is not there. Devices are its arguments; its own --help lists them. Kept short data is compared; \
            what only netlink answers is left out, with a comment. It ends as kselftest asks. Where the record says that an \
            answer is wrong (a script's failed check, or a known bug): 0 the kernel answers as a right one does, 1 the bug is \
            present, 4 neither is shown; its --help says where 0 never comes. Of other records: 0 all answers are as recorded, be they right or wrong, 1 one differs, \
            4 a device is not there.
            """)

    @Option(name: .customLong("c"), help: ArgumentHelp("Write C to FILE, - for stdout.", valueName: "FILE"))
    var output: String

    @Flag(help: "Make it a test of the kernel's kselftest_harness.h; devices come from the variable DEVICES.")
    var kselftest = false

    @ArgumentParser.Argument(help: "A record, as `run --record` writes it.") var file: String

    @OptionGroup(title: "Limits") var limits: ForeignLimits

    func run() throws {
        var files = OutputFiles()
        files.read("the record", file)
        let result = try files.write("--c", output)
        let record = try RecordText.text(of: file)
        try result?.open()
        try limits.hold("export", outputs: [result].compactMap { $0 })
        let text = CExport(try RecordText.record(record, file), kselftest: kselftest).text
        do throws(Failure) { try result?.write(Array(text.utf8)) } catch {
            throw ValidationError("cannot write the C file: \(error.message)")
        }
    }
}
