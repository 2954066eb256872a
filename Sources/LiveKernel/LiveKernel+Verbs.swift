public import CKernel
import Glibc
public import Kernel

/// Throws what a shim returned.
private func check(_ result: Int) throws(Errno) {
    if let errno = Errno(result: result) { throw errno }
}

/// libibverbs, through shims with one error convention. See ``VerbsCalls``.
extension LiveKernel {
    /// Calls a shim that fills a pointer, and remembers the object until it is closed.
    private func made<Object>(
        _ what: String, _ call: (UnsafeMutablePointer<UnsafeMutablePointer<Object>?>) -> Int
    ) throws(Errno) -> UnsafeMutablePointer<Object> {
        var pointer: UnsafeMutablePointer<Object>?
        try check(call(&pointer))
        guard let pointer else { throw Errno(EIO) }
        openVerbs[UnsafeMutableRawPointer(pointer)] = what
        return pointer
    }

    private func ended(_ pointer: UnsafeMutableRawPointer, _ result: Int) throws(Errno) {
        try check(result)
        openVerbs[pointer] = nil
    }

    /// See ``VerbsCalls``.
    public func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>] {
        var count: Int32 = 0
        if deviceList == nil { try check(shim_ibv_get_device_list(&deviceList, &count)) }
        guard let deviceList else { throw Errno(EIO) }
        var devices: [UnsafeMutablePointer<ibv_device>] = []
        while let device = deviceList[devices.count] { devices.append(device) }
        return devices
    }

    /// See ``VerbsCalls``.
    public func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno)
        -> UnsafeMutablePointer<ibv_context>
    { try made("rdma context") { shim_ibv_open_device(device, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        try ended(context, shim_ibv_close_device(context))
    }

    /// See ``VerbsCalls``.
    public func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr {
        var attributes = ibv_device_attr()
        try check(shim_ibv_query_device(context, &attributes))
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno)
        -> ibv_port_attr
    {
        var attributes = ibv_port_attr()
        try check(shim_ibv_query_port(context, port, &attributes))
        return attributes
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_pd>
    { try made("protection domain") { shim_ibv_alloc_pd(context, $0) } }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) {
        try ended(pd, shim_ibv_dealloc_pd(pd))
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") { shim_ibv_reg_mr(pd, address, length, access, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") { shim_ibv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) {
        try ended(mr, shim_ibv_dereg_mr(mr))
    }

    /// See ``VerbsCalls``.
    public func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        var attributes = attributes
        return try made("memory region") { shim_ibv_reg_mr_ex(pd, &attributes, $0) }
    }

    /// See ``VerbsCalls``.
    public func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        var attributes = attributes
        var dmah: UnsafeMutableRawPointer?
        try check(shim_ibv_alloc_dmah(context, &attributes, &dmah))
        guard let dmah else { throw Errno(EIO) }
        openVerbs[dmah] = "dma handle"
        return dmah
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        try ended(dmah, shim_ibv_dealloc_dmah(dmah))
    }

    /// See ``VerbsCalls``.
    public func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        try made("memory region") {
            shim_mlx5dv_reg_dmabuf_mr(pd, offset, length, iova, descriptor, access, mlx5Access, $0)
        }
    }

    /// EOPNOTSUPP: no way to read a key back from the driver is implemented for a real NIC.
    public func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8] { throw Errno(EOPNOTSUPP) }
}
