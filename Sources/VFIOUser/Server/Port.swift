import CKernel
import Glibc
import Kernel

/// A slot for a function: its socket, the connected client, the function made for that client, and the client's
/// memory.
final class Port {
    let name: String
    /// The switch that the port is below, by number: ports of one switch reach each other's BARs by bus address. nil
    /// for a port without a switch.
    let upstream: Int?
    unowned let server: Server
    let make: (any PCIBus) throws(Errno) -> any PCIFunction
    /// -1 for none.
    let listener: Int32

    var connection: Connection?
    var function: (any PCIFunction)?
    var memory = GuestMemory()
    /// An eventfd each; -1 where nobody listens.
    var vectors: [Int32] = []
    /// The version was agreed on.
    var isOpen = false
    /// Bytes that the client takes in one message.
    var mostData = Command.mostData
    /// Files of its BARs that peers use, once they were asked for.
    var files: [Int: MappedFile] = [:]

    var isWorking = false
    var hasWork = false
    var resetAsked = false
    /// The request whose reply is awaited, and the memory that its data is for.
    var awaited: (id: UInt16, command: Command, address: UInt64, data: UnsafeMutableRawBufferPointer)?
    var answer: Answer?
    private var lastID: UInt16 = 0
    /// The id of a request that timed out. Until its reply comes, further requests fail at once.
    var unanswered: UInt16?
    /// How long its client may keep everybody waiting.
    var waitAllowance = WaitAllowance()

    enum Answer { case done, refused }

    init(
        _ server: Server, name: String, listener: Int32, upstream: Int?,
        make: @escaping (any PCIBus) throws(Errno) -> any PCIFunction
    ) {
        self.server = server
        self.name = name
        self.listener = listener
        self.upstream = upstream
        self.make = make
    }

    /// A client came: the function is as after power-on, as it is a new one.
    func plug(_ descriptor: Int32) throws(Errno) {
        let connection = Connection(descriptor)
        let function = try make(self)
        self.connection = connection
        self.function = function
        vectors = [Int32](repeating: -1, count: min(max(function.vectorCount, 0), 2048))
    }

    /// The client is gone: drops its memory, interrupts and function.
    func unplug() {
        connection = nil
        for vector in vectors where vector >= 0 { sys_close(vector) }
        vectors = []
        memory.clear()
        files = [:]
        function = nil
        isOpen = false
        mostData = Command.mostData
        hasWork = false
        resetAsked = false
        awaited = nil
        unanswered = nil
        waitAllowance = WaitAllowance()
    }

    /// Whether its bus must fail, so that its work ends: its client went, or it is to be reset.
    var isFailing: Bool { connection == nil || resetAsked || function?.needsReset ?? true }

    /// The id for a request to the client. Ids of the two directions are independent; these begin high, so that a log
    /// shows whose they are.
    func nextID() -> UInt16 {
        lastID = lastID &+ 1
        return lastID | 0x8000
    }
}
