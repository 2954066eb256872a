public import Glibc
public import Kernel

/// Whether a file or a folder is the user's alone. What others can write may say what they like, and what is run, bound or
/// removed for it is done with the user's rights.
public enum Ownership {
    /// Refuses what belongs to neither the effective user nor root, or can be written by others: EPERM. `remedy` is what
    /// to do instead.
    public static func check(_ status: stat, _ path: String, or remedy: String) throws(Failure) {
        guard let problem = problem(status) else { return }
        throw Failure("open", Errno(EPERM), object: path, hint: "\(problem): \(remedy)")
    }

    /// The same of what is at a path; what cannot be found is nobody's.
    public static func check(_ path: String, or remedy: String) throws(Failure) {
        var status = stat()
        if stat(path, &status) == 0 { try check(status, path, or: remedy) }
    }

    private static func problem(_ status: stat) -> String? {
        guard status.st_uid == geteuid() || status.st_uid == 0 else { return "it belongs to user \(status.st_uid)" }
        if status.st_mode & S_IWOTH != 0 { return "every user can write there" }
        if status.st_mode & S_IWGRP != 0, !isPrivate(status.st_gid) {
            return "group \(status.st_gid) can write there"
        }
        return nil
    }

    /// Whether a group is the user's own, as many distributions give each user one: of the same name, with nobody else in it.
    private static func isPrivate(_ group: gid_t) -> Bool {
        guard let user = getpwuid(geteuid()), user.pointee.pw_gid == group, let entry = getgrgid(group) else {
            return false
        }
        let name = String(cString: user.pointee.pw_name)
        guard String(cString: entry.pointee.gr_name) == name else { return false }
        var member = entry.pointee.gr_mem
        while let one = member?.pointee {
            guard String(cString: one) == name else { return false }
            member = member?.advanced(by: 1)
        }
        return true
    }
}
