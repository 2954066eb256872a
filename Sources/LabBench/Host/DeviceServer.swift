import Glibc
import Kernel

/// How to start the process that serves a machine's devices over vfio-user: this program, or another. It interprets a
/// guest's writes to its devices, so it may be compromised: it has no file and no socket but its connections, has a
/// memory limit, and confines itself further before it reads from them.
public struct DeviceServer: Sendable {
    /// The program to execute.
    public let program: String
    /// Values that the arguments contain.
    public struct Resources: Sendable {
        /// The descriptor of its first connection; the others have the following numbers.
        public var firstConnection: Int32
        /// The descriptor of the connection to the guest's port for captured requests (``CaptureSocket``); nil where
        /// they are not captured.
        public var capture: Int32?
        /// The memory of another device of the machine, its BAR 2, where one has any: the device's identity, as in
        /// ``LabMachine/Device``, and st_dev and st_ino of the file.
        public var memory: (identity: String, device: UInt64, inode: UInt64)?
    }

    /// The arguments, without the program's own name.
    public let words: @Sendable (Resources) -> [String]
    /// Number of its functions, and so of its connections, in the order of the machine's devices.
    public let functions: Int
    /// Bytes of its functions' own memory, in files that QEMU maps too.
    public let memory: UInt64

    /// Whether it captures its functions' requests for the guest.
    public let isCapturing: Bool

    /// Bytes of address space in addition to the guest's memory: for the program and its libraries.
    private static let addresses: UInt64 = 2 << 30
    /// The descriptor of its first connection; 2 is for its messages.
    private static let connectionNumber: Int32 = 3

    /// A server of `functions` functions.
    public init(
        program: String, functions: Int, memory: UInt64 = 0, isCapturing: Bool = true,
        words: @escaping @Sendable (Resources) -> [String]
    ) {
        self.program = program
        self.functions = functions
        self.memory = memory
        self.isCapturing = isCapturing
        self.words = words
    }

    /// Descriptors of this process that the server gets.
    struct Ends {
        var messages: Int32
        var connections: [Int32]
        var capture: Int32?
        /// The memory of another device, and that device's identity.
        var memory: (identity: String, file: Int32)?
    }

    /// Starts it for a guest with `guest` bytes of memory.
    func start(_ ends: Ends, _ open: inout Descriptors, guest: UInt64, time: UInt64) throws(Failure) -> ConfinedProcess
    {
        let connections = ends.connections + [ends.capture].compactMap { $0 }
        let last = DeviceServer.connectionNumber + Int32(connections.count) - 1
        var resources = Resources(
            firstConnection: DeviceServer.connectionNumber, capture: ends.capture.map { _ in last })
        if let (identity, file) = ends.memory {
            var status = stat()
            guard fstat(file, &status) == 0 else { throw Failure("fstat", Errno(errno), object: "a device's memory") }
            resources.memory = (identity, UInt64(status.st_dev), UInt64(status.st_ino))
        }
        // By a descriptor, as its user may not pass through the parent folders.
        let file = try open.path(program)
        return try ConfinedProcess(
            ConfinedProcess.Launch(
                program: "/proc/self/fd/\(last + 1)", arguments: words(resources),
                descriptors: [ends.messages] + connections + [file], folders: nil,
                addresses: guest + memory + DeviceServer.addresses, longestFile: max(memory, 1 << 30), time: time,
                place: 1))
    }
}
