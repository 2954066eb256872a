import ArgumentParser
import CKernel
import Commands
import Glibc
import Kernel
import VFIOUser

/// `peerlab device`
struct DeviceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device", _superCommandName: "peerlab",
        abstract: "Serve emulated PCI functions to a virtual machine, over vfio-user.",
        discussion: """
            QEMU from 10.1 on has the client: -device '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"PATH"}}'. Give \
            it memory that can be shared (-object memory-backend-memfd,id=ram0,size=1G,share=on -machine \
            memory-backend=ram0): without, each access to memory is a message.
            """,
        subcommands: [ConnectXCommand.self, ExporterCommand.self, SeveralCommand.self])
}

/// Options for serving functions of any kind.
struct ServingOptions: ParsableArguments {
    @Option(
        name: .customLong("socket"),
        help: ArgumentHelp(
            "Path of the UNIX socket to listen at; for each one a function is served. This user alone can connect.",
            valueName: "PATH"))
    var sockets: [String] = []

    /// Set by the lab: connected sockets; a function is served on each.
    @Option(name: .customLong("connection"), help: .hidden)
    var connections: [Int32] = []

    @Flag(
        help: """
            The functions are below one switch, which passes their requests to each other on by bus address, as one without \
            redirection does. Else only what the guest maps for them reaches memory, as through a host bridge.
            """)
    var `switch` = false

    @Flag(help: "End when the last client has gone.")
    var once = false

    @Flag(help: "Say what is refused, and why a connection ends.")
    var verbose = false

    /// Number of functions.
    var count: Int { sockets.count + connections.count }

    func validate() throws {
        guard sockets.isEmpty != connections.isEmpty else {
            throw ValidationError("--socket is missing: a path to listen at")
        }
        guard Set(sockets).count == sockets.count else { throw ValidationError("a --socket is there twice") }
    }

    /// Calls `make` with the index of each socket and serves the function that it returns, until SIGINT, SIGTERM or
    /// SIGHUP, or, for connected sockets, until the last client has closed.
    func serve(
        beside socket: (any ServedSocket)? = nil, _ make: @escaping (Int, any PCIBus) throws(Errno) -> any PCIFunction
    ) throws {
        let signals = socket_ending_signals()
        if let error = Errno(result: signals) { throw Failure("signalfd", error, object: "SIGINT") }
        let isVerbose = verbose
        let server = Server { if isVerbose { print("peerlab: \($0)", to: STDERR_FILENO) } }
        for (index, path) in sockets.enumerated() {
            try server.add(path, at: path, upstream: `switch` ? 0 : nil) { bus throws(Errno) in try make(index, bus) }
        }
        try confine()
        for (index, socket) in connections.enumerated() {
            try server.add("function \(index)", connected: socket, upstream: `switch` ? 0 : nil) { bus throws(Errno) in
                try make(index, bus)
            }
        }
        if let socket { server.attend(socket) }
        for path in sockets { print("serving at \(path)", to: STDOUT_FILENO) }
        server.run(until: Int32(signals), whileConnected: once || !connections.isEmpty)
    }

    /// Drops the rights that are not needed from here on, as the client is a guest and untrusted. The process opens no
    /// file any more; it can still remove its sockets at the end.
    private func confine() throws {
        if let error = confineFiles() {
            print("peerlab: files are not confined, for landlock: \(error.message)", to: STDERR_FILENO)
        }
        let removal = sockets.isEmpty ? 0 : SANDBOX_RESULTS.rawValue
        let results = [
            ("setrlimit", sandbox_limit(SANDBOX_MEMORY, Confinement.modelMemory)),
            ("seccomp", sandbox_filter(SANDBOX_MESSAGES.rawValue | removal)),
        ]
        for (call, result) in results {
            if let error = Errno(result: result) { throw ValidationError("\(call): \(error.name) (\(error.message))") }
        }
    }

    /// Why landlock does not restrict files; nil where it does.
    private func confineFiles() -> Errno? {
        let rules = sandbox_rules()
        if let error = Errno(result: rules) { return error }
        defer { close(Int32(rules)) }
        for path in sockets {
            let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
            let result = sandbox_allow(Int32(rules), folder, UInt32(SANDBOX_REPLACE.rawValue))
            if let error = Errno(result: result) { return error }
        }
        return Errno(result: sandbox_restrict(Int32(rules)))
    }
}
