import Glibc
import Kernel
import Results

/// Where journals are: XDG_STATE_HOME/peerlab/batches, or ~/.local/state/peerlab/batches.
enum BatchJournal {
    /// The journal of a new batch: what the user named, or a new file in its place.
    static func place(_ named: String?) throws(Failure) -> String {
        if let named { return named }
        let folder = try Folders.make(Folders.state + "/batches")
        let time = Journal.timestamp().replacing(":", with: "")
        return "\(folder)/\(time)-\(getpid()).jsonl"
    }

    /// The newest that did not come to its end and that nobody writes.
    static func unfinished() throws(Failure) -> String {
        let folder = Folders.state + "/batches"
        var names: [String] = []
        if let directory = opendir(folder) {
            defer { closedir(directory) }
            while let entry = readdir(directory) {
                names.append(
                    withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                )
            }
        }
        for name in names.filter({ $0.hasSuffix(".jsonl") }).sorted(by: >) {
            let path = "\(folder)/\(name)"
            if let reader = try? JournalReader(path), !reader.isEnded, !isWritten(path) { return path }
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

/// Folders of the user's, by the XDG base directory specification.
enum Folders {
    /// For what should outlive a restart, and is no treasure.
    static var state: String { base("XDG_STATE_HOME", "/.local/state") + "/peerlab" }
    /// For what is worth keeping.
    static var data: String { base("XDG_DATA_HOME", "/.local/share") + "/peerlab" }

    /// The store of results that the user named, or the one in its place.
    static func open(_ named: String?) throws(Failure) -> Store {
        if let named { return try Store(named) }
        return try Store(try make(data) + "/results.sqlite")
    }

    private static func base(_ variable: String, _ fallback: String) -> String {
        if let value = getenv(variable).map({ String(cString: $0) }), value.hasPrefix("/") { return value }
        let home =
            getenv("HOME").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) }
        return (home ?? "/tmp") + fallback
    }

    /// Makes a folder and those above it.
    static func make(_ path: String) throws(Failure) -> String {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/" + part
            guard mkdir(made, 0o700) == 0 || errno == EEXIST || errno == EISDIR || access(made, X_OK) == 0 else {
                throw Failure("mkdir", Errno(errno), object: made)
            }
        }
        return path
    }
}
