public import CKernel

/// The verbs half of the trace. See ``VerbsCalls``.
extension TracingKernel {
    /// See ``VerbsCalls``.
    public func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>] {
        try verb(.getDeviceList, []) { devices, operation in
            operation.outputs = [.init("devices", .devices(devices))]
        } _: { () throws(Errno) in
            try kernel.ibv_get_device_list()
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    {
        let context = try verb(.openDevice, [address(device)]) { () throws(Errno) in
            try kernel.ibv_open_device(device)
        }
        dataPath?.watch(context)
        return context
    }

    /// See ``VerbsCalls``.
    public func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        dataPath?.forget(context)
        try verb(.closeDevice, [address(context)]) { () throws(Errno) in
            try kernel.ibv_close_device(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        try verb(.queryDevice, [address(context)]) { () throws(Errno) in
            try kernel.ibv_query_device(context)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        try verb(.queryPort, [address(context), UInt64(port)]) { () throws(Errno) in
            try kernel.ibv_query_port(context, port)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_pd>
    {
        try verb(.allocPD, [address(context)]) { () throws(Errno) in try kernel.ibv_alloc_pd(context) }
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        try verb(.deallocPD, [address(pd)]) { () throws(Errno) in try kernel.ibv_dealloc_pd(pd) }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ addr: UInt64, _ length: UInt64, _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try verb(.regMR, [address(pd), addr, length, signed(access)]) { () throws(Errno) in
            try kernel.ibv_reg_mr(pd, addr, length, access)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let arguments = [address(pd), offset, length, iova, signed(descriptor), signed(access)]
        return try verb(.regDmabufMR, arguments) { () throws(Errno) in
            try kernel.ibv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        try verb(.deregMR, [address(mr)]) { () throws(Errno) in try kernel.ibv_dereg_mr(mr) }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        let arguments = [
            address(pd), attributes.length, signed(attributes.access), attributes.comp_mask, attributes.iova,
            address(attributes.addr), signed(attributes.fd), attributes.fd_offset, address(attributes.dmah),
        ]
        return try verb(.regMREx, arguments) { () throws(Errno) in
            try kernel.ibv_reg_mr_ex(pd, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        let arguments = [
            address(context), UInt64(attributes.comp_mask), UInt64(attributes.cpu_id), UInt64(attributes.ph),
            UInt64(attributes.tph_mem_type),
        ]
        return try verb(.allocDMAH, arguments) { () throws(Errno) in
            try kernel.ibv_alloc_dmah(context, attributes)
        }
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        try verb(.deallocDMAH, [address(dmah)]) { () throws(Errno) in
            try kernel.ibv_dealloc_dmah(dmah)
        }
    }

    /// See ``VerbsCalls``.
    public func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let arguments = [
            address(pd), offset, length, iova, signed(descriptor), signed(access), signed(mlx5Access),
        ]
        return try verb(.mlx5dvRegDmabufMR, arguments) { () throws(Errno) in
            try kernel.mlx5dv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, mlx5Access)
        }
    }

    /// See ``VerbsCalls``.
    public func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] {
        try verb(.mkeyContext, [address(mr)]) { bytes, operation in
            // mlx5_ifc.h, struct mlx5_ifc_mkc_bits: 64 bits from bit 0x80 on. An address is this process's own.
            var (context, start) = (bytes, UInt64(0))
            for index in context.indices where (16..<24).contains(index) {
                start = start << 8 | UInt64(context[index])
                context[index] = 0
            }
            operation.outputs = [.init("start_addr", .number(start, .pointer)), .init("mkc", .bytes(context))]
        } _: { () throws(Errno) in
            try kernel.mkeyContext(mr)
        }
    }
}
