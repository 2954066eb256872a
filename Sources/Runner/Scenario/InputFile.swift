import Glibc
public import Kernel

/// Reads files, with a limit of size. Only regular files are accepted: a FIFO, a device or a folder is refused before
/// anything is read. A path named on the command line may also be standard input.
public enum InputFile {
    /// Limits by kind of file, bytes.
    public enum Limit {
        /// A script or a module.
        public static let script = 64 << 20
        /// A file of rules.
        public static let rules = 1 << 20
        /// A record.
        public static let record = 256 << 20
        /// A bundle, which is made to be mailed and so much smaller in practice.
        public static let bundle = 16 << 20
        /// A document of results.
        public static let results = 1 << 30
        /// A list of runs.
        public static let list = 256 << 20
    }

    /// All of a file. `mayBeStream`: the path comes from a command line, so /dev/stdin, /dev/fd/N and /dev/null are
    /// accepted. EFBIG where it has more than `limit` bytes, EINVAL where it is not a regular file, EISDIR for a
    /// folder.
    public static func bytes(of path: String, limit: Int, mayBeStream: Bool = false) throws(Failure) -> [UInt8] {
        let descriptor = try open(path, mayBeStream: mayBeStream)
        defer { close(descriptor) }
        return try bytes(from: descriptor, path, limit: limit)
    }

    /// The same as text; ill-formed UTF-8 is replaced.
    public static func text(of path: String, limit: Int, mayBeStream: Bool = false) throws(Failure) -> String {
        String(decoding: try bytes(of: path, limit: limit, mayBeStream: mayBeStream), as: UTF8.self)
    }

    /// Opens a file for reading; the caller closes the descriptor.
    public static func open(_ path: String, mayBeStream: Bool = false) throws(Failure) -> Int32 {
        if mayBeStream, isStream(path) {
            let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
            return descriptor
        }
        // Checked before opening: opening a device may already change it.
        var status = stat()
        guard stat(path, &status) == 0 else { throw Failure("open", Errno(errno), object: path) }
        try check(status, path)
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        do throws(Failure) {
            // The path may name another file by now.
            guard fstat(descriptor, &status) == 0 else { throw Failure("fstat", Errno(errno), object: path) }
            try check(status, path)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The rest of an open file.
    static func bytes(from descriptor: Int32, _ path: String, limit: Int) throws(Failure) -> [UInt8] {
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > limit {
            throw tooLarge(path, limit)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure("read", Errno(errno), object: path) }
            if count == 0 { return bytes }
            guard count <= limit - bytes.count else { throw tooLarge(path, limit) }
            bytes += chunk[..<count]
        }
    }

    /// Whether a path names a descriptor that the user gave, or /dev/null.
    static func isStream(_ path: String) -> Bool {
        if path == "/dev/stdin" || path == "/dev/null" { return true }
        return ["/dev/fd/", "/proc/self/fd/"].contains { path.hasPrefix($0) && UInt16(path.dropFirst($0.count)) != nil }
    }

    private static func check(_ status: stat, _ path: String) throws(Failure) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFDIR: throw Failure("open", Errno(EISDIR), object: path, hint: "a file is read here, not a folder")
        default:
            throw Failure(
                "open", Errno(EINVAL), object: path,
                hint: "it is no regular file; of others only /dev/stdin is read, where a command line names it")
        }
    }

    private static func tooLarge(_ path: String, _ limit: Int) -> Failure {
        Failure(
            "read", Errno(EFBIG), object: path,
            hint: limit >= 1 << 20
                ? "at most \(limit >> 20) MiB are read of it" : "at most \(limit) bytes are read of it")
    }
}

/// O_PATH, which Swift does not import: opens a folder for openat(2) without the right to read it.
let openPath: Int32 = 0o10_000_000

/// A Lua file below a folder, as `require` finds it. It cannot be outside: every component below the folder must be a
/// real folder, and the file a regular one.
public enum ModuleFile {
    /// Its content; nil where it does not exist. ELOOP where a component is a symbolic link.
    /// - Parameter path: "engines/edu.lua": names with slashes between.
    public static func bytes(of path: String, in folder: String) throws(Failure) -> [UInt8]? {
        let whole = "\(folder)/\(path)"
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard path.hasSuffix(".lua"), let name = parts.popLast(),
            (parts + [String(name.dropLast(4))]).allSatisfy(isName)
        else { throw Failure("open", Errno(EINVAL), object: whole, hint: "it is no module's name") }
        var place = Glibc.open(folder, openPath | O_DIRECTORY | O_CLOEXEC)
        guard place >= 0 else { return nil }
        defer { close(place) }
        for part in parts {
            guard try kind(of: part, in: place, whole) == S_IFDIR else { return nil }
            let next = openat(place, part, openPath | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard next >= 0 else { return nil }
            close(place)
            place = next
        }
        guard let kind = try kind(of: name, in: place, whole) else { return nil }
        // Checked before opening: opening a device may already change it.
        guard kind == S_IFREG else { throw irregular(whole) }
        let descriptor = openat(place, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        // The name may belong to another file by now.
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw irregular(whole) }
        return try InputFile.bytes(from: descriptor, whole, limit: InputFile.Limit.script)
    }

    /// Whether `require` accepts it as a component of a module's name: it cannot leave the folder.
    static func isName(_ part: some StringProtocol) -> Bool {
        !part.isEmpty && part.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }
    }

    /// The type of a directory entry; nil where it does not exist.
    private static func kind(of name: String, in folder: Int32, _ whole: String) throws(Failure) -> mode_t? {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        guard status.st_mode & S_IFMT != S_IFLNK else {
            throw Failure("open", Errno(ELOOP), object: whole, hint: "it is a link, or lies behind one")
        }
        return status.st_mode & S_IFMT
    }

    private static func irregular(_ path: String) -> Failure {
        Failure("open", Errno(EINVAL), object: path, hint: "a module is a regular file")
    }
}
