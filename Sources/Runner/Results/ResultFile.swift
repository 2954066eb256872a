public import Glibc
public import Kernel
import Synchronization

/// A file that a command writes. A regular file is written as NAME.XXXXXX beside its final path and renamed at the end,
/// so it is either complete or keeps its old content. Anything else (a terminal, a pipe, /dev/null, /dev/stdout) is
/// written directly. A symbolic link is followed once, when this object is made.
public final class ResultFile: Sendable {
    private enum Place {
        /// A name in an open folder.
        case file(folder: Int32, path: String, name: String)
        /// A copy of a descriptor that the user gave.
        case descriptor(Int32)
        /// A file that is opened by its path: a FIFO, a device.
        case stream(String)
    }
    private struct State {
        var descriptor: Int32 = -1
        var temporary: String?
        var failure: Failure?
    }

    /// The path as the user gave it.
    public let path: String
    private let place: Place
    private let state = Mutex(State())

    /// Throws where the file could not be written, so that nothing is run whose results would be lost.
    public init(_ path: String) throws(Failure) {
        self.path = path
        if let number = ResultFile.descriptor(named: path) {
            let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
            guard copy >= 0 else { throw Failure("open", Errno(errno), object: path) }
            place = .descriptor(copy)
            return
        }
        guard !path.isEmpty, !path.hasSuffix("/") else {
            throw Failure("open", Errno(path.isEmpty ? ENOENT : EISDIR), object: path)
        }
        var status = stat()
        if stat(path, &status) == 0 {
            let kind = status.st_mode & S_IFMT
            guard kind != S_IFDIR else { throw Failure("open", Errno(EISDIR), object: path) }
            guard access(path, W_OK) == 0 else { throw Failure("open", Errno(errno), object: path) }
            guard kind == S_IFREG else {
                place = .stream(path)
                return
            }
        } else if errno != ENOENT {
            throw Failure("open", Errno(errno), object: path)
        }
        let target = try ResultFile.followed(path)
        let slash = target.lastIndex(of: "/")
        let folder = slash.map { String(target[...$0]) } ?? "."
        let name = slash.map { String(target[target.index(after: $0)...]) } ?? target
        guard access(folder, W_OK | X_OK) == 0 else { throw Failure("open", Errno(errno), object: path) }
        let descriptor = Glibc.open(folder, openPath | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        place = .file(folder: descriptor, path: folder, name: name)
    }

    deinit {
        discard()
        switch place {
        case .file(let folder, _, _): close(folder)
        case .descriptor(let copy): close(copy)
        case .stream: break
        }
    }

    /// 1 for /dev/stdout, N for /dev/fd/N. They stand for the user's descriptors even where the shell has redirected
    /// those to files.
    private static func descriptor(named path: String) -> Int32? {
        switch path {
        case "/dev/stdout": return STDOUT_FILENO
        case "/dev/stderr": return STDERR_FILENO
        default:
            let folder = ["/dev/fd/", "/proc/self/fd/"].first { path.hasPrefix($0) }
            return folder.flatMap { UInt16(path.dropFirst($0.count)) }.map { Int32($0) }
        }
    }

    /// The path with symbolic links followed; the last one may point to a file that does not exist yet.
    private static func followed(_ path: String) throws(Failure) -> String {
        var path = path
        for _ in 0..<40 {
            var target = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(path, &target, target.count)
            guard count > 0 else { return path }
            let text = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            path = text.hasPrefix("/") ? text : folder + text
        }
        throw Failure("open", Errno(ELOOP), object: path)
    }

    /// The folder in which the file is renamed; nil where it is written directly.
    public var folder: String? {
        if case .file(_, let path, _) = place { path } else { nil }
    }

    // MARK: Writing

    /// Writes these bytes as the whole content.
    public func write(_ bytes: [UInt8]) throws(Failure) { try write { $0.add(bytes) } }

    /// Writes what `body` adds, piece by piece, as the whole content.
    public func write(_ body: (inout Pieces) -> Void) throws(Failure) {
        try open()
        var pieces = Pieces(self)
        body(&pieces)
        pieces.flush()
        try finish()
    }

    /// Opens the file now, for a process that may open nothing later.
    public func open() throws(Failure) {
        let failure: Failure? = state.withLock { state in
            guard state.descriptor < 0 else { return nil }
            do throws(Failure) { try make(&state) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    private func make(_ state: inout State) throws(Failure) {
        switch place {
        case .descriptor(let copy): state.descriptor = copy
        case .stream(let path):
            state.descriptor = Glibc.open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)
            guard state.descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
            var status = stat()
            // The path may name another file by now.
            guard fstat(state.descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFREG else {
                throw Failure(
                    "open", Errno(EEXIST), object: path,
                    hint: "it has become a regular file, which is not written over in place")
            }
        case .file(let folder, _, let name):
            var status = stat()
            let isThere = fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
            for _ in 0..<100 {
                // A file name has at most 255 bytes.
                let stem = String(decoding: Array(name.utf8.prefix(240)), as: UTF8.self)
                let temporary = "\(stem).\(ResultFile.suffix())"
                state.descriptor = openat(folder, temporary, flags, 0o666)
                guard state.descriptor < 0 else {
                    state.temporary = temporary
                    break
                }
                guard errno == EEXIST else { throw Failure("open", Errno(errno), object: path) }
            }
            guard state.descriptor >= 0 else { throw Failure("open", Errno(EEXIST), object: path) }
            if isThere { fchmod(state.descriptor, status.st_mode & 0o777) }
        }
    }

    private static func suffix() -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        return String((0..<6).map { _ in letters[Int.random(in: 0..<letters.count)] })
    }

    /// Appends bytes to the opened file. After a failure nothing more is written, so that no content follows a gap.
    public func append(_ bytes: [UInt8]) {
        state.withLock { state in
            var rest = bytes[...]
            while !rest.isEmpty, state.failure == nil, state.descriptor >= 0 {
                let count = rest.withUnsafeBytes { Glibc.write(state.descriptor, $0.baseAddress, $0.count) }
                if count > 0 { rest = rest.dropFirst(count) }
                if count < 0, errno == EAGAIN {
                    // Another process made the terminal or pipe non-blocking.
                    var full = pollfd(fd: state.descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&full, 1, -1)
                } else if count < 0, errno != EINTR {
                    state.failure = Failure("write", Errno(errno), object: path)
                }
            }
        }
    }

    /// Renames the file to its final path where all of it was written; otherwise removes it and throws.
    public func finish() throws(Failure) {
        let failure: Failure? = state.withLock { state in
            defer { discard(&state) }
            guard state.descriptor >= 0 else { return nil }
            if let failure = state.failure { return failure }
            guard case .file(let folder, _, let name) = place, let temporary = state.temporary else { return nil }
            // Some file systems report a full disk only at close(2).
            guard close(state.descriptor) == 0 else {
                state.descriptor = -1
                return Failure("write", Errno(errno), object: path)
            }
            state.descriptor = -1
            var status = stat()
            if fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT != S_IFREG {
                return Failure(
                    "rename", Errno(EEXIST), object: path,
                    hint: "it has become something that is no regular file, which is not replaced")
            }
            guard renameat(folder, temporary, folder, name) == 0 else {
                return Failure("rename", Errno(errno), object: path)
            }
            state.temporary = nil
            return nil
        }
        if let failure { throw failure }
    }

    /// Removes the new file and keeps the old content.
    public func discard() { state.withLock { discard(&$0) } }

    private func discard(_ state: inout State) {
        if case .file(let folder, _, _) = place, let temporary = state.temporary { unlinkat(folder, temporary, 0) }
        if case .descriptor = place {} else if state.descriptor >= 0 { close(state.descriptor) }
        state = State()
    }

    /// A buffer for the content of a file.
    public struct Pieces {
        private let file: ResultFile
        private var buffer: [UInt8] = []

        fileprivate init(_ file: ResultFile) { self.file = file }

        /// Adds bytes.
        public mutating func add(_ bytes: some Collection<UInt8>) {
            buffer += bytes
            if buffer.count >= 1 << 16 { flush() }
        }

        /// Adds text.
        public mutating func add(_ text: String) { add(text.utf8) }

        fileprivate mutating func flush() {
            file.append(buffer)
            buffer.removeAll(keepingCapacity: true)
        }
    }
}

extension ResultFile {
    /// Identifies a file independently of its path.
    public struct Identity: Hashable, Sendable {
        private let device: dev_t
        private let inode: ino_t
        /// For a file that does not exist yet: its name in the folder with these device and inode numbers.
        private let name: String?

        /// From stat(2) of the file or, where it does not exist yet, of its folder, with its name.
        public init(_ status: stat, name: String? = nil) {
            device = status.st_dev
            inode = status.st_ino
            self.name = name
        }
    }

    /// The file that would be replaced; nil for a stream, which replaces nothing.
    public var identity: Identity? {
        var status = stat()
        switch place {
        case .descriptor(let copy):
            return fstat(copy, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Identity(status) : nil
        case .stream: return nil
        case .file(let folder, _, let name):
            if fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 { return Identity(status) }
            return fstat(folder, &status) == 0 ? Identity(status, name: name) : nil
        }
    }

    /// Whether a script could `require` the file from one of these folders: it exists and is named like a Lua file.
    public func isModule(below folders: [String]) -> Bool {
        guard case .file(let descriptor, let path, let name) = place, name.hasSuffix(".lua") else { return false }
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0, let here = ResultFile.resolved(path) else {
            return false
        }
        return folders.contains { folder in
            guard let folder = ResultFile.resolved(folder) else { return false }
            return here == folder || here.hasPrefix(folder == "/" ? folder : folder + "/")
        }
    }

    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
