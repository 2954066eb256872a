import FoundationEssentials
import Glibc
public import Kernel
public import Runner

/// The first line of a batch's journal.
public struct BatchHeader: Codable, Sendable {
    /// "peerlab batch", which identifies the file.
    public let journal: String
    /// peerlab's version.
    public let version: String
    /// The command line without the program's name.
    public let arguments: [String]
    /// The working folder of the command.
    public let directory: String
    /// Start of the batch: ISO 8601, UTC.
    public let started: String
    /// "sim", "lab" or "host", and the bench's description.
    public let bench: String
    /// Whether the bench is simulated.
    public let simulated: Bool
    /// Its part of a sharded batch, "2/5"; nil for a whole batch.
    public let shard: String?
    /// Number of runs; nil for merged journals.
    public let runs: Int?
    /// The user's name for it, "before-firmware"; nil for none.
    public let label: String?
    /// The command, where it is not "batch".
    public let command: String?
    /// Of merged journals: what each part was, in a line.
    public let parts: [String]?

    /// From its parts.
    public init(
        version: String, arguments: [String], directory: String, started: String, bench: String, simulated: Bool,
        shard: String? = nil, runs: Int? = nil, label: String? = nil, command: String? = nil, parts: [String]? = nil
    ) {
        self.label = label
        self.command = command
        self.parts = parts
        self.shard = shard
        self.runs = runs
        journal = BatchHeader.mark
        self.version = version
        self.arguments = arguments
        self.directory = directory
        self.started = started
        self.bench = bench
        self.simulated = simulated
    }

    static let mark = "peerlab batch"
}

/// A file of a batch when the batch was begun, and the ids of its runs.
public struct PlannedFile: Codable, Sendable {
    /// Its path, as the user named it.
    public let planned: String
    /// Its SHA-256, hexadecimal; empty where unknown.
    public let hash: String
    /// nil for a single run whose id is the file's path.
    private let runs: [String]?

    /// A file and the ids of its runs.
    public init(_ path: String, hash: String, ids: [String]) {
        planned = path
        self.hash = hash
        runs = ids == [path] ? nil : ids
    }

    /// The ids of its runs.
    public var ids: [String] { runs ?? [planned] }
}

/// The last line of a completed journal.
private struct BatchEnd: Codable {
    let ended: String
}

/// Stores results as they come. Each is a line, written at once, so that a killed program loses none, and flushed to
/// the disk regularly, so that a power cut loses few.
public final class BatchJournal {
    private let descriptor: Int32
    /// Its path.
    public let path: String
    private let encoder = RunRecord.encoder
    private var isDirty = false

    /// Whether the file is new and nothing has been written to it.
    private var isEmpty = false

    /// Opens a journal: a new one that begins with `header`; where `header` is nil, an existing one, to be continued.
    /// EAGAIN where another program is writing it. EEXIST where `header` is given and the path has anything but a
    /// completed journal.
    public convenience init(_ path: String, header: BatchHeader?) throws(Failure) {
        try self.init(opening: path, mayBeNew: header != nil)
        if let header { try begin(header) } else { try goOn() }
    }

    /// Opens the file now, to be begun by ``begin(_:)``, for a process that may open nothing later.
    public convenience init(opening path: String) throws(Failure) { try self.init(opening: path, mayBeNew: true) }

    private init(opening path: String, mayBeNew: Bool) throws(Failure) {
        self.path = path
        let flags = O_RDWR | O_APPEND | O_CLOEXEC
        var descriptor: Int32 = -1
        if mayBeNew {
            descriptor = open(path, flags | O_CREAT | O_EXCL, 0o644)
            isEmpty = descriptor >= 0
        }
        if descriptor < 0 { descriptor = open(path, mayBeNew ? flags | O_CREAT : flags, 0o644) }
        self.descriptor = descriptor
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        var status = stat()
        guard path == "/dev/null" || (fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG) else {
            throw Failure("open", Errno(EINVAL), object: path, hint: "a journal is a regular file")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw Failure("flock", Errno(errno), object: path, hint: "another peerlab is writing it")
        }
    }

    /// Writes the first line, which replaces a completed journal.
    public func begin(_ header: BatchHeader) throws(Failure) {
        try checkOverwriting()
        ftruncate(descriptor, 0)
        isEmpty = false
        try add(line: header)
        try flush()
    }

    /// Checks the open file, not the path, so that the checked file is the one that is written.
    private func checkOverwriting() throws(Failure) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else { return }
        let before = try? JournalReader(try JournalLines(descriptor, path), path, keepsPlan: false)
        guard before?.isEnded != true else { return }
        throw Failure(
            "open", Errno(EEXIST), object: path,
            hint: before == nil
                ? "the file is no journal; name another one, or remove it"
                : "its batch is not complete: --resume goes on with it; to begin anew, remove it")
    }

    private func goOn() throws(Failure) {
        if path != "/dev/null" { _ = try JournalReader.header(try JournalLines(descriptor, path), path) }
        try dropCutLine()
        try flush()
    }

    deinit {
        // An opened journal that was not begun is removed.
        var (here, there) = (stat(), stat())
        if isEmpty, fstat(descriptor, &here) == 0, lstat(path, &there) == 0,
            (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        {
            unlink(path)
        }
        if descriptor >= 0 { close(descriptor) }
    }

    /// Removes an incomplete last line, left by a kill or a power cut.
    private func dropCutLine() throws(Failure) {
        var size = lseek(descriptor, 0, SEEK_END)
        var byte: UInt8 = 0
        while size > 0, pread(descriptor, &byte, 1, size - 1) == 1, byte != 0x0a { size -= 1 }
        guard ftruncate(descriptor, size) == 0 else { throw Failure("ftruncate", Errno(errno), object: path) }
    }

    private func add(line: some Encodable) throws(Failure) { try put(try bytes(line)) }

    private func bytes(_ line: some Encodable) throws(Failure) -> [UInt8] {
        guard let bytes = try? encoder.encode(line) else {
            throw Failure("write", Errno(EINVAL), object: path, hint: "a result has a number that JSON has not")
        }
        return bytes + [0x0a]
    }

    private func put(_ bytes: [UInt8]) throws(Failure) {
        // One write for the whole line, so that it is not left incomplete.
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0, errno != EINTR { throw Failure("write", Errno(errno), object: path) }
        }
        isDirty = true
    }

    /// Writes the plan: all runs of the batch, before the first one begins.
    public func add(_ files: [PlannedFile]) throws(Failure) {
        var text: [UInt8] = []
        for file in files {
            text += try bytes(file)
            if text.count > 1 << 16 {
                try put(text)
                text = []
            }
        }
        try put(text)
    }

    /// Adds a run that has ended.
    public func add(_ record: RunRecord) throws(Failure) { try add(line: record) }

    /// Writes the last line: the batch is complete.
    public func end(at time: String) throws(Failure) {
        try add(line: BatchEnd(ended: time))
        try flush()
    }

    /// Flushes written lines to the disk.
    public func flush() throws(Failure) {
        guard isDirty else { return }
        // A pipe or /dev/null has nothing to flush.
        guard fdatasync(descriptor) == 0 || errno == EINVAL || errno == EROFS else {
            throw Failure("fdatasync", Errno(errno), object: path)
        }
        isDirty = false
    }
}

extension RunRecord {
    /// Writes a value as one line, with sorted keys.
    public static var encoder: JSONText { JSONText() }
}

extension BatchJournal {
    /// The current time, in the format of results: "2026-01-31T12:00:00Z".
    public static func timestamp() -> String {
        var now = Glibc.time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + String(value) }
        let date = "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
