public import CKernel
public import Kernel

/// Memory of a NIC's own: ibv_alloc_dm(3). Work requests reach it through a region of `ProtectionDomain.regDeviceMemory`.
public struct DeviceMemory: ~Copyable {
    private let kernel: any Kernel
    /// The library's object, for regions of it.
    public let dm: UnsafeMutablePointer<ibv_dm>
    private let siblings: OpenChildCount
    /// Bytes.
    public let length: UInt64
    /// How messages call it.
    public let label: String
    /// False once it is freed.
    public private(set) var isOpen = true

    init(
        _ kernel: any Kernel, _ dm: UnsafeMutablePointer<ibv_dm>, length: UInt64, in siblings: OpenChildCount,
        label: String
    ) {
        self.kernel = kernel
        self.dm = dm
        self.length = length
        self.siblings = siblings
        self.label = "dm of \(label)"
        siblings.count += 1
    }

    /// EFAULT where a copy reaches outside of it, at which not every provider looks.
    public func check(_ name: String, _ offset: UInt64, _ count: UInt64) throws(Failure) {
        guard offset > length || count > length - offset else { return }
        throw Failure(
            name, .badAddress, object: label, request: "dm_offset=\(hex(offset)), length=\(hex(count))",
            hint: "that reaches outside its \(hex(length)) bytes")
    }

    /// ibv_memcpy_to_dm(3). EFAULT outside of it.
    public func write(at offset: UInt64, from bytes: UnsafeRawBufferPointer) throws(Failure) {
        try check("ibv_memcpy_to_dm", offset, UInt64(bytes.count))
        try kernel.ask(Verbs.ibv_memcpy_to_dm, dm, offset, bytes, of: label)
    }

    /// ibv_memcpy_from_dm(3). EFAULT outside of it.
    public func read(at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(Failure) {
        try check("ibv_memcpy_from_dm", offset, UInt64(bytes.count))
        try kernel.ask(Verbs.ibv_memcpy_from_dm, dm, offset, bytes, of: label)
    }

    /// ibv_free_dm(3). EBUSY while a memory region uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, dm, label) = (kernel, dm, label)
        try siblings.end(&isOpen, "ibv_free_dm", label) { () throws(Errno) in try kernel.call(Verbs.ibv_free_dm, dm) }
    }
}
