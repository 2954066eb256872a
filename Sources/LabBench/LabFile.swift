import Glibc

/// Reading and writing of whole files, in the guest and for its image.
enum LabFile {
    /// A file's content; nil where it cannot be read or has more than `limit` bytes.
    static func contents(of path: String, limit: Int = 1 << 30) -> [UInt8]? {
        // O_NONBLOCK: opening a FIFO would wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        // Regular files are read at once; virtual files report a size of 0.
        let size = fstat(descriptor, &status) == 0 ? min(max(Int(status.st_size), 0), limit) : 0
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size + 1)
        var buffer = [UInt8](repeating: 0, count: max(16384, min(size + 1, 4 << 20)))
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? bytes : nil }
            bytes += buffer[..<count]
            guard bytes.count <= limit else { return nil }
        }
    }

    /// Writes all bytes; false where a write fails.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
