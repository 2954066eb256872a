import CKernel
import Glibc
import Kernel

/// A program that a guest may compromise. It is started without privileges, with given files only and with limits, and
/// is killed when this program ends.
struct ConfinedProcess: ~Copyable {
    /// How to start one.
    struct Launch {
        /// A path of this machine, or relative to a descriptor in the new process.
        var program: String
        /// Its arguments, without the program's own name.
        var arguments: [String]
        /// Descriptors of this process that become 2, 3 and so on in the new one. 0 and 1 are /dev/null, and nothing
        /// else is open.
        var descriptors: [Int32]
        /// The only files and folders that it may read and execute; nil where it confines itself.
        var folders: [String]?
        /// Limit of its address space, bytes.
        var addresses: UInt64
        /// Limit of a file that it writes, memory files included, in bytes.
        var longestFile: UInt64
        /// Limit of its processor time, seconds.
        var time: UInt64
        /// Whether it asks for connections with socket(2), which ``DeviceConnections`` answers.
        var asksForConnections = false
        /// The number of the process within its machine: each gets a user id of its own.
        var place: UInt32 = 0
    }

    let pid: pid_t
    /// Readable once it has ended.
    let ended: Int32
    /// Readable while it asks for a connection; -1 where it may not.
    let requests: Int32

    /// Starts it, and returns once it was executed.
    init(_ launch: Launch) throws(Failure) {
        let rules = launch.folders.map(ConfinedProcess.rules) ?? -1
        defer { if rules >= 0 { close(rules) } }
        let (result, requests) = ConfinedProcess.start(launch, rules)
        guard result > 0 else { throw Failure("execve", Errno(Int32(-result)), object: launch.program) }
        pid = pid_t(result)
        self.requests = requests
        ended = Int32(truncatingIfNeeded: process_open(pid))
    }

    deinit { _ = stop() }

    /// Ends it and waits for that. Returns its status, as wait(2) gives it.
    consuming func end() -> Int32 {
        let status = stop()
        discard self
        return status
    }

    private borrowing func stop() -> Int32 {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        for descriptor in [ended, requests] where descriptor >= 0 { close(descriptor) }
        return status
    }

    /// Landlock rules: `folders`, and harmless devices. -1 where the kernel has no landlock.
    private static func rules(_ folders: [String]) -> Int32 {
        let rules = Int32(truncatingIfNeeded: sandbox_rules())
        guard rules >= 0 else { return -1 }
        for path in folders { _ = sandbox_allow(rules, path, SANDBOX_READ.rawValue | SANDBOX_EXECUTE.rawValue) }
        for path in ["/dev/urandom", "/dev/zero"] { _ = sandbox_allow(rules, path, SANDBOX_READ.rawValue) }
        _ = sandbox_allow(rules, "/dev/null", SANDBOX_READ.rawValue | SANDBOX_WRITE.rawValue)
        return rules
    }

    /// User ids that no other process has, so that it can send signals to none and ptrace none. In a container without
    /// such ids it runs as nobody.
    private static func users(_ place: UInt32) -> [uid_t] {
        // A process id has at most 22 bits.
        geteuid() == 0 ? [1_879_048_192 + place << 22 + uid_t(getpid()), 65534] : [0]
    }

    private static func start(_ launch: Launch, _ rules: Int32) -> (result: Int, requests: Int32) {
        let words = ([launch.program] + launch.arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        // It needs none of our environment variables.
        let variables: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/bin:/bin"), nil]
        defer { free(variables[0]) }
        return launch.program.withCString { program in
            words.withUnsafeBufferPointer { words in
                variables.withUnsafeBufferPointer { variables in
                    launch.descriptors.withUnsafeBufferPointer { descriptors in
                        var result = -Int(EPERM), requests: Int32 = -1
                        for user in users(launch.place) where result == -Int(EPERM) || result == -Int(EINVAL) {
                            var emulator = emulator(
                                program: program, arguments: words.baseAddress, environment: variables.baseAddress,
                                descriptors: descriptors.baseAddress, count: descriptors.count, rules: rules,
                                user: user, address_space: launch.addresses, cpu_time: launch.time,
                                file_size: launch.longestFile, asks_for_sockets: launch.asksForConnections ? 1 : 0,
                                requests: -1)
                            result = emulator_start(&emulator)
                            requests = emulator.requests
                        }
                        return (result, requests)
                    }
                }
            }
        }
    }
}
