import Bindings
import CKernel
import Commands
import Glibc
import LuaKit
import Runner

/// Which files of the lab's guest a run may open, by its scenarios' declarations. They are read before the run drops
/// the rights that this decision concerns.
enum RawDeclaration {
    /// Seconds for loading all scenarios; where it takes longer, none counts as declaring `raw`.
    private static let patience: UInt32 = 5
    private static let needsRaw: Int32 = 1

    /// Whether `files` may open any file of the bench: `raw` is granted, and one of them declares it, or declares no
    /// effects, as plain scripts do. They are loaded in a confined process.
    static func opensAnyFile(_ files: [String], _ grants: Grants, _ library: Library, on bench: Bench) -> Bool {
        guard bench.kind == "lab", grants.allows(.raw) else { return false }
        let child = process_fork()
        guard child != 0 else {
            _ = Confinement(simulated: files, library, memory: Confinement.modelMemory).apply()
            alarm(patience)
            _exit(files.contains { needs($0, library, on: bench) } ? needsRaw : 0)
        }
        var status: Int32 = 0
        while child > 0, waitpid(pid_t(child), &status, 0) < 0, errno == EINTR {}
        return child > 0 && status == needsRaw << 8
    }

    private static func needs(_ file: String, _ library: Library, on bench: Bench) -> Bool {
        // The run says what is wrong with it.
        guard let description = try? ScenarioDescription(file, library, isSimulated: bench.isSimulated),
            description.error == nil
        else { return false }
        return description.scenario?.effects?.contains(.raw) ?? true
    }
}
