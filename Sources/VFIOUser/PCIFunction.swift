/// A PCI function that a client such as QEMU reaches by a vfio-user socket. The client belongs to a guest: every
/// number that arrives here may be hostile. All calls come from one thread.
public protocol PCIFunction: AnyObject {
    /// A region by its VFIO index: BARs 0 to 5, 6 the expansion ROM, 7 the configuration space, 8 VGA.
    func region(_ index: Int) -> RegionDescription

    /// MSI-X vectors that it has.
    var vectorCount: Int { get }

    /// Reads from a region. Offset and length lie within its size.
    func read(_ region: Int, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)

    /// Writes to a region. Offset and length lie within its size.
    func write(_ region: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer)

    /// Does the work that earlier writes have asked for. It is called after the write was answered, since a client
    /// that waits for a reply serves no DMA; only here may a function use its bus.
    /// While a bus call waits, ``read(_:at:into:)`` and ``write(_:at:_:)`` are called for the client's further
    /// requests: no exclusive access to what they use may last across a bus call.
    func work()

    /// Returns to the state after power-on. Never called within ``work()``.
    func reset()

    /// Whether a write asked for a reset of this function, as bit 15 of Device Control does. From then on all requests of
    /// its bus fail, so that ``work()`` ends soon; then ``reset()`` is called, which makes it false.
    var needsReset: Bool { get }

    /// When ``work()`` is to be called without a write, nanoseconds of the monotonic clock; nil for never.
    var wakeUp: UInt64? { get }

    /// Whether its BARs answer: memory decoding is on and the power state is D0. Otherwise the client reads ones, and
    /// its writes are dropped.
    var isDecoding: Bool { get }

    /// Whether it may send requests and interrupts; where not, its bus fails them.
    var isBusMaster: Bool { get }

    /// The bus address of a memory BAR by its index; nil where it has none, or none was given to it.
    func address(ofBAR index: Int) -> UInt64?
}

/// Defaults for a function without configuration space registers of its own.
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
    /// Descriptor of a file that the client may map, offset 0 being the region's first byte; -1 where each access is
    /// a message.
    public var file: Int32

    /// A region of `size` bytes.
    public init(size: Int, file: Int32 = -1) {
        self.size = size
        self.file = file
    }
}

/// What a function can do on its bus: access memory, and interrupt.
public protocol PCIBus: AnyObject {
    /// Reads memory by the function's own addresses.
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(DMAFault)

    /// Writes memory by the function's own addresses.
    func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault)

    /// Raises an MSI-X vector; nothing happens where the client listens to no eventfd for it.
    func interrupt(_ vector: Int)

    /// The client's file behind a bus address, and the offset in it; nil where the client has mapped no file there.
    func place(of address: UInt64) -> FilePlace?
}

extension PCIBus {
    /// A bus without files.
    public func place(of address: UInt64) -> FilePlace? { nil }
}

/// Identity of a file, independent of descriptors and names: st_dev and st_ino of stat(2).
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

/// A socket that a ``Server`` polls beside those of its functions, in its thread.
public protocol ServedSocket: AnyObject {
    /// What is looked at.
    var descriptor: Int32 { get }
    /// What poll(2) is to wait for now.
    var events: Int16 { get }
    /// Called when one of ``events`` has come, also while a function works. It may neither wait nor use a function's
    /// bus. Returns false to be polled no more.
    func serve() -> Bool
}

/// A memory request that failed: the address is not mapped, is read-only, or was refused by the client.
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
