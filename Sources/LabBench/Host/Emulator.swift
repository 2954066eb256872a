import CKernel
import Glibc
import Kernel

/// QEMU as a process of its own: unprivileged, confined to its own files, limited, and gone when this program is.
struct Emulator: ~Copyable {
    /// A connection's end here, closed with the emulator.
    let frames: Int32
    let console: Int32
    let messages: Int32
    /// Readable once it has ended.
    let ended: Int32
    let pid: pid_t

    /// Descriptors in the emulator: its messages are 2.
    static let consoleNumber: Int32 = 3, framesNumber: Int32 = 4
    static let kernel = "/proc/self/fd/5", image = "/proc/self/fd/6"

    /// The first program of that name in PATH.
    static func program(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Starts `program` with a kernel and a file system, which it reads from memory files of this process.
    ///
    /// - Parameters:
    ///   - memory: bytes of the guest; the emulator has more for itself.
    ///   - time: seconds of processor time that it may use.
    init(
        _ program: String, _ arguments: [String], kernel: [UInt8], image: [[UInt8]], memory: UInt64, time: UInt64
    ) throws(Failure) {
        var open: [Int32] = []
        var isStarted = false
        defer { if !isStarted { for descriptor in open { close(descriptor) } } }
        func keep(_ descriptors: [Int32]) -> [Int32] {
            open += descriptors
            return descriptors
        }
        let console = keep(try Emulator.connection()), frames = keep(try Emulator.connection())
        let messages = keep(try Emulator.connection())
        let files = keep([try Emulator.file("kernel", [kernel])]) + keep([try Emulator.file("image", image)])
        let rules = Emulator.rules(for: program)
        defer { if rules >= 0 { close(rules) } }
        let result = Emulator.start(
            program, arguments, [messages[1], console[1], frames[1]] + files, rules, memory: memory, time: time)
        guard result > 0 else { throw Failure("execve", Errno(Int32(-result)), object: program) }
        isStarted = true
        for descriptor in [messages[1], console[1], frames[1]] + files { close(descriptor) }
        pid = pid_t(result)
        self.frames = frames[0]
        self.console = console[0]
        self.messages = messages[0]
        ended = Int32(truncatingIfNeeded: process_open(pid))
        for descriptor in [frames[0], console[0], messages[0]] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    /// Ends it, and waits for that. The result is its status as wait(2) gives it.
    consuming func end() -> Int32 {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        for descriptor in [frames, console, messages, ended] where descriptor >= 0 { close(descriptor) }
        return status
    }

    private static func connection() throws(Failure) -> [Int32] {
        var ends: [Int32] = [0, 0]
        let result = emulator_connection(&ends)
        guard result == 0 else { throw Failure("socketpair", Errno(Int32(-result)), object: "the emulator") }
        return ends
    }

    /// A file in memory, which has no path and goes with its last descriptor.
    private static func file(_ name: String, _ parts: [[UInt8]]) throws(Failure) -> Int32 {
        let result = sys_memfd_create(name)
        guard result >= 0 else { throw Failure("memfd_create", Errno(Int32(-result)), object: name) }
        let descriptor = Int32(result)
        for part in parts {
            guard LabFile.write(part, to: descriptor) else {
                let error = Errno(errno)
                close(descriptor)
                throw Failure("write", error, object: "the \(name) in memory")
            }
        }
        lseek(descriptor, 0, SEEK_SET)
        return descriptor
    }

    /// What it may open: programs and libraries, to be read; and devices that give nothing away. -1 where the kernel has no
    /// landlock.
    private static func rules(for program: String) -> Int32 {
        let rules = Int32(truncatingIfNeeded: sandbox_rules())
        guard rules >= 0 else { return -1 }
        for path in [program, "/usr", "/lib", "/lib64"] + ownFolders(program) {
            _ = sandbox_allow(rules, path, SANDBOX_READ.rawValue | SANDBOX_EXECUTE.rawValue)
        }
        for path in ["/etc/ld.so.cache", "/dev/urandom", "/dev/zero"] {
            _ = sandbox_allow(rules, path, SANDBOX_READ.rawValue)
        }
        _ = sandbox_allow(rules, "/dev/null", SANDBOX_READ.rawValue | SANDBOX_WRITE.rawValue)
        return rules
    }

    /// Where QEMU's firmware and modules are, wherever it was installed or built; not what else is beside it, which may be
    /// somebody's home.
    private static func ownFolders(_ program: String) -> [String] {
        guard let resolved = realpath(program, nil) else { return [] }
        defer { free(resolved) }
        let path = String(cString: resolved)
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        let installed = ["share/qemu", "share/seabios", "lib/qemu", "lib64/qemu", "libexec/qemu"].map {
            "\(folder)/../\($0)"
        }
        return [path] + installed + ["pc-bios", "qemu-bundle"].map { "\(folder)/\($0)" }
    }

    /// A user that nobody else is, so that no other process is in its reach; where this process cannot become any (in a
    /// container), nobody's.
    private static var users: [uid_t] { geteuid() == 0 ? [1_879_048_192 + uid_t(getpid()), 65534] : [0] }

    private static func start(
        _ program: String, _ arguments: [String], _ descriptors: [Int32], _ rules: Int32, memory: UInt64, time: UInt64
    ) -> Int {
        let words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        // It needs none of ours.
        let variables: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/bin:/bin"), nil]
        defer { free(variables[0]) }
        return program.withCString { program in
            words.withUnsafeBufferPointer { words in
                variables.withUnsafeBufferPointer { variables in
                    descriptors.withUnsafeBufferPointer { descriptors in
                        var result = -Int(EPERM)
                        for user in users where result == -Int(EPERM) || result == -Int(EINVAL) {
                            var emulator = emulator(
                                program: program, arguments: words.baseAddress, environment: variables.baseAddress,
                                descriptors: descriptors.baseAddress, count: descriptors.count, rules: rules,
                                user: user, address_space: memory + (3 << 30), cpu_time: time,
                                file_size: max(memory, 1 << 30))
                            result = emulator_start(&emulator)
                        }
                        return result
                    }
                }
            }
        }
    }
}
