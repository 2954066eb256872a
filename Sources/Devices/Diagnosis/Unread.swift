import Glibc
import Kernel

/// Why something could not be read, and what to do then.
struct Unread {
    /// For a finding's ``Finding/why``, and for hints.
    let why: String
    /// For its ``Finding/next``.
    let next: [String]

    /// Why a path of sysfs cannot be read of which a whole part is hidden.
    static func hidden(_ path: String, _ kernel: any Kernel) -> String {
        guard !["/sys/bus", "/sys/class", "/sys/kernel"].allSatisfy(kernel.isHidden) else {
            return "this program sees no sysfs at /sys, as in a container that does not show it"
        }
        let part = path.split(separator: "/").prefix(2).joined(separator: "/")
        return "this program sees nothing below /\(part), as in a container that hides it"
    }

    init(_ path: String, _ errno: Errno?, _ kernel: any Kernel) {
        let root = ["sudo peerlab doctor"]
        switch errno {
        case .some(.noEntry) where path.hasPrefix("/sys/") && kernel.isHidden(path):
            why = Unread.hidden(path, kernel)
            next = ["mount -t sysfs sysfs /sys    (as root), or run it where the machine's /sys is shown"]
        case .some(.noEntry) where path.hasPrefix("/proc/") && (try? kernel.list("/proc/self")) == nil:
            why = "this program sees no procfs at /proc, as in a container that does not show it"
            next = ["mount -t proc proc /proc    (as root), or run it where the machine's /proc is shown"]
        case .some(.denied), .some(.notPermitted):
            why = "this program may not read \(path)"
            next = root
        case .some(let errno):
            why = "\(path): \(errno.name) (\(errno.message))"
            next = errno == .noEntry ? [] : ["dmesg | tail    (as root: the kernel may say why)"]
        case nil:
            why = "\(path) does not say it"
            next = ["cat \(path)"]
        }
    }
}

extension Diagnosis {
    /// A finding that something could not be read; it is tried again, for the reason.
    func unread(
        _ id: String, _ area: Finding.Area, of subject: String = "", _ what: String, at path: String,
        stops: Set<Finding.Purpose> = []
    ) -> Finding {
        let reason = Unread(path, errno(reading: path), kernel)
        return Finding(id, area, subject, .unread, what, why: reason.why, next: reason.next, stops: stops)
    }

    /// The same of a call that failed.
    func unread(
        _ id: String, _ area: Finding.Area, of subject: String = "", _ what: String, _ failure: Failure,
        stops: Set<Finding.Purpose> = []
    ) -> Finding {
        let reason = Unread(failure.object, failure.errno, kernel)
        return Finding(id, area, subject, .unread, what, why: reason.why, next: reason.next, stops: stops)
    }

    private func errno(reading path: String) -> Errno? {
        do throws(Errno) { _ = try kernel.list(path) } catch {
            guard error.code == ENOTDIR else { return error }
            do throws(Errno) { _ = try kernel.contents(of: path) } catch { return error }
        }
        return nil
    }
}
