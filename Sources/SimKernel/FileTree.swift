import Glibc
import Kernel

/// The directories of the simulated kernel's /sys, /proc and /dev.
final class Directory {
    var entries: [String: Node] = [:]
    unowned let parent: Directory?
    /// Whether it is a tmpfs, where files can be made.
    let isTemporary: Bool

    init(in parent: Directory?, isTemporary: Bool = false) {
        self.parent = parent
        self.isTemporary = isTemporary || parent?.isTemporary == true
    }

    /// The directory at a path below this one, made where it is missing.
    func directory(_ path: String) -> Directory {
        var place = self
        for component in path.split(separator: "/") {
            let name = String(component)
            if case .directory(let next)? = place.entries[name] {
                place = next
            } else {
                let next = Directory(in: place)
                place.entries[name] = .directory(next)
                place = next
            }
        }
        return place
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
    /// A block device that somebody has claimed, as a file system does that is mounted.
    case claimed
    /// A character device; the closure is its open operation.
    case device((_ flags: Int32) throws(Errno) -> OpenFile)
}

extension Directory {
    /// fs/namei.c:path_lookupat. `follow` says whether a link at the end is followed.
    func find(_ path: String, follow: Bool = true) throws(Errno) -> Node {
        guard path.utf8.count < 4096 else { throw Errno(ENAMETOOLONG) }
        guard path.hasPrefix("/") else { throw Errno(ENOENT) }
        var links = 0
        return try walk(from: self, path, follow: follow || path.hasSuffix("/"), &links)
    }

    private func walk(from start: Directory, _ path: String, follow: Bool, _ links: inout Int) throws(Errno) -> Node {
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
            guard let next = directory.entries[String(component)] else { throw Errno(ENOENT) }
            node = next
            if case .link(let target) = next, follow || index < components.count - 1 {
                links += 1
                guard links <= 40 else { throw Errno(ELOOP) }
                node = try walk(from: directory, target, follow: true, &links)
            }
        }
        if path.hasSuffix("/"), path != "/" {
            guard case .directory = node else { throw Errno(ENOTDIR) }
        }
        return node
    }
}
