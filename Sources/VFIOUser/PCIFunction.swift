/// A PCI function that a client, such as QEMU, reaches through a vfio-user socket. Its client is a guest's machine: every
/// number that arrives here was chosen by it. All calls come from one thread.
public protocol PCIFunction: AnyObject {
    /// A region by its VFIO index: BARs 0 to 5, 6 the expansion ROM, 7 the configuration space, 8 VGA.
    func region(_ index: Int) -> RegionDescription

    /// MSI-X vectors that it has.
    var vectorCount: Int { get }

    /// Fills the bytes with what a region has there; they lie within its size.
    func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)

    /// Takes bytes written to a region; they lie within its size.
    func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer)

    /// Does what writes have asked for. Called after the reply has gone out, as a client that waits for a reply serves no
    /// DMA; here alone may a function use its bus. While it waits there, ``read(_:at:into:)`` and ``write(_:at:_:)`` are
    /// called, as the client may wait for those: nothing that they touch may be held exclusively across a bus call.
    func work()

    /// Takes the state of after power-on, whatever it did. Never called within ``work()``.
    func reset()

    /// Whether a write asked for a reset of this function, as bit 15 of Device Control does. From then on all requests of
    /// its bus fail, so that ``work()`` ends soon; then ``reset()`` is called, which makes it false.
    var needsReset: Bool { get }

    /// When ``work()`` is to be called though nobody wrote anything, in nanoseconds of the monotonic clock; nil for never.
    var wakeUp: UInt64? { get }

    /// Whether its BARs answer: memory decoding is on, and so is the power. Where not, reads of the client give ones and
    /// writes are lost.
    var isDecoding: Bool { get }

    /// Whether it may send requests and interrupts; where not, its bus fails them.
    var isBusMaster: Bool { get }

    /// The bus address of a memory BAR by its index; nil where it has none, or none was given to it.
    func address(ofBAR index: Int) -> UInt64?
}

/// For a function that knows nothing of these.
extension PCIFunction {
    /// Never.
    public var needsReset: Bool { false }
    /// Never.
    public var wakeUp: UInt64? { nil }
    /// Always.
    public var isDecoding: Bool { true }
    /// Always.
    public var isBusMaster: Bool { true }
    /// Unknown.
    public func address(ofBAR index: Int) -> UInt64? { nil }
}

/// A function whose configuration space is a ``ConfigSpace``, which answers for it.
public protocol ConfiguredFunction: PCIFunction {
    /// What region 7 shows.
    var configuration: ConfigSpace { get }
}

extension ConfiguredFunction {
    /// Bit 15 of Device Control was written, or it came back from D3hot without No_Soft_Reset.
    public var needsReset: Bool { configuration.needsReset }
    /// By the command register and the power state.
    public var isDecoding: Bool { configuration.isDecoding }
    /// By the command register and the power state.
    public var isBusMaster: Bool { configuration.isBusMaster }
    /// By the base address register.
    public func address(ofBAR index: Int) -> UInt64? { configuration.address(ofBAR: index) }
}

/// What a client is told of a region.
public struct RegionDescription: Sendable, Equatable {
    /// Bytes; 0 where there is none.
    public var size: Int
    /// A file that a client may map instead of asking for each access, from its offset 0; -1 for none.
    public var file: Int32

    /// A region of `size` bytes.
    public init(size: Int, file: Int32 = -1) {
        self.size = size
        self.file = file
    }
}

/// What a function reaches of its machine.
public protocol PCIBus: AnyObject {
    /// Reads memory by the function's own addresses.
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(DMAFault)

    /// Writes memory by the function's own addresses.
    func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault)

    /// Sends an MSI-X vector's message; one that nobody listens to is dropped.
    func interrupt(_ vector: Int)

    /// The file that the client has mapped at an address, and where in it; nil where it has mapped none there.
    func place(of address: UInt64) -> FilePlace?
}

extension PCIBus {
    /// Of a bus that knows no files.
    public func place(of address: UInt64) -> FilePlace? { nil }
}

/// A file, whatever descriptor or name it has: st_dev and st_ino of stat(2).
public struct FileIdentity: Hashable, Sendable {
    /// Its file system.
    public let device: UInt64
    /// Its number there.
    public let inode: UInt64

    /// A file.
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// A byte of a file.
public struct FilePlace: Equatable, Sendable {
    /// The file.
    public let file: FileIdentity
    /// Bytes from its start.
    public let offset: UInt64
}

/// A socket that a ``Server`` looks after beside its functions, in its thread.
public protocol ServedSocket: AnyObject {
    /// What is looked at.
    var descriptor: Int32 { get }
    /// What poll(2) is to wait for now.
    var events: Int16 { get }
    /// Called when that has happened, also while a function works: it may neither wait nor use a function's bus. False where
    /// it is not to be looked at any more.
    func serve() -> Bool
}

/// A request that reached no memory: unmapped, read-only, or refused by the client.
public struct DMAFault: Error, Equatable {
    /// The first byte that was not reached.
    public let address: UInt64
    /// Whether it was to be written.
    public let isWrite: Bool

    /// A fault at an address.
    public init(address: UInt64, isWrite: Bool) {
        self.address = address
        self.isWrite = isWrite
    }
}
