import Glibc
public import Kernel

/// A file that results are written to: a regular one whole or not at all, anything else (a terminal, a pipe, /dev/null)
/// as it stands, for renaming over it would replace the device itself.
public struct ResultFile: Sendable {
    private let path: String
    /// Where a regular file is, links followed; nil where it is something else.
    private let place: String?
    /// Opened before it is written, and the temporary file's path.
    private var opened: (descriptor: Int32, temporary: String?)?

    /// Throws where it could not be written, so that nothing is run for results that would be lost.
    public init(_ path: String) throws(Failure) {
        self.path = path
        var status = stat()
        if stat(path, &status) == 0 {
            let kind = status.st_mode & S_IFMT
            guard kind != S_IFDIR else { throw Failure("open", Errno(EISDIR), object: path) }
            guard access(path, W_OK) == 0 else { throw Failure("open", Errno(errno), object: path) }
            guard kind == S_IFREG else {
                place = nil
                return
            }
        } else if errno != ENOENT || path.isEmpty || path.hasSuffix("/") {
            throw Failure("open", Errno(path.hasSuffix("/") ? EISDIR : errno), object: path)
        }
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, access(path, F_OK) != 0 {
            // A link to what is not there yet is followed when it is opened.
            place = nil
            return
        }
        let resolved = ResultFile.resolved(path)
        guard access(ResultFile.folder(of: resolved), W_OK | X_OK) == 0 else {
            throw Failure("open", Errno(errno), object: path)
        }
        place = resolved
    }

    private static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Writes it.
    public func write(_ bytes: [UInt8]) throws(Failure) { try write { $0.add(bytes) } }

    /// Writes what `body` adds, piece by piece.
    public func write(_ body: (inout Pieces) -> Void) throws(Failure) {
        let (descriptor, temporary) = if let opened { opened } else { try make() }
        do throws(Failure) {
            try put(body, descriptor)
            guard let temporary, let place else { return }
            guard rename(temporary, place) == 0 else { throw Failure("rename", Errno(errno), object: path) }
        } catch {
            if let temporary { unlink(temporary) }
            throw error
        }
    }

    /// Opens what is written later, for a process that may open nothing then; only once.
    public mutating func open() throws(Failure) { opened = try make() }

    /// The folder in which it is renamed; nil where it is not.
    public var folder: String? { place.map(ResultFile.folder) }

    private static func folder(of path: String) -> String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "." }

    private func make() throws(Failure) -> (descriptor: Int32, temporary: String?) {
        guard let place else {
            let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
            guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
            return (descriptor, nil)
        }
        var temporary = Array("\(place).XXXXXX".utf8CString)
        let descriptor = mkstemp(&temporary)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        let mask = umask(0)
        umask(mask)
        var before = stat()
        fchmod(descriptor, stat(place, &before) == 0 ? before.st_mode & 0o777 : 0o666 & ~mask)
        return (descriptor, String(decoding: temporary.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    private func put(_ body: (inout Pieces) -> Void, _ descriptor: Int32) throws(Failure) {
        var pieces = Pieces(descriptor)
        body(&pieces)
        pieces.flush()
        // Some file systems tell of a full disk only now.
        if close(descriptor) != 0, pieces.error == 0 { pieces.error = errno }
        guard pieces.error == 0 else { throw Failure("write", Errno(pieces.error), object: path) }
    }

    /// What is being written: a buffer before a file. After an error nothing more is written.
    public struct Pieces {
        private let descriptor: Int32
        private var buffer: [UInt8] = []
        fileprivate var error: Int32 = 0

        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

        /// Adds bytes.
        public mutating func add(_ bytes: some Collection<UInt8>) {
            buffer += bytes
            if buffer.count >= 1 << 16 { flush() }
        }

        /// Adds text.
        public mutating func add(_ text: String) { add(text.utf8) }

        fileprivate mutating func flush() {
            var rest = buffer[...]
            while !rest.isEmpty, error == 0 {
                let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count > 0 { rest = rest.dropFirst(count) }
                if count < 0, errno != EINTR { error = errno }
            }
            buffer.removeAll(keepingCapacity: true)
        }
    }
}
