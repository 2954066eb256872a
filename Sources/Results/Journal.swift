import FoundationEssentials
import Glibc
public import Kernel
public import Runner

/// The first line of a batch's journal: what is run.
public struct BatchHeader: Codable, Sendable {
    /// "peerlab batch", by which the file is known.
    public let journal: String
    /// Of the tool.
    public let version: String
    /// The command line without the program's name.
    public let arguments: [String]
    /// The folder it was given in.
    public let directory: String
    /// ISO 8601, UTC.
    public let started: String
    /// "sim", "lab" or "host", and the bench's description.
    public let bench: String
    /// Whether a model answered.
    public let simulated: Bool
    /// Which part of a whole it is: "2/5"; nil where it is all.
    public let shard: String?
    /// How many runs it has; nil of merged ones.
    public let runs: Int?

    /// A header.
    public init(
        version: String, arguments: [String], directory: String, started: String, bench: String, simulated: Bool,
        shard: String? = nil, runs: Int? = nil
    ) {
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

/// A file of a batch as it was when the batch was begun, and its runs.
public struct PlannedFile: Codable, Sendable {
    /// As it was named.
    public let planned: String
    /// Its SHA-256, hexadecimal; empty where it is not known.
    public let hash: String
    /// nil where there is one, which is called as the file is.
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

/// The last line of a journal that came to its end.
private struct BatchEnd: Codable {
    let ended: String
}

/// Results while they come: a line each, written at once, so that a killed program loses none, and flushed to the disk, so
/// that a power cut loses few.
public final class Journal {
    private let descriptor: Int32
    /// Where it is.
    public let path: String
    private let encoder = Record.encoder
    private var isDirty = false

    /// Whether nothing was there, and nothing has been written yet.
    private var isEmpty = false

    /// A new one, which begins with `header`; or, where that is nil, one that goes on. Two programs never write one: EAGAIN.
    /// What is there already is overwritten only where it is the journal of a batch that came to its end: EEXIST.
    public convenience init(_ path: String, header: BatchHeader?) throws(Failure) {
        try self.init(opening: path, mayBeNew: header != nil)
        if let header { try begin(header) } else { try goOn() }
    }

    /// Opens one that ``begin(_:)`` makes new, for a process that may open nothing then.
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

    /// Writes the first line, over a batch that came to its end.
    public func begin(_ header: BatchHeader) throws(Failure) {
        try checkOverwriting()
        ftruncate(descriptor, 0)
        isEmpty = false
        try add(line: header)
        try flush()
    }

    /// What is checked and what is written is one file, whatever the path has become.
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
        // One that was opened and not begun leaves nothing.
        var (here, there) = (stat(), stat())
        if isEmpty, fstat(descriptor, &here) == 0, lstat(path, &there) == 0,
            (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        {
            unlink(path)
        }
        if descriptor >= 0 { close(descriptor) }
    }

    /// A line that was cut by a kill or a power cut is none.
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
        // In one piece: a line is there or not.
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0, errno != EINTR { throw Failure("write", Errno(errno), object: path) }
        }
        isDirty = true
    }

    /// Says what the batch will run: all of it, before the first run.
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
    public func add(_ record: Record) throws(Failure) { try add(line: record) }

    /// Says that all has been run.
    public func end(at time: String) throws(Failure) {
        try add(line: BatchEnd(ended: time))
        try flush()
    }

    /// Sees to it that the disk has what was added.
    public func flush() throws(Failure) {
        guard isDirty else { return }
        // A pipe or /dev/null has no disk.
        guard fdatasync(descriptor) == 0 || errno == EINVAL || errno == EROFS else {
            throw Failure("fdatasync", Errno(errno), object: path)
        }
        isDirty = false
    }
}

/// A journal that is read: its runs one by one, sorted by their ids, however many there are.
public final class JournalReader {
    private let file: JournalLines
    private let path: String
    /// What was run.
    public let header: BatchHeader
    private struct Line {
        let id: String
        let offset: Int
        let outcome: Outcome
        let isFlaky: Bool
    }
    /// Where each run's line begins, sorted by id: of many runs this is all that is kept.
    private var lines: [Line] = []
    /// At most so many, whoever wrote them.
    private static let mostLines = 5_000_000
    /// How they ended.
    public private(set) var totals = Totals()
    /// Whether the batch came to its end.
    public private(set) var isEnded = false
    /// The files that the batch had when it was begun, where they are wanted; empty where the journal does not tell of all
    /// of them.
    public private(set) var planned: [PlannedFile] = []

    private struct Head: Decodable {
        let id: String?
        let outcome: Outcome?
        let flaky: Bool?
        let ended: String?
        let planned: String?
    }

    /// Opens one. EPROTO where it is none, EFBIG where a line or their number is beyond what a batch writes. Of several lines
    /// of a run the last counts; a cut one is left out. `keepsPlan` where ``planned`` is wanted: of many runs it is much.
    public convenience init(_ path: String, keepsPlan: Bool = false) throws(Failure) {
        try self.init(try JournalLines(path), path, keepsPlan: keepsPlan)
    }

    fileprivate init(_ file: JournalLines, _ path: String, keepsPlan: Bool) throws(Failure) {
        self.file = file
        self.path = path
        let (header, next) = try JournalReader.header(file, path)
        self.header = header
        try index(path, from: next, keepsPlan: keepsPlan)
    }

    /// The first line, and where the next begins.
    fileprivate static func header(
        _ file: JournalLines, _ path: String
    ) throws(Failure) -> (header: BatchHeader, next: Int) {
        guard let (line, next) = try file.line(at: 0),
            let header = try? JSONDecoder().decode(BatchHeader.self, from: line), header.journal == BatchHeader.mark
        else {
            throw Failure("read", Errno(EPROTO), object: path, hint: "it is no journal of peerlab batch")
        }
        return (header, next)
    }

    /// Refuses a journal that others than the user can have written: EPERM.
    public func checkOwnership() throws(Failure) {
        try Ownership.check(
            file.status, path,
            or: "read it, and name it with --resume --journal FILE on a terminal, where its command is shown and asked")
    }

    private func index(_ path: String, from start: Int, keepsPlan: Bool) throws(Failure) {
        let decoder = JSONDecoder()
        var offset = start
        var runs = 0
        while let (line, next) = try file.line(at: offset) {
            defer { offset = next }
            guard let head = try? decoder.decode(Head.self, from: line) else { continue }
            if head.ended != nil { isEnded = true }
            if head.planned != nil, let one = try? decoder.decode(PlannedFile.self, from: line) {
                runs += one.ids.count
                if keepsPlan { planned.append(one) }
            }
            if let id = head.id, let outcome = head.outcome {
                lines.append(Line(id: id, offset: offset, outcome: outcome, isFlaky: head.flaky ?? false))
            }
            guard max(lines.count, runs) <= JournalReader.mostLines else {
                throw Failure(
                    "read", Errno(EFBIG), object: path, hint: "it has more than \(JournalReader.mostLines) runs")
            }
        }
        // A batch that was killed while it wrote them has run nothing.
        if runs != header.runs { planned = [] }
        lines.sort { $0.id == $1.id ? $0.offset < $1.offset : NaturalOrder.precedes($0.id, $1.id) }
        var kept = 0
        for index in lines.indices where index + 1 == lines.count || lines[index + 1].id != lines[index].id {
            lines[kept] = lines[index]
            kept += 1
        }
        lines.removeLast(lines.count - kept)
        for line in lines { totals.add(line.outcome, flaky: line.isFlaky) }
    }

    /// How a run ended, and whether it is flaky; nil where nothing is known of it.
    public func outcome(of id: String) -> (outcome: Outcome, isFlaky: Bool)? {
        var (low, high) = (0, lines.count)
        while low < high {
            let middle = (low + high) / 2
            if NaturalOrder.precedes(lines[middle].id, id) { low = middle + 1 } else { high = middle }
        }
        return low < lines.count && lines[low].id == id ? (lines[low].outcome, lines[low].isFlaky) : nil
    }

    /// Whether a run came to an end of its own: it was run, and was not interrupted.
    public func hasFinished(_ id: String) -> Bool {
        outcome(of: id).map { $0.outcome != .interrupted && $0.outcome != .notRun } ?? false
    }

    /// The ids of all runs, sorted.
    public var ids: [String] { lines.map(\.id) }
    /// How many runs there are.
    public var count: Int { lines.count }

    /// The runs, in the order of ``ids``.
    public func each(_ body: (Record) -> Void) {
        let decoder = JSONDecoder()
        for line in lines {
            guard let data = try? file.line(at: line.offset)?.text,
                let record = try? decoder.decode(Record.self, from: data)
            else { continue }
            body(record)
        }
    }
}

extension Record {
    /// One line, keys in the same order each time.
    public static var encoder: JSONText { JSONText() }
}

extension Journal {
    /// Now, as results write it: "2026-01-31T12:00:00Z".
    public static func timestamp() -> String {
        var now = Glibc.time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + String(value) }
        let date = "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}

extension Journal {
    /// Writes several journals' runs into one that is new; it is complete where all of them are, and no part is missing.
    /// EINVAL where a simulated bench's are among those of a real one.
    public static func merge(_ readers: [JournalReader], into journal: Journal) throws(Failure) {
        guard let first = readers.first?.header else { return }
        guard readers.allSatisfy({ $0.header.simulated == first.simulated }) else {
            throw Failure(
                "merge", Errno(EINVAL), object: journal.path,
                hint: "some parts are of a simulated bench and some are not: they are no parts of one batch")
        }
        let header = BatchHeader(
            version: first.version, arguments: first.arguments, directory: first.directory,
            started: readers.map(\.header.started).min() ?? first.started, bench: first.bench,
            simulated: first.simulated)
        try journal.begin(header)
        var failure: Failure?
        for reader in readers {
            reader.each { record in
                guard failure == nil else { return }
                do throws(Failure) { try journal.add(record) } catch { failure = error }
            }
        }
        if let failure { throw failure }
        let isComplete = readers.allSatisfy(\.isEnded) && missingParts(readers).isEmpty
        if isComplete { try journal.end(at: timestamp()) } else { try journal.flush() }
    }

    /// What a batch can have: as many as Slurm's largest array has tasks.
    private static let mostParts = 4_000_000

    /// Parts of the whole that none of the journals is: "3/5".
    public static func missingParts(_ readers: [JournalReader]) -> [String] {
        let shards = Set(readers.compactMap(\.header.shard))
        guard let count = shards.first?.split(separator: "/").last.flatMap({ Int($0) }),
            (1...mostParts).contains(count)
        else { return [] }
        return (1...count).map { "\($0)/\(count)" }.filter { !shards.contains($0) }
    }
}
