public import CKernel
import Glibc
public import Kernel

/// Device memory, asynchronous events and pools of memory keys. See ``VerbsCalls``.
extension LiveKernel {
    /// See ``VerbsCalls``.
    public func ibv_modify_srq(_ srq: UnsafeMutablePointer<ibv_srq>, limit: UInt32) throws(Errno) {
        try check(shim_ibv_modify_srq_limit(srq, limit))
    }

    /// See ``VerbsCalls``.
    public func ibv_get_async_event(_ context: UnsafeMutablePointer<ibv_context>, _ milliseconds: Int32)
        throws(Errno) -> AsyncEvent?
    {
        var event = shim_async_event()
        let result = shim_ibv_get_async_event(context, milliseconds, &event)
        try check(min(result, 0))
        return result > 0 ? AsyncEvent(type: event.type, element: event.element) : nil
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_dm(_ context: UnsafeMutablePointer<ibv_context>, _ length: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_dm>
    { try made("device memory") { shim_ibv_alloc_dm(context, Int(clamping: length), $0) } }

    /// See ``VerbsCalls``.
    public func ibv_free_dm(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno) { try ended(dm, shim_ibv_free_dm(dm)) }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_to_dm(
        _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) { try check(shim_ibv_memcpy_to_dm(dm, offset, bytes.baseAddress, bytes.count)) }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_from_dm(
        _ bytes: UnsafeMutableRawBufferPointer, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64
    ) throws(Errno) { try check(shim_ibv_memcpy_from_dm(bytes.baseAddress, dm, offset, bytes.count)) }

    /// See ``VerbsCalls``.
    public func ibv_reg_dm_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ length: UInt64,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") { shim_ibv_reg_dm_mr(pd, dm, offset, Int(clamping: length), access, $0) }
    }

    /// See ``VerbsCalls``.
    public func frmrPools(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [UInt8] {
        guard let device = context.pointee.device else { throw Errno(EINVAL) }
        return try netlink(device) { rdma_frmr_pools($0, $1, $2) }
    }

    /// What RDMA netlink tells of a device, at most 64 KiB.
    func netlink(
        _ device: UnsafeMutablePointer<ibv_device>, _ body: (UnsafePointer<CChar>, UnsafeMutableRawPointer, Int) -> Int
    ) throws(Errno) -> [UInt8] {
        var result = 0
        let answer = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            result = withUnsafeBytes(of: device.pointee.name) { name in
                name.baseAddress.map { body($0.assumingMemoryBound(to: CChar.self), base, buffer.count) }
                    ?? -Int(EINVAL)
            }
            count = max(0, result)
        }
        try check(min(result, 0))
        return answer
    }
}
