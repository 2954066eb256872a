import ArgumentParser
import CKernel
import Commands
import Glibc
import Kernel
import Runner

/// `peerlab walls`: tries calls in each confinement that none should allow, and lists the answers.
/// Documentation.docc/Walls.md has its output, which a test compares.
struct WallsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "walls", abstract: "Show what each confinement stops on this machine.",
        discussion: "Every attempt is made in a process of its own, in which nothing else happens.",
        shouldDisplay: false)

    /// A port at which probably no service listens; the next one is tried too.
    private static let port: UInt16 = 47109

    func run() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["own", "outside"] {
            mkdir(folder.path(name), 0o700)
            try ResultFile(folder.path("\(name)/file")).write(Array("text\n".utf8))
        }
        let own = folder.path("own/file")
        let library = Library(stdlib: ShippedFolders.stdlib(extra: []))
        func real(lab: Bool = false, port: UInt16? = nil, raw: Bool = false) -> Confinement {
            Confinement(
                real: [own], library, insideLab: lab, granted: [], port: port, isRaw: raw,
                memory: Confinement.modelMemory)
        }
        let confinements: [(name: String, of: () -> Confinement)] = [
            ("sim", { Confinement(simulated: [own], library, memory: Confinement.modelMemory) }),
            ("host", { real() }), ("host, a role", { real(port: WallsCommand.port) }), ("lab", { real(lab: true) }),
            ("lab, raw", { real(lab: true, raw: true) }),
        ]
        print("| attempt | " + confinements.map(\.name).joined(separator: " | ") + " |", to: STDOUT_FILENO)
        print("|---|" + String(repeating: "---|", count: confinements.count), to: STDOUT_FILENO)
        var number: Int32 = 0
        while let name = wall_name(number) {
            let answers = confinements.map { tried(number, own: own, outside: folder.path("outside/file"), in: $0.of) }
            print("| \(String(cString: name)) | " + answers.joined(separator: " | ") + " |", to: STDOUT_FILENO)
            number += 1
        }
    }

    /// Tries a call in a process of its own: "allowed", or the error's name.
    private func tried(_ number: Int32, own: String, outside: String, in confinement: () -> Confinement) -> String {
        var ends: [Int32] = [-1, -1]
        guard process_pipe(&ends) == 0 else { return "not tried" }
        let child = process_fork()
        guard child != 0 else {
            var result =
                confinement().apply().missing.isEmpty
                ? own.withCString { own in
                    outside.withCString {
                        wall_try(number, wall_place(own: own, outside: $0, port: WallsCommand.port))
                    }
                } : Int(Int32.min)
            _ = write(ends[1], &result, MemoryLayout<Int>.size)
            _exit(0)
        }
        close(ends[1])
        defer { close(ends[0]) }
        var result = 0
        let count = read(ends[0], &result, MemoryLayout<Int>.size)
        var status: Int32 = 0
        while waitpid(pid_t(child), &status, 0) < 0, errno == EINTR {}
        guard child > 0, result != Int(Int32.min) else { return "not tried" }
        // A call that executes another program writes no answer where it succeeds.
        guard count > 0 else { return status & 0x7f == 0 ? "allowed" : "signal \(status & 0x7f)" }
        return Errno(result: result)?.name ?? "allowed"
    }
}
