import Commands
import Glibc
import Kernel
import Results
import Runner

/// The folder of journals: XDG_STATE_HOME/peerlab/batches, or ~/.local/state/peerlab/batches.
enum JournalFolder {
    /// The path of a new batch's journal: the one that the user named, or a new file in that folder.
    static func path(_ named: String?) throws(Failure) -> String {
        if let named { return named }
        let folder = try Folders.batches()
        let time = BatchJournal.timestamp().replacing(":", with: "")
        var name = utsname()
        uname(&name)
        let host = withUnsafeBytes(of: name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return "\(folder)/\(time)-\(host)-\(getpid()).jsonl"
    }

    /// The newest journal that is incomplete and that no process is writing.
    static func unfinished() throws(Failure) -> String {
        let folder = try Folders.batches()
        for name in names(inFolder: folder).filter({ $0.hasSuffix(".jsonl") }).sorted(by: >) {
            let path = "\(folder)/\(name)"
            if let reader = try? JournalReader(path), !reader.isEnded, reader.header.command == nil, !isWritten(path) {
                return path
            }
        }
        throw Failure(
            "open", Errno(ENOENT), object: folder, hint: "no batch there is unfinished; name a journal with --journal")
    }

    private static func isWritten(_ path: String) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_SH | LOCK_NB) != 0
    }
}
