import Glibc
import Kernel

/// The directories of the simulated kernel's /sys, /proc and /dev.
final class Directory {
    var entries: [String: Node] = [:]
    unowned let parent: Directory?
    /// Whether every name that a real kernel has here is in `entries` or `unmodelled`. Only then is a missing name plain ENOENT.
    var isComplete = false
    /// Names that a real kernel has and this one does not model; opening one is reported, listings leave them out.
    var unmodelled: Set<String> = []
    /// Whether it is a tmpfs, where files can be made.
    let isTemporary: Bool

    init(in parent: Directory?, isTemporary: Bool = false) {
        self.parent = parent
        self.isTemporary = isTemporary || parent?.isTemporary == true
    }

    /// The directory at a path below this one, made where it is missing.
    func directory(_ path: String) -> Directory {
        var folder = self
        for component in path.split(separator: "/") {
            let name = String(component)
            if case .directory(let next)? = folder.entries[name] {
                folder = next
            } else {
                let next = Directory(in: folder)
                folder.entries[name] = .directory(next)
                folder = next
            }
        }
        return folder
    }
}

/// An entry of a directory.
enum Node {
    case directory(Directory)
    case link(String)
    case text(() -> [UInt8])
    /// A file of sysfs that can be written, read, or both.
    case attribute(show: (() -> String)?, store: ((String) throws(Errno) -> Void)?)
    /// A file of a tmpfs.
    case file(TemporaryContents)
    /// A block device that is claimed exclusively, as by a mounted file system.
    case claimed
    /// A character device; the closure is its open operation.
    case device((_ flags: Int32) throws(Errno) -> OpenFile)
}

extension Directory {
    /// What a path lookup notes on its way to a node.
    struct Walk {
        fileprivate var links = 0
        /// Whether a name was missing that a real kernel may have.
        fileprivate(set) var isUnknown = false
    }

    /// fs/namei.c:path_lookupat. `follow` says whether a link at the end is followed.
    func find(_ path: String, follow: Bool = true) throws(Errno) -> Node {
        var walk = Walk()
        return try find(path, follow: follow, &walk)
    }

    /// As `walk`, without the detail of a refusal.
    func find(_ path: String, follow: Bool = true, _ walk: inout Walk) throws(Errno) -> Node {
        guard path.utf8.count < 4096 else { throw Errno(ENAMETOOLONG) }
        guard path.hasPrefix("/") else { throw Errno(ENOENT) }
        return try self.walk(from: self, path, follow: follow || path.hasSuffix("/"), &walk)
    }

    private func walk(from start: Directory, _ path: String, follow: Bool, _ walk: inout Walk) throws(Errno) -> Node {
        var node = Node.directory(path.hasPrefix("/") ? self : start)
        let components = path.split(separator: "/")
        for (index, component) in components.enumerated() {
            guard case .directory(let directory) = node else { throw Errno(ENOTDIR) }
            if component == "." { continue }
            if component == ".." {
                node = .directory(directory.parent ?? directory)
                continue
            }
            guard component.utf8.count <= 255 else { throw Errno(ENAMETOOLONG) }
            guard let next = directory.entries[String(component)] else {
                walk.isUnknown = !directory.isComplete || directory.unmodelled.contains(String(component))
                throw Errno(ENOENT)
            }
            node = next
            if case .link(let target) = next, follow || index < components.count - 1 {
                walk.links += 1
                guard walk.links <= 40 else { throw Errno(ELOOP) }
                node = try self.walk(from: directory, target, follow: true, &walk)
            }
        }
        if path.hasSuffix("/"), path != "/" {
            guard case .directory = node else { throw Errno(ENOTDIR) }
        }
        return node
    }
}
