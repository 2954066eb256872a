import ArgumentParser
import Commands
import Glibc
import Kernel
import Results
import Runner

/// `--record-failures`: a record of each run of a batch that does not end as it should. Each run writes one; those that
/// are not needed are removed.
struct FailureRecords {
    private let folder: String
    /// Tells this batch's files from those of other batches, which may lie in the same folder and stay.
    private let batch: String

    /// Makes the folder where it is not there. When the batch was begun, and its journal, are the same when it is
    /// resumed.
    init(_ folder: String, begun: String, journal: String) throws {
        self.folder = folder
        let digits = String(FNV1a(FailureRecords.resolved(journal).utf8).value >> 32, radix: 16)
        // A journal may say anything of its time.
        let time = begun.utf8.prefix(32).filter { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) }
        batch = "\(String(decoding: time, as: UTF8.self))-\(digits)"
        var status = stat()
        let isThere = mkdir(folder, 0o755) == 0 || errno == EEXIST
        guard isThere, stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, access(folder, W_OK | X_OK) == 0
        else {
            let reason = isThere ? "it is no folder that can be written" : String(cString: strerror(errno))
            throw ValidationError("--record-failures '\(folder)': \(reason)")
        }
    }

    /// A path that is the same however it is spelled, whether or not its file is there.
    private static func resolved(_ path: String) -> String {
        let path = FormOptions.absolute(path)
        guard let end = path.lastIndex(of: "/"), let folder = realpath(String(path[...end]), nil) else { return path }
        defer { free(folder) }
        return String(cString: folder) + path[end...]
    }

    /// The file of a run's attempt, from 1: the run's name without what a file's name may not have, a number made
    /// from the whole name, and when the batch began.
    func path(_ id: String, attempt: Int) -> String {
        let place = id.prefix { $0 != "[" }.lastIndex(of: "/").map { id.index(after: $0) } ?? id.startIndex
        let plain = id[place...].unicodeScalars.map { scalar in
            ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
                || ".-=,_".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
        }
        let digits = String(FNV1a(id.utf8).value >> 16, radix: 16)
        let again = attempt > 1 ? ".attempt-\(attempt)" : ""
        return "\(folder)/\(String(plain.prefix(100)))-\(digits).\(batch)\(again).record"
    }

    /// The record of an attempt that has ended: kept where it did not end as it should, else removed. nil where there
    /// is none.
    func settle(_ id: String, attempt: Int, isGood: Bool) -> String? {
        let path = path(id, attempt: attempt)
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        guard !isGood, status.st_size > 0 else {
            unlink(path)
            return nil
        }
        return path
    }

    /// Removes what a run that was killed has left.
    func remove(_ id: String, attempts: Int) {
        for attempt in 1...attempts { _ = settle(id, attempt: attempt, isGood: true) }
    }

    /// Opens the file anew, for a process that may open nothing later. Each line is then written to it at once.
    static func open(_ path: String) throws(Failure) -> ResultFile {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path) }
        defer { close(descriptor) }
        return try ResultFile("/dev/fd/\(descriptor)")
    }
}
