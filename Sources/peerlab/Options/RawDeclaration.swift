import Bindings
import CKernel
import Commands
import Glibc
import LuaKit
import Runner

/// What files of the lab's guest a run may open, by what its scenarios say of themselves; found out before the run gives up
/// the rights that it needs for that.
enum RawDeclaration {
    /// How long scenarios may take to say it, seconds; what takes longer has not said that it needs `raw`.
    private static let patience: UInt32 = 5
    private static let needsRaw: Int32 = 1

    /// Whether `files` may open any file of the bench: `raw` is granted, and one of them declares it or declares no effects,
    /// as plain scripts do. They are loaded in a process that touches nothing.
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
