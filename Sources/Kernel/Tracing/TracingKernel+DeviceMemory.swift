public import CKernel

/// Device memory and pools of memory keys in the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func ibv_alloc_dm(_ context: UnsafeMutablePointer<ibv_context>, _ length: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_dm>
    {
        try verb(.allocDM, [address(context), length]) { () throws(Errno) in
            try kernel.ibv_alloc_dm(context, length)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_free_dm(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno) {
        try verb(.freeDM, [address(dm)]) { () throws(Errno) in try kernel.ibv_free_dm(dm) }
    }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_to_dm(
        _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        try call(copy(.memcpyToDM, dm, offset, Array(bytes), bytes.count)) { () throws(Errno) in
            try kernel.ibv_memcpy_to_dm(dm, offset, bytes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_memcpy_from_dm(
        _ bytes: UnsafeMutableRawBufferPointer, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64
    ) throws(Errno) {
        try call(copy(.memcpyFromDM, dm, offset, [], bytes.count)) { _, operation in
            operation.arguments[2] = .bytes(Array(bytes))
        } _: { () throws(Errno) in
            try kernel.ibv_memcpy_from_dm(bytes, dm, offset)
        }
    }

    private func copy(
        _ signature: Signature, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: [UInt8], _ count: Int
    ) -> Operation {
        var operation = numbers(signature, [address(dm), offset, 0, UInt64(count)])
        operation.arguments[2] = .bytes(bytes)
        return operation
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dm_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ length: UInt64,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let arguments = [address(pd), address(dm), offset, length, UInt64(bitPattern: Int64(access))]
        return try verb(.regDMMR, arguments) { () throws(Errno) in
            try kernel.ibv_reg_dm_mr(pd, dm, offset, length, access)
        }
    }

    /// See ``VerbsCalls``.
    public func frmrPools(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> [UInt8] {
        try verb(.frmrPools, [address(context)]) { bytes, operation in
            operation.outputs = [.init("dump", .bytes(bytes))]
        } _: { () throws(Errno) in
            try kernel.frmrPools(context)
        }
    }
}
