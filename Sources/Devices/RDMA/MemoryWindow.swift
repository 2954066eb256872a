public import CKernel
public import Kernel

/// A memory window: ibv_alloc_mw(3). ``QueuePair/post(_:_:)`` binds one of type 2 (IBV_WR_BIND_MW).
public struct MemoryWindow: ~Copyable {
    private let kernel: any Kernel
    /// The library's object, for work requests that bind it.
    public let mw: UnsafeMutablePointer<ibv_mw>
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is deallocated.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ mw: UnsafeMutablePointer<ibv_mw>, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.mw = mw
        self.siblings = siblings
        self.label = "mw of \(label)"
        siblings.count += 1
    }

    /// The key by which a peer reaches what it is bound to.
    public var rkey: UInt32 { mw.pointee.rkey }

    /// ibv_dealloc_mw(3). One that could not be deallocated stays open.
    public mutating func close() throws(Failure) {
        let (kernel, mw, label) = (kernel, mw, label)
        try siblings.end(&isOpen, "ibv_dealloc_mw", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_dealloc_mw, mw)
        }
    }
}
