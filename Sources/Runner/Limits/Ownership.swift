public import Glibc
public import Kernel

/// Checks that a file or folder belongs to the user alone. Its content decides what is run, bound or removed with the
/// user's rights, so nobody else may be able to write it.
public enum Ownership {
    /// Throws EPERM where it belongs to neither the effective user nor root, or where others can write it. `remedy`:
    /// what to do instead, for the message.
    public static func check(_ status: stat, _ path: String, or remedy: String) throws(Failure) {
        guard let problem = problem(status) else { return }
        throw Failure("open", Errno(EPERM), object: path, hint: "\(problem): \(remedy)")
    }

    /// The same for a path; one that cannot be examined passes.
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

    /// Whether a group is the user's private group, as many distributions create it: with the user's name, and no other
    /// member.
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
