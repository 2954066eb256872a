import Glibc
public import Kernel
import Runner

/// The user's folders, by the XDG base directory specification. Each must belong to the user alone: otherwise EPERM.
/// ENOENT where no variable says where it is.
public enum Folders {
    /// The folder of journals for which the command line gives no path, created if missing.
    public static func batches() throws(Failure) -> String {
        try own(try state() + "/batches", "XDG_STATE_HOME or --journal")
    }

    /// The file of lines that were typed, in a folder that is created if missing.
    public static func history() throws(Failure) -> String {
        try own(try state(), "XDG_STATE_HOME") + "/repl-history"
    }

    /// The folders of binding journals: the one that the user names; else that of the user's state and, where the state
    /// cannot be written, /run, which lasts until the next boot. `making`: journals will be written.
    public static func bindings(_ named: String?, making: Bool) throws(Failure) -> [String] {
        let remedy = "name another folder with \(named == nil ? "XDG_STATE_HOME" : "--state")"
        var folders = ["/run/peerlab/bindings"]
        if let named {
            folders = [FormOptions.absolute(named)]
        } else if let state = try? state() {
            folders.insert("\(state)/bindings", at: 0)
        }
        // A folder that cannot be created is reported by the first write into it.
        if making { _ = try? make(folders[0]) }
        for folder in folders { try Ownership.check(folder, or: remedy) }
        return folders
    }

    /// The path of the results' store, where the user names none.
    public static func store() throws(Failure) -> String {
        try own(try base("XDG_DATA_HOME", "/.local/share"), "XDG_DATA_HOME or --store") + "/results.sqlite"
    }

    /// The base folder for state that outlives a restart, but may be lost.
    private static func state() throws(Failure) -> String { try base("XDG_STATE_HOME", "/.local/state") }

    private static func base(_ variable: String, _ fallback: String) throws(Failure) -> String {
        if let value = getenv(variable).map({ String(cString: $0) }), value.hasPrefix("/") { return value + "/peerlab" }
        let home =
            getenv("HOME").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) }
        // Never a shared folder such as /tmp, whose contents others could choose.
        guard let home, home.hasPrefix("/") else {
            throw Failure(
                "open", Errno(ENOENT), object: "~\(fallback)",
                hint: "neither \(variable) nor HOME names a folder: set one of them")
        }
        return home + fallback + "/peerlab"
    }

    /// Creates a folder that belongs to the user alone; `names` are the option or variable that chooses another one,
    /// for messages.
    public static func own(_ path: String, _ names: String) throws(Failure) -> String {
        try Ownership.check(try make(path), or: "name another folder with \(names)")
        return path
    }

    /// Creates a folder and its parents.
    private static func make(_ path: String) throws(Failure) -> String {
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
