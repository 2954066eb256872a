/// A file descriptor that is closed once, through the kernel that returned it.
public struct OwnedDescriptor: ~Copyable {
    /// The descriptor's number in its kernel.
    public let raw: Int32
    /// The kernel that returned it.
    public let kernel: any Kernel
    /// False once `close` was called.
    public private(set) var isOpen = true

    /// Takes over a descriptor that `kernel` has just returned.
    public init(_ raw: Int32, _ kernel: any Kernel) {
        self.raw = raw
        self.kernel = kernel
    }

    /// Closes it; a second call does nothing. close(2) frees the number even where it reports an error.
    public mutating func close() -> Int {
        guard isOpen else { return 0 }
        isOpen = false
        return kernel.close(raw)
    }

    deinit {
        if isOpen { _ = kernel.close(raw) }
    }
}
