import Glibc
public import Kernel
import Runner

/// Folders of the user's, by the XDG base directory specification. Each is the user's alone: EPERM of one that is not, and
/// ENOENT where nothing says where it is.
public enum Folders {
    /// Where journals of batches are that were named no other place; made where it is not there.
    public static func batches() throws(Failure) -> String {
        try own(try state() + "/batches", "XDG_STATE_HOME or --journal")
    }

    /// Where it is written down how bound devices were: the user's state, or what is there until the next boot where that
    /// cannot be written; `named` alone where the user names a folder. `making` where they are to be written.
    public static func bindings(_ named: String?, making: Bool) throws(Failure) -> [String] {
        let remedy = "name another folder with \(named == nil ? "XDG_STATE_HOME" : "--state")"
        var folders = ["/run/peerlab/bindings"]
        if let named {
            folders = [FormOptions.absolute(named)]
        } else if let state = try? state() {
            folders.insert("\(state)/bindings", at: 0)
        }
        // Of those that cannot be made, whoever writes into them tells.
        if making { _ = try? make(folders[0]) }
        for folder in folders { try Ownership.check(folder, or: remedy) }
        return folders
    }

    /// Where the store of results is, unless the user names another place.
    public static func store() throws(Failure) -> String {
        try own(try base("XDG_DATA_HOME", "/.local/share"), "XDG_DATA_HOME or --store") + "/results.sqlite"
    }

    /// For what should outlive a restart, and is no treasure.
    private static func state() throws(Failure) -> String { try base("XDG_STATE_HOME", "/.local/state") }

    private static func base(_ variable: String, _ fallback: String) throws(Failure) -> String {
        if let value = getenv(variable).map({ String(cString: $0) }), value.hasPrefix("/") { return value + "/peerlab" }
        let home =
            getenv("HOME").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) }
        // No folder that everybody has, such as /tmp: others would decide what is in it.
        guard let home, home.hasPrefix("/") else {
            throw Failure(
                "open", Errno(ENOENT), object: "~\(fallback)",
                hint: "neither \(variable) nor HOME names a folder: set one of them")
        }
        return home + fallback + "/peerlab"
    }

    /// Makes a folder that is the user's alone; `names` are what names another one.
    public static func own(_ path: String, _ names: String) throws(Failure) -> String {
        try Ownership.check(try make(path), or: "name another folder with \(names)")
        return path
    }

    /// Makes a folder and those above it.
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
