public import CKernel

/// The libibverbs functions: the other half of the seam. One requirement a function, same name, argument order and C
/// types; the library's several error conventions are one here (a thrown errno). Below this line lie private formats of
/// the providers, which nobody documents.
public protocol VerbsCalls: AnyObject {
    /// ibv_get_device_list(3): the devices; ENOSYS where the kernel has no RDMA. The pointers stay valid for as long as
    /// this object lives.
    func ibv_get_device_list() throws(Errno) -> [UnsafeMutablePointer<ibv_device>]
    /// ibv_open_device(3).
    func ibv_open_device(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno) -> UnsafeMutablePointer<ibv_context>
    /// ibv_close_device(3).
    func ibv_close_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno)
    /// ibv_query_device(3).
    func ibv_query_device(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> ibv_device_attr
    /// ibv_query_port(3). Ports count from 1.
    func ibv_query_port(_ context: UnsafeMutablePointer<ibv_context>, _ port: UInt8) throws(Errno) -> ibv_port_attr
    /// ibv_alloc_pd(3).
    func ibv_alloc_pd(_ context: UnsafeMutablePointer<ibv_context>) throws(Errno) -> UnsafeMutablePointer<ibv_pd>
    /// ibv_dealloc_pd(3). EBUSY while a memory region uses it.
    func ibv_dealloc_pd(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno)
    /// ibv_reg_mr(3). `address` is host memory of this process.
    func ibv_reg_mr(_ pd: UnsafeMutablePointer<ibv_pd>, _ address: UInt64, _ length: UInt64, _ access: Int32)
        throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// ibv_reg_dmabuf_mr(3).
    func ibv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// ibv_dereg_mr(3).
    func ibv_dereg_mr(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno)
    /// ibv_reg_mr_ex(3), rdma-core 59 and later; ENOSYS where the library lacks it.
    func ibv_reg_mr_ex(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: MRInitAttributes) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    /// ibv_alloc_dmah(3), rdma-core 59 and later; ENOSYS where the library lacks it.
    func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes) throws(Errno)
        -> UnsafeMutableRawPointer
    /// ibv_dealloc_dmah(3). EBUSY while a memory region uses it.
    func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno)
    /// mlx5dv_reg_dmabuf_mr(3), rdma-core 54 and later; ENOSYS where the library lacks it. `mlx5Access` bit 0 asks for
    /// data direct.
    func mlx5dv_reg_dmabuf_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ offset: UInt64, _ length: UInt64, _ iova: UInt64, _ descriptor: Int32,
        _ access: Int32, _ mlx5Access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr>
    /// The mlx5 memory key context of a region (mlx5_ifc.h, struct mlx5_ifc_mkc_bits, 64 bytes), as the driver's raw
    /// resource dump gives it; EOPNOTSUPP where nothing gives it.
    func mkeyContext(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> [UInt8]
}

/// A kernel: both halves of the seam.
public protocol Kernel: SystemCalls, VerbsCalls {
    /// What this kernel was asked that it does not model, and how often; empty for a real one.
    var notModelled: [(call: String, count: Int)] { get }
    /// Descriptors, mappings and verbs objects that are still open, one description each.
    var open: [String] { get }
}
