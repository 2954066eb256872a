import Glibc
import Kernel

/// How to start the process that serves a machine's devices over vfio-user: this program, or another. It interprets
/// what a guest writes to its devices. So it has no file, no socket but its connections, a limit of memory, and
/// confines itself further before it reads from them.
public struct DeviceServer: Sendable {
    /// What is executed.
    public let program: String
    /// Values that the arguments contain.
    public struct Resources: Sendable {
        /// The descriptor of its first connection, which the others follow.
        public var firstConnection: Int32
        /// The descriptor of the connection to the guest's port on which it tells what its functions send (``CaptureSocket``);
        /// nil where it tells nobody.
        public var capture: Int32?
        /// The memory of another one of the machine's devices, which is its BAR 2, where one has any: the device's identity, as
        /// ``LabMachine/Device`` has it, and st_dev and st_ino of the file.
        public var memory: (identity: String, device: UInt64, inode: UInt64)?
    }

    /// The arguments, without the program's own name.
    public let words: @Sendable (Resources) -> [String]
    /// How many functions it is, and so how many connections it is given, in the order of the machine's devices.
    public let functions: Int
    /// Bytes of memory that its functions have of their own, in files that QEMU maps too.
    public let memory: UInt64

    /// Whether it tells the guest what its functions send.
    public let isCapturing: Bool

    /// Bytes of addresses beyond the guest's memory: what the program and its libraries take.
    private static let addresses: UInt64 = 2 << 30
    /// The descriptor of its first connection; its messages are 2.
    private static let connectionNumber: Int32 = 3

    /// One of `functions` functions.
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

    /// What it is started with: descriptors of this process.
    struct Ends {
        var messages: Int32
        var connections: [Int32]
        var capture: Int32?
        /// The memory of another device, and that device's identity.
        var memory: (identity: String, file: Int32)?
    }

    /// Starts it for a guest of so many bytes.
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
        // By a descriptor, as the user that it becomes may not pass through the folders above.
        let file = try open.path(program)
        return try ConfinedProcess(
            ConfinedProcess.Launch(
                program: "/proc/self/fd/\(last + 1)", arguments: words(resources),
                descriptors: [ends.messages] + connections + [file], folders: nil,
                addresses: guest + memory + DeviceServer.addresses, longestFile: max(memory, 1 << 30), time: time,
                place: 1))
    }
}
