import Batch
import CKernel
import Glibc
import Testing

/// What a confined process can no longer do, asked of the kernel by processes that are: as if a script had broken out of
/// Lua. Forked from a program of many threads, they call C alone.
@Suite(.serialized) struct SandboxTests {
    /// Lets a process read these paths, once it is confined by `rules`.
    private static func allow(_ rules: Int32, _ readable: [StaticString]) {
        for path in readable {
            // A literal's bytes end with a zero.
            path.utf8Start.withMemoryRebound(to: CChar.self, capacity: path.utf8CodeUnitCount + 1) {
                _ = sandbox_allow(rules, $0, UInt32(SANDBOX_READ.rawValue))
            }
        }
    }

    /// What a child did with a call: its result, or the negated errno.
    private func child(
        _ calls: UInt32, readable: [StaticString] = [], before: @escaping () -> Void = {}, _ body: @escaping () -> Int
    ) throws -> Int {
        // Types of the standard library are made when they are first used, below a lock of Swift's runtime. A child in which
        // that is first would wait for ever where another thread had the lock when it was forked.
        Self.allow(-1, ["/"])
        let endings = try WorkersTests.run([BatchTask(id: "confined", index: 0)], jobs: 1) { _ in
            let rules = Int32(truncatingIfNeeded: sandbox_rules())
            Self.allow(rules, readable)
            if rules >= 0, sandbox_restrict(rules) < 0 { return 99 }
            before()
            if sandbox_filter(calls) < 0 { return 98 }
            return Int32(truncatingIfNeeded: -body())
        }
        let ending = try #require(endings["confined"])
        let exit = try #require(ending.exit, "a refusal is an error, no signal: \(String(describing: ending.signal))")
        #expect(exit < 98, "the sandbox could not be made")
        return Int(exit)
    }

    private static func result(_ value: Int) -> Int { value < 0 ? -Int(errno) : 0 }

    @Test func nothingIsStarted() throws {
        #expect(try child(0) { Self.result(Int(truncatingIfNeeded: process_fork())) } == EPERM)
        #expect(
            try child(0) {
                var words: [UnsafeMutablePointer<CChar>?] = [nil]
                return Self.result(Int(execve("/bin/true", &words, &words)))
            } == EPERM)
        #expect(try child(SANDBOX_DEVICES.rawValue) { Self.result(Int(truncatingIfNeeded: process_fork())) } == EPERM)
    }

    @Test func noSocketIsMade() throws {
        for family in [AF_INET, AF_UNIX, AF_NETLINK, AF_VSOCK] {
            #expect(try child(0) { Self.result(Int(socket(family, Int32(SOCK_STREAM.rawValue), 0))) } == EPERM)
        }
        #expect(
            try child(SANDBOX_DEVICES.rawValue) { Self.result(Int(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))) }
                == EPERM)
        #expect(
            try child(SANDBOX_SOCKETS.rawValue) { Self.result(Int(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))) }
                == 0)
    }

    @Test func nothingIsOpenedForWriting() throws {
        for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT] {
            #expect(try child(0, readable: ["/dev"]) { Self.result(sys_open("/dev/null", flags)) } == EACCES)
        }
        #expect(try child(0, readable: ["/dev"]) { Self.result(sys_open("/dev/null", O_RDONLY)) } == 0)
    }

    @Test(.enabled(if: sandbox_landlock() > 0, "this kernel has landlock"))
    func onlyNamedFoldersAreRead() throws {
        #expect(try child(0, readable: ["/usr"]) { Self.result(sys_open("/etc/passwd", O_RDONLY)) } == EACCES)
        #expect(try child(0, readable: ["/etc"]) { Self.result(sys_open("/etc/passwd", O_RDONLY)) } == 0)
        #expect(
            try child(SANDBOX_DEVICES.rawValue, readable: ["/dev"]) { Self.result(sys_open("/dev/null", O_RDWR)) }
                == EACCES)
    }

    @Test func nobodyElseIsTouched() throws {
        #expect(try child(0) { Self.result(Int(Glibc.kill(getppid(), 0))) } == EPERM)
        #expect(try child(0) { Self.result(Int(Glibc.kill(getpid(), 0))) } == 0)
        #expect(try child(0) { sandbox_limit(SANDBOX_MEMORY, 1 << 40) } == EPERM)
    }

    @Test func noFileBecomesLongerThanItMay() throws {
        #expect(
            try child(0, before: { _ = sandbox_limit(SANDBOX_FILE_SIZE, 8192) }) {
                let file = Int32(truncatingIfNeeded: sys_memfd(0))
                guard Glibc.pwrite(file, "x", 1, 8191) == 1 else { return -1 }
                return Self.result(Glibc.pwrite(file, "x", 1, 8192))
            } == EFBIG)
    }

    @Test func noCodeIsMade() throws {
        #expect(
            try child(0) {
                let page = mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                return Self.result(page == MAP_FAILED ? -1 : 0)
            } == EACCES)
    }

    @Test func theTerminalIsNotTypedInto() throws {
        #expect(try child(0) { Int(sys_ioctl_value(0, 0x5412, 0)) } == EPERM)
        #expect(try child(SANDBOX_DEVICES.rawValue) { Int(sys_ioctl_value(0, 0x5412, 0)) } == EPERM)
    }
}
