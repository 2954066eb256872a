import Glibc
public import Kernel

/// A file that results are written to: a regular one whole or not at all, anything else (a terminal, a pipe, /dev/null)
/// as it stands, for renaming over it would replace the device itself.
public struct ResultFile {
    private let path: String
    /// Where a regular file is, links followed; nil where it is something else.
    private let place: String?

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
        let folder = resolved.lastIndex(of: "/").map { String(resolved[...$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else { throw Failure("open", Errno(errno), object: path) }
        place = resolved
    }

    private static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Writes it.
    public func write(_ bytes: [UInt8]) throws(Failure) {
        guard let place else {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
            guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
            return try put(bytes, descriptor)
        }
        var temporary = Array("\(place).XXXXXX".utf8CString)
        let descriptor = mkstemp(&temporary)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        do throws(Failure) {
            let mask = umask(0)
            umask(mask)
            fchmod(descriptor, 0o666 & ~mask)
            try put(bytes, descriptor)
            guard rename(temporary, place) == 0 else { throw Failure("rename", Errno(errno), object: path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private func put(_ bytes: [UInt8], _ descriptor: Int32) throws(Failure) {
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0, errno != EINTR { throw Failure("write", Errno(errno), object: path) }
        }
    }
}
