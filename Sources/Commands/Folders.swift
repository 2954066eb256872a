import Glibc
public import Kernel

/// Folders of the user's, by the XDG base directory specification.
public enum Folders {
    /// For what should outlive a restart, and is no treasure.
    public static var state: String { base("XDG_STATE_HOME", "/.local/state") + "/peerlab" }
    /// For what is worth keeping.
    public static var data: String { base("XDG_DATA_HOME", "/.local/share") + "/peerlab" }

    /// Where it is written down how bound devices were: the user's state, or what is there until the next boot where that
    /// cannot be written; `named` alone where the user names a folder.
    public static func bindings(_ named: String?) -> [String] {
        guard let named else { return ["\(state)/bindings", "/run/peerlab/bindings"] }
        guard !named.hasPrefix("/"), let here = getcwd(nil, 0) else { return [named] }
        defer { free(here) }
        return ["\(String(cString: here))/\(named)"]
    }

    /// Where the store of results is, unless the user names another place.
    public static func store() throws(Failure) -> String { try make(data) + "/results.sqlite" }

    private static func base(_ variable: String, _ fallback: String) -> String {
        if let value = getenv(variable).map({ String(cString: $0) }), value.hasPrefix("/") { return value }
        let home =
            getenv("HOME").map { String(cString: $0) } ?? getpwuid(getuid()).map { String(cString: $0.pointee.pw_dir) }
        return (home ?? "/tmp") + fallback
    }

    /// Makes a folder and those above it.
    public static func make(_ path: String) throws(Failure) -> String {
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
