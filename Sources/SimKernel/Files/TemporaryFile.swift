import Glibc
import Kernel

/// What a file of a tmpfs holds, open or not.
final class TemporaryContents {
    var bytes: [UInt8] = []
}

/// An open file of a tmpfs. mm/shmem.c
final class TemporaryFile: OpenFile {
    private let contents: TemporaryContents

    init(_ kernel: SimKernel, _ name: String, flags: Int32, _ contents: TemporaryContents) {
        self.contents = contents
        super.init(kernel, name, flags: flags)
    }

    override func read(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard offset < UInt64(contents.bytes.count) else { return 0 }
        let part = contents.bytes[Int(offset)...].prefix(bytes.count)
        bytes.copyBytes(from: part)
        return part.count
    }

    override func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        guard offset <= UInt64(contents.bytes.count), contents.bytes.count + bytes.count <= 1 << 20 else {
            throw kernel.notModelled("a large file in a tmpfs, or one with holes", EFBIG)
        }
        let end = min(Int(offset) + bytes.count, contents.bytes.count)
        contents.bytes.replaceSubrange(Int(offset)..<end, with: bytes)
        return bytes.count
    }
}

/// Names in a tmpfs: /run is one. See ``SystemCalls``.
extension SimKernel {
    /// See ``SystemCalls``.
    public func fsync(_ descriptor: Int32) -> Int {
        call { () throws(Errno) in
            _ = try file(descriptor)
            return 0
        }
    }

    /// See ``SystemCalls``.
    public func mkdir(_ path: String) -> Int {
        call { () throws(Errno) in
            let (folder, name) = try locate(path)
            guard folder.entries[name] == nil else { throw Errno(EEXIST) }
            try checkTemporary(folder, "mkdir \(path)")
            folder.entries[name] = .directory(Directory(in: folder))
            return 0
        }
    }

    /// See ``SystemCalls``.
    public func rename(_ path: String, to other: String) -> Int {
        call { () throws(Errno) in
            let (folder, name) = try locate(path)
            let (target, newName) = try locate(other)
            guard let node = folder.entries[name] else { throw Errno(ENOENT) }
            guard case .file = node else { throw notModelled("rename of \(path)", EXDEV) }
            try checkTemporary(target, "rename to \(other)")
            folder.entries[name] = nil
            target.entries[newName] = node
            return 0
        }
    }

    /// See ``SystemCalls``.
    public func unlink(_ path: String) -> Int {
        call { () throws(Errno) in
            let (folder, name) = try locate(path)
            guard let node = folder.entries[name] else { throw Errno(ENOENT) }
            if case .directory = node { throw Errno(EISDIR) }
            try checkTemporary(folder, "unlink of \(path)")
            folder.entries[name] = nil
            return 0
        }
    }

    /// O_CREAT
    func create(_ path: String, exclusively: Bool) throws(Errno) {
        let (folder, name) = try locate(path)
        guard folder.entries[name] == nil else {
            if exclusively { throw Errno(EEXIST) }
            return
        }
        try checkTemporary(folder, "making \(path)")
        folder.entries[name] = .file(TemporaryContents())
    }

    private func checkTemporary(_ folder: Directory, _ what: String) throws(Errno) {
        guard folder.isTemporary else { throw notModelled(what, EROFS) }
    }

    /// The folder that a path's last name is in, and that name.
    private func locate(_ path: String) throws(Errno) -> (Directory, String) {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), let name = parts.last else { throw Errno(ENOENT) }
        let above = "/" + parts.dropLast().joined(separator: "/")
        guard case .directory(let folder) = try root.find(above) else { throw Errno(ENOTDIR) }
        return (folder, String(name))
    }
}
