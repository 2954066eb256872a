import CKernel
import Glibc
public import Kernel

/// Serves PCI functions to vfio-user clients, such as QEMU: one socket, and one client at a time, a function. Everything
/// happens in the thread that calls ``run(until:whileConnected:)``. What clients send is checked, and what it costs is
/// bounded; a client that breaks the protocol loses its connection, and nobody else anything.
public final class Server {
    /// The longest time that a request to a client waits for its reply, and the allowance for all such waiting
    /// (``WaitAllowance``), in nanoseconds.
    package var completionTimeout: UInt64 = 10_000_000_000

    private(set) var ports: [Port] = []
    var windows: [PeerWindow] = []
    private let note: (String) -> Void
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Command.longest, alignment: 16)
    private var files: [(path: String, file: socket_file)] = []
    private var ending: Int32 = -1
    private(set) var isEnding = false
    private var sockets: [any ServedSocket] = []
    /// Whether a function's `work()` is running.
    private(set) var isWorking = false

    /// `note` gets a line for the log for each client that comes or goes, and each refusal.
    public init(note: @escaping (String) -> Void = { _ in }) { self.note = note }

    deinit {
        for port in ports { port.unplug() }
        for port in ports where port.listener >= 0 { sys_close(port.listener) }
        for (path, file) in files { socket_remove(path, file) }
        buffer.deallocate()
    }

    /// Whether a client is there.
    public var isConnected: Bool { ports.contains { $0.connection != nil } }

    /// Listens at a path, with mode 0600, and removes the file at the end; a socket that a server of this user which is gone
    /// has left there is replaced, any other file is not. For each client `make` makes a function. Functions with the same `upstream`
    /// are below one switch: their requests to each other's BARs, by bus address, go straight there. Others reach what their
    /// client maps, as through a host bridge. Errors: EADDRINUSE, EEXIST, EACCES, ENAMETOOLONG (above 107 bytes), ENOENT.
    public func add(
        _ name: String, at path: String, upstream: Int? = nil,
        _ make: @escaping (any PCIBus) throws(Errno) -> any PCIFunction
    ) throws(Failure) {
        var file = socket_file()
        let result = socket_listen(path, &file)
        if let error = Errno(result: result) {
            throw Failure("listen", error, object: path, hint: Server.hint(error))
        }
        files.append((path, file))
        ports.append(Port(self, name: name, listener: Int32(result), upstream: upstream, make: make))
    }

    /// Serves one client, over a connected socket that is taken over.
    public func add(
        _ name: String, connected socket: Int32, upstream: Int? = nil,
        _ make: @escaping (any PCIBus) throws(Errno) -> any PCIFunction
    ) throws(Errno) {
        let port = Port(self, name: name, listener: -1, upstream: upstream, make: make)
        ports.append(port)
        try port.plug(socket)
    }

    private static func hint(_ error: Errno) -> String? {
        switch error.code {
        case EADDRINUSE: "another program serves there; choose another path"
        case EEXIST: "something that is no socket of yours is there, and is not removed; choose another path"
        case ENAMETOOLONG: "a socket's path has at most 107 bytes"
        case ENOENT, ENOTDIR: "the folder must exist"
        default: nil
        }
    }

    /// Polls another socket as well, until it ends. Only clients keep the server running.
    public func attend(_ socket: any ServedSocket) { sockets.append(socket) }

    /// Serves until a descriptor becomes readable; with `whileConnected`, until no client is there after at least one was.
    public func run(until ending: Int32 = -1, whileConnected: Bool = false) {
        self.ending = ending
        var wasConnected = isConnected
        while !isEnding {
            turn(until: .max)
            wasConnected = wasConnected || isConnected
            if whileConnected, wasConnected, !isConnected { return }
        }
    }

    /// Waits for one thing to happen, or until a time of the monotonic clock, and does what comes of it.
    func turn(until time: UInt64) {
        let wakeUps = ports.compactMap { $0.function?.wakeUp }
        poll(until: ports.contains { $0.hasWork } ? 0 : min(time, wakeUps.min() ?? .max)) { settle() }
        settle()
    }

    /// Answers clients, at least what they have asked already, until a condition holds, or a time. No function works
    /// meanwhile.
    func wait(until time: UInt64, _ condition: () -> Bool) {
        repeat { poll(until: time) {} } while !condition() && !isEnding && sys_monotonic() < time
    }

    // MARK: What happens

    private func poll(until time: UInt64, _ afterEach: () -> Void) {
        var waits = [pollfd(fd: ending, events: Int16(POLLIN), revents: 0)]
        for port in ports {
            // A second client is refused at once. A client that comes while the function of the previous one still
            // works has to wait.
            let isLeft = port.connection == nil && port.function != nil
            waits.append(pollfd(fd: isLeft ? -1 : port.listener, events: Int16(POLLIN), revents: 0))
            waits.append(
                pollfd(fd: port.connection?.descriptor ?? -1, events: port.connection?.events ?? 0, revents: 0))
        }
        waits += sockets.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        let now = sys_monotonic()
        let rest = time == .max ? -1 : Int32(clamping: time <= now ? 0 : (time - now + 999_999) / 1_000_000)
        guard Glibc.poll(&waits, nfds_t(waits.count), rest) > 0 else { return }
        isEnding = isEnding || waits[0].revents != 0
        for (index, port) in ports.enumerated() {
            if waits[2 * index + 2].revents != 0 { serve(port, afterEach) }
            if waits[2 * index + 1].revents != 0 { accept(port) }
        }
        let others = waits.dropFirst(1 + 2 * ports.count).map(\.revents)
        let over = zip(sockets, others).filter { $1 != 0 && !$0.serve() }.map(\.0.descriptor)
        if !over.isEmpty { sockets.removeAll { over.contains($0.descriptor) } }
    }

    /// Messages of one client before the others have their turn.
    private static let mostInARow = 64

    private func serve(_ port: Port, _ afterEach: () -> Void) {
        guard let connection = port.connection else { return }
        connection.flush()
        var count = 0
        while count < Server.mostInARow, port.connection === connection,
            connection.receive({ port.handle($0, over: connection) })
        {
            count += 1
            // The awaited reply has come, or the client is gone.
            if port.awaited != nil, port.answer != nil || port.isFailing { return }
            afterEach()
        }
        guard let end = connection.end, port.connection === connection else { return }
        switch end {
        case .closed: note("\(port.name): the client left")
        case .notAMessage: note("\(port.name): what came is no vfio-user message; the connection is closed")
        case .failed(let error): note("\(port.name): the connection is closed: \(error.name)")
        }
        port.connection = nil
    }

    private func accept(_ port: Port) {
        // The previous client's function is removed first; the new client waits.
        guard port.connection != nil || port.function == nil else { return }
        let result = socket_accept(port.listener)
        guard result >= 0 else { return }
        guard port.connection == nil else {
            sys_close(Int32(result))
            return note("\(port.name): a second client was sent away")
        }
        do throws(Errno) {
            try port.plug(Int32(result))
            note("\(port.name): a client came")
        } catch {
            note("\(port.name): no function could be made: \(error.name) (\(error.message))")
        }
    }

    /// Does what must not happen while a function works: resets, removal of functions whose client has gone, and
    /// `work()`.
    private func settle() {
        for port in ports {
            if port.connection == nil, port.function != nil {
                port.unplug()
                findWindows()
            }
            reset(port)
            guard let function = port.function else { continue }
            guard port.hasWork || function.wakeUp.map({ $0 <= sys_monotonic() }) == true else { continue }
            port.hasWork = false
            port.isWorking = true
            isWorking = true
            port.waitAllowance.begin()
            function.work()
            isWorking = false
            port.isWorking = false
            reset(port)
        }
    }

    /// Does a requested reset, unless the function is at work.
    func reset(_ port: Port) {
        guard !port.isWorking, let function = port.function, port.resetAsked || function.needsReset else { return }
        port.resetAsked = false
        function.reset()
        findWindows()
    }

    // MARK: Messages

    /// Builds a message in the shared buffer and sends it before returning, as the next message reuses the buffer.
    func withMessage(
        _ header: Header, _ fill: (UnsafeMutableRawBufferPointer) -> Void, send: (UnsafeRawBufferPointer) -> Void
    ) {
        header.store(in: buffer)
        fill(UnsafeMutableRawBufferPointer(rebasing: buffer[Header.size..<Int(header.size)]))
        send(UnsafeRawBufferPointer(rebasing: buffer[..<Int(header.size)]))
    }

    func tell(_ port: Port, _ text: String) { note("\(port.name): \(text)") }
}
