import Commands
import Glibc
import Kernel
import Runner

/// The directory through which host and guest talk: what guest-init is to do, and what came of it. Its files are named
/// in scripts/lab/guest-init.
struct LabJob: Sendable {
    /// Where the guest sees the directory; see scripts/lab/guest-init.
    static let share = "/run/job"

    /// The directory's path on the host.
    let directory: String

    /// Makes the directory below TMPDIR, or /tmp.
    init() throws(Failure) {
        var parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        if parent.isEmpty { parent = "/tmp" }
        var template = "\(parent)/peerlab-lab.XXXXXX".utf8CString.map { $0 }
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp", Errno(errno), object: parent) }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Removes the directory, or says where it is if PEERLAB_LAB_KEEP is 1.
    func close() {
        if let keep = getenv("PEERLAB_LAB_KEEP"), String(cString: keep) == "1" {
            writeAll(Array("lab: the job's directory is kept: \(directory)\n".utf8), to: STDERR_FILENO)
            return
        }
        remove(directory)
    }

    /// The path of one of its files.
    func path(_ name: String) -> String { "\(directory)/\(name)" }

    /// Whether a file is there.
    func has(_ name: String) -> Bool { access(path(name), F_OK) == 0 }

    /// Writes what guest-init reads: `command`, run in `workingDirectory` with `environment` ("NAME=value" each).
    func write(command: [String], in workingDirectory: String, environment: [String]) throws(Failure) {
        let words = (["env", "-i"] + environment + command).map(quoted).joined(separator: " ")
        try write("command", "cd \(quoted(workingDirectory)) || exit 70\nexec \(words)\n")
    }

    /// Writes what guest-init reads: the modules to load and the devices to bind.
    func write(modules: [LabModule], devices: [LabMachine.Device]) throws(Failure) {
        try write("modules", modules.map { "\($0.path)\t\($0.parameters.joined(separator: " "))\n" }.joined())
        try write(
            "devices", devices.compactMap { device in device.driver.map { "\(device.identity) \($0)\n" } }.joined())
    }

    /// The command's exit code, once guest-init has written it.
    var exitCode: Int32? {
        read("exit").flatMap { Int32($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    /// The last lines of the guest's console; of a kernel that died, what it said about it.
    func consoleTail() -> String {
        // The serial line ends lines with "\r\n", which is one Character.
        let lines = (read("console") ?? "").split(whereSeparator: \.isNewline)
        let death = lines.firstIndex { line in Self.deaths.contains { line.contains($0) } }
        let tail = death.map { lines[max(0, $0 - 5)...].prefix(100) } ?? lines.suffix(40)
        return tail.joined(separator: "\n")
    }

    /// Copies one of its files out, whole or not at all.
    func copy(_ name: String, to destination: String) throws(Failure) {
        guard var file = Follower(path(name)) else { return }
        try ResultFile(destination).write(file.next())
    }

    /// Whether the guest's kernel said that it gave up.
    var panicked: Bool { read("console")?.contains("Kernel panic - not syncing") ?? false }

    private static let deaths = ["Kernel panic - not syncing", "] Oops: ", "] BUG: "]

    /// The command may have made directories in its share. A link is unlinked before it could be followed.
    private func remove(_ path: String) {
        guard unlink(path) != 0, let directory = opendir(path) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { remove("\(path)/\(name)") }
        }
        closedir(directory)
        rmdir(path)
    }

    private func write(_ name: String, _ text: String) throws(Failure) {
        let descriptor = Glibc.open(path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure("open", Errno(errno), object: path(name)) }
        defer { _ = Glibc.close(descriptor) }
        guard writeAll(Array(text.utf8), to: descriptor) else {
            throw Failure("write", Errno(errno), object: path(name))
        }
    }

    private func read(_ name: String) -> String? {
        guard var file = Follower(path(name)) else { return nil }
        return String(decoding: file.next(), as: UTF8.self)
    }

    /// In single quotes a shell takes everything as it is, but for a single quote.
    private func quoted(_ word: String) -> String {
        "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}

/// Reads what is appended to a file, each time it is asked.
struct Follower: ~Copyable {
    private let descriptor: Int32

    /// Opens the file; nil where it is not there yet.
    init?(_ path: String) {
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
    }

    /// What was appended since the last time.
    mutating func next() -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// All of a file; nothing where it is not there.
    static func contents(of path: String) -> [UInt8] {
        guard var file = Follower(path) else { return [] }
        return file.next()
    }

    deinit { _ = Glibc.close(descriptor) }
}
