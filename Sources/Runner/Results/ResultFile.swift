public import Glibc
public import Kernel
import Synchronization

/// A file that a command writes. A regular one is written beside its place, as NAME.XXXXXX, and renamed at the end: it is
/// there whole or not at all, and nothing is lost of what was there before. Anything else (a terminal, a pipe, /dev/null,
/// /dev/stdout) is written as it stands. Where the path is a link, that is followed once, when this is made.
public final class ResultFile: Sendable {
    private enum Place {
        /// A name in a folder that is open.
        case file(folder: Int32, path: String, name: String)
        /// A descriptor of the user's, of which this is a copy.
        case descriptor(Int32)
        /// What is opened by its path: a FIFO, a device.
        case stream(String)
    }
    private struct State {
        var descriptor: Int32 = -1
        var temporary: String?
        var failure: Failure?
    }

    /// As it was named.
    public let path: String
    private let place: Place
    private let state = Mutex(State())

    /// Throws where it could not be written, so that nothing is run for results that would be lost.
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

    /// 1 of /dev/stdout, N of /dev/fd/N: they are the user's descriptors, also where a shell has made them files.
    private static func descriptor(named path: String) -> Int32? {
        switch path {
        case "/dev/stdout": return STDOUT_FILENO
        case "/dev/stderr": return STDERR_FILENO
        default:
            let folder = ["/dev/fd/", "/proc/self/fd/"].first { path.hasPrefix($0) }
            return folder.flatMap { UInt16(path.dropFirst($0.count)) }.map { Int32($0) }
        }
    }

    /// Where the links lead that are there now; the last may lead to what is not there yet.
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

    /// The folder in which it is renamed; nil where it is not.
    public var folder: String? {
        if case .file(_, let path, _) = place { path } else { nil }
    }

    // MARK: Writing

    /// Writes all of it.
    public func write(_ bytes: [UInt8]) throws(Failure) { try write { $0.add(bytes) } }

    /// Writes what `body` adds, piece by piece, and ends it.
    public func write(_ body: (inout Pieces) -> Void) throws(Failure) {
        try open()
        var pieces = Pieces(self)
        body(&pieces)
        pieces.flush()
        try finish()
    }

    /// Opens what is written later, for a process that may open nothing then.
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
            // It may have become another one.
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
                // A name has 255 bytes at most.
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

    /// Adds bytes to what was opened. Behind a hole nothing follows: after a failure nothing more is written.
    public func append(_ bytes: [UInt8]) {
        state.withLock { state in
            var rest = bytes[...]
            while !rest.isEmpty, state.failure == nil, state.descriptor >= 0 {
                let count = rest.withUnsafeBytes { Glibc.write(state.descriptor, $0.baseAddress, $0.count) }
                if count > 0 { rest = rest.dropFirst(count) }
                if count < 0, errno == EAGAIN {
                    // Somebody made our terminal or pipe non-blocking.
                    var full = pollfd(fd: state.descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&full, 1, -1)
                } else if count < 0, errno != EINTR {
                    state.failure = Failure("write", Errno(errno), object: path)
                }
            }
        }
    }

    /// Puts it in its place, where all of it could be written; of one that could not nothing is left.
    public func finish() throws(Failure) {
        let failure: Failure? = state.withLock { state in
            defer { discard(&state) }
            guard state.descriptor >= 0 else { return nil }
            if let failure = state.failure { return failure }
            guard case .file(let folder, _, let name) = place, let temporary = state.temporary else { return nil }
            // Some file systems tell of a full disk only now.
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

    /// Leaves what was there before, and nothing of this one.
    public func discard() { state.withLock { discard(&$0) } }

    private func discard(_ state: inout State) {
        if case .file(let folder, _, _) = place, let temporary = state.temporary { unlinkat(folder, temporary, 0) }
        if case .descriptor = place {} else if state.descriptor >= 0 { close(state.descriptor) }
        state = State()
    }

    /// What is being written: a buffer before a file.
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
    /// What a file is, whatever it is called.
    public struct Identity: Hashable, Sendable {
        private let device: dev_t
        private let inode: ino_t
        /// Of a file that is not there yet: its name in the folder that the numbers are of.
        private let name: String?

        /// A file's, as stat(2) tells of it; of one that is not there yet its folder's, and its name.
        public init(_ status: stat, name: String? = nil) {
            device = status.st_dev
            inode = status.st_ino
            self.name = name
        }
    }

    /// What is written over; nil of a stream, of which nothing is lost.
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

    /// Whether a script could `require` it below one of these folders: it is there, and has a Lua file's name.
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
