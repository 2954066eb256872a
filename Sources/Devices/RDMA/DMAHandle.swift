public import Kernel

/// A DMA handle: ibv_alloc_dmah(3).
public struct DMAHandle: ~Copyable {
    private let kernel: any Kernel
    /// The library's object.
    public let pointer: UnsafeMutableRawPointer
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is deallocated.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ pointer: UnsafeMutableRawPointer, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.pointer = pointer
        self.siblings = siblings
        self.label = label
        siblings.count += 1
    }

    /// ibv_dealloc_dmah(3). EBUSY while a memory region uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, pointer) = (kernel, pointer)
        try siblings.end(&isOpen, "ibv_dealloc_dmah", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_dealloc_dmah, pointer)
        }
    }
}
