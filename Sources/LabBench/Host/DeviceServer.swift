import Glibc
import Kernel

/// The process that is a machine's devices over vfio-user, as it is to be started. It is this program, or another one, and
/// understands what a guest writes to its devices: so it has no file, no socket but its connections, no memory beyond a limit
/// and the guest's, and confines itself further before it reads from them.
public struct DeviceServer: Sendable {
    /// What is executed.
    public let program: String
    /// Its words; `words(firstConnection)` has the number of its first connection, which the others follow.
    public let words: @Sendable (_ firstConnection: Int32) -> [String]
    /// How many functions it is, and so how many connections it is given, in the order of the machine's devices.
    public let functions: Int
    /// Bytes of memory that its functions have of their own, in files that QEMU maps too.
    public let memory: UInt64

    /// Bytes of addresses beyond the guest's memory: what the program and its libraries take.
    private static let addresses: UInt64 = 2 << 30
    /// The descriptor of its program; below are its messages and its connections.
    private var programNumber: Int32 { Emulator.connectionNumber + Int32(functions) }

    /// One of `functions` functions.
    public init(
        program: String, functions: Int, memory: UInt64 = 0,
        words: @escaping @Sendable (_ firstConnection: Int32) -> [String]
    ) {
        self.program = program
        self.functions = functions
        self.memory = memory
        self.words = words
    }

    /// Starts it for a guest of so many bytes.
    func start(
        messages: Int32, _ connections: [Int32], _ open: inout Descriptors, guest: UInt64, time: UInt64
    ) throws(Failure) -> ConfinedProcess {
        // By a descriptor, as the user that it becomes may not pass through the folders above.
        let file = try open.path(program)
        return try ConfinedProcess(
            ConfinedProcess.Launch(
                program: "/proc/self/fd/\(programNumber)", arguments: words(Emulator.connectionNumber),
                descriptors: [messages] + connections + [file], folders: nil,
                addresses: guest + memory + DeviceServer.addresses, longestFile: max(memory, 1 << 30), time: time,
                place: 1))
    }
}
