/// A kernel: both halves of the seam.
public protocol Kernel: SystemCalls, VerbsCalls {
    /// Calls that this kernel does not model, with their number; empty for a real one.
    var notModelled: [(call: String, count: Int)] { get }
    /// Descriptors, mappings and verbs objects that are still open, one description each.
    var open: [String] { get }
    /// Whether a descriptor belongs to this program itself and was not opened through this kernel, so that no script
    /// may use it. False for a number that is not open.
    func isForeign(_ descriptor: Int32) -> Bool
    /// Requests that the bench's functions sent over their links; nil where nothing records them, as on a real machine
    /// without an analyzer. Throws where the recorder cannot be reached.
    var tlps: TLPLog? { get throws(Failure) }
    /// Empties ``tlps`` without reading it; false where nothing records the links.
    func clearTLPs() throws(Failure) -> Bool
    /// Adds something that shall befall the next work requests of a simulated kernel's reliable connections. False where
    /// nothing can be injected.
    func inject(_ fault: CompletionFault) -> Bool
    /// Takes back all of these; the result are those that met no request, in words.
    func clearCompletionFaults() -> [String]
    /// Sets an action for the waits of a simulated kernel (``SystemCalls/sleep(nanoseconds:stop:)``, an empty
    /// completion queue). During it another thread may use the kernel; two may never use it at once. A real kernel
    /// needs none.
    func whenIdle(_ action: (() -> Void)?)
    /// Called for each access of this program to mapped memory. That is not a system call, but a device may respond to
    /// it.
    func accessed(_ access: MemoryAccess)
    /// The error of the latest failed system call, with the check that refused it (``Errno/origin``); nil for a real
    /// kernel, where the check is unknown.
    var refusal: Errno? { get }
}

/// An access of this program to memory that it has mapped.
public struct MemoryAccess {
    /// The direction.
    public enum Kind: Sendable { case load, store }

    /// The direction.
    public let kind: Kind
    /// Address of the first byte.
    public let address: UInt64
    /// The bytes read or written; valid during the call.
    public let bytes: UnsafeRawBufferPointer
    /// EIO where the device behind the memory did not respond.
    public let errno: Errno?

    /// From its parts; the access has ended.
    public init(_ kind: Kind, at address: UInt64, _ bytes: UnsafeRawBufferPointer, _ errno: Errno?) {
        self.kind = kind
        self.address = address
        self.bytes = bytes
        self.errno = errno
    }
}

extension Kernel {
    /// See ``Kernel/tlps``: nothing sees the links.
    public var tlps: TLPLog? { nil }
    /// Nothing records the links.
    public func clearTLPs() -> Bool { false }
    /// A real NIC fails by itself.
    public func inject(_ fault: CompletionFault) -> Bool { false }
    /// None.
    public func clearCompletionFaults() -> [String] { [] }
    /// Ignored: a real kernel runs by itself.
    public func whenIdle(_ action: (() -> Void)?) {}
    /// Ignored.
    public func accessed(_ access: MemoryAccess) {}
    /// Unknown for a real kernel.
    public var refusal: Errno? { nil }
}
