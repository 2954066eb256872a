/// A kernel: both halves of the seam.
public protocol Kernel: SystemCalls, VerbsCalls {
    /// What this kernel was asked that it does not model, and how often; empty for a real one.
    var notModelled: [(call: String, count: Int)] { get }
    /// Descriptors, mappings and verbs objects that are still open, one description each.
    var open: [String] { get }
    /// Whether a number names what this process has open for itself, and did not come through this kernel: no script may use
    /// it. False for one that names nothing.
    func isForeign(_ descriptor: Int32) -> Bool
    /// What the bench's functions sent over their links; nil where nothing sees that, as on a real machine without an
    /// analyzer. Errors: what keeps the one who sees it from being asked.
    var tlps: TLPLog? { get throws(Failure) }
    /// Empties ``tlps``, and needs not know what is in there; false where nothing sees the links.
    func clearTLPs() throws(Failure) -> Bool
    /// What a simulated kernel does when its caller waits (``SystemCalls/sleep(nanoseconds:stop:)``, an empty completion queue):
    /// another thread may use it meanwhile, but no two at a time. A real kernel needs no such thing.
    func whenIdle(_ action: (() -> Void)?)
    /// Hears of each access to mapped memory by this program: no call, but a device may answer it.
    func accessed(_ access: MemoryAccess)
    /// What refused the latest system call that was refused, with the check it came from (``Errno/origin``); nil of a real
    /// kernel, which does not tell.
    var refusal: Errno? { get }
}

/// Bytes that this program read from, or wrote to, memory that it has mapped.
public struct MemoryAccess {
    /// Which way they went.
    public enum Kind: Sendable { case load, store }

    /// Which way they went.
    public let kind: Kind
    /// Of the first byte.
    public let address: UInt64
    /// What was read or written; valid during the call.
    public let bytes: UnsafeRawBufferPointer
    /// EIO where the device behind the memory did not answer.
    public let errno: Errno?

    /// An access that is over.
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
    /// Nothing to empty.
    public func clearTLPs() -> Bool { false }
    /// A real kernel runs by itself.
    public func whenIdle(_ action: (() -> Void)?) {}
    /// Nobody asked.
    public func accessed(_ access: MemoryAccess) {}
    /// A real kernel tells no more than the number.
    public var refusal: Errno? { nil }
}
