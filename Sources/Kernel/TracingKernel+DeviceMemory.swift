public import CKernel

private func address(_ pointer: UnsafeMutableRawPointer?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }

/// Device memory and pools of memory keys in the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func ibv_alloc_dm(_ context: UnsafeMutablePointer<ibv_context>, _ length: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_dm>
    {
        try verb(.allocDM, [address(context), length], { hex(address($0)) }) { (kernel) throws(Errno) in
            try kernel.ibv_alloc_dm(context, length)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_free_dm(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno) {
        try verb(.freeDM, [address(dm)], { "0" }) { (kernel) throws(Errno) in try kernel.ibv_free_dm(dm) }
    }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_to_dm(
        _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        let arguments = [address(dm), offset, UInt64(bytes.count)]
        try verb(.memcpyToDM, arguments, { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_memcpy_to_dm(dm, offset, bytes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_from_dm(
        _ bytes: UnsafeMutableRawBufferPointer, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64
    ) throws(Errno) {
        let arguments = [address(dm), offset, UInt64(bytes.count)]
        try verb(.memcpyFromDM, arguments, { "0" }) { (kernel) throws(Errno) in
            try kernel.ibv_memcpy_from_dm(bytes, dm, offset)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dm_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ length: UInt64,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let arguments = [address(pd), address(dm), offset, length, UInt64(bitPattern: Int64(access))]
        return try verb(.regDMMR, arguments, { "\(hex(address($0))) {lkey=\(hex($0.pointee.lkey))}" }) {
            (kernel) throws(Errno) in
            try kernel.ibv_reg_dm_mr(pd, dm, offset, length, access)
        }
    }

    /// See ``VerbsCalls``.
    public func frmrPools(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [UInt8] {
        try verb(.frmrPools, [address(context)], { Decoder.hexBytes($0) }) { (kernel) throws(Errno) in
            try kernel.frmrPools(context)
        }
    }
}
