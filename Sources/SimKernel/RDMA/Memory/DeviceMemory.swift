import CKernel
import Glibc
import Kernel

/// Memory of a NIC's own.
final class DeviceMemory {
    let context: VerbsContext
    /// Where this process keeps its bytes.
    let bytes: UnsafeMutableRawBufferPointer
    /// Bytes that were asked for; `bytes` is rounded up to the unit.
    let length: UInt64
    /// Memory regions.
    var regions = 0

    /// hw/mlx5/dm.c: MLX5_MEMIC_BASE_SIZE
    static let unit: UInt64 = 64

    init(_ context: VerbsContext, length: UInt64) {
        self.context = context
        self.length = length
        let room = Int((length + DeviceMemory.unit - 1) & ~(DeviceMemory.unit - 1))
        bytes = .allocate(byteCount: room, alignment: 64)
        _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }

    func contains(_ offset: UInt64, _ count: UInt64) -> Bool { offset <= length && count <= length - offset }
}

/// Device memory.
extension SimKernel {
    static let deviceMemoryAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_alloc_dm, SimKernel.ibv_alloc_dm),
        VerbAnswer(Verbs.ibv_free_dm, SimKernel.ibv_free_dm),
        VerbAnswer(Verbs.ibv_memcpy_to_dm, SimKernel.ibv_memcpy_to_dm),
        VerbAnswer(Verbs.ibv_memcpy_from_dm, SimKernel.ibv_memcpy_from_dm),
        VerbAnswer(Verbs.ibv_reg_dm_mr, SimKernel.ibv_reg_dm_mr),
    ]

    /// hw/mlx5/dm.c:mlx5_cmd_alloc_memic
    func ibv_alloc_dm(_ context: UnsafeMutablePointer<ibv_context>, _ length: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_dm>
    {
        let model = try uverbs.context(context)
        guard model.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        // core/uverbs_std_types_dm.c: the object is only there where the NIC has memory.
        guard length > 0 || model.nic.ownMemory > 0 else { throw Errno(EPROTONOSUPPORT) }
        guard length > 0 else { throw Errno(EINVAL) }
        let used = uverbs.deviceMemories.values.filter { $0.context.hca === model.hca }
            .reduce(0) { $0 + UInt64($1.bytes.count) }
        // providers/mlx5/verbs.c:mlx5_alloc_dm holds it against max_dm_size.
        guard length <= model.nic.ownMemory else { throw Errno(EINVAL) }
        guard used + length <= model.nic.ownMemory else { throw Errno(ENOMEM) }
        return uverbs.add(DeviceMemory(model, length: length), context)
    }

    func ibv_free_dm(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno) {
        guard try uverbs.deviceMemory(dm).regions == 0 else { throw Errno(EBUSY) }
        uverbs.remove(dm)
    }

    func ibv_memcpy_to_dm(
        _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        let memory = try uverbs.deviceMemory(dm)
        guard memory.contains(offset, UInt64(bytes.count)) else { throw Errno(EFAULT) }
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[Int(offset)...]).copyMemory(from: bytes)
    }

    func ibv_memcpy_from_dm(
        _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ bytes: UnsafeMutableRawBufferPointer
    ) throws(Errno) {
        let memory = try uverbs.deviceMemory(dm)
        guard memory.contains(offset, UInt64(bytes.count)) else { throw Errno(EFAULT) }
        bytes.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: memory.bytes[Int(offset)..<(Int(offset) + bytes.count)]))
    }

    /// MLX5_IB_DM_MEMIC_ALLOWED_ACCESS
    private static let allowed: Access = [.localWrite, .remoteWrite, .remoteRead, .remoteAtomic, .zeroBased]

    /// core/uverbs_std_types_mr.c:UVERBS_METHOD_DM_MR_REG, hw/mlx5/mr.c:mlx5_ib_reg_dm_mr
    func ibv_reg_dm_mr(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ dm: UnsafeMutablePointer<ibv_dm>, _ offset: UInt64, _ length: UInt64,
        _ access: Int32
    ) throws(Errno) -> UnsafeMutablePointer<ibv_mr> {
        let domain = try uverbs.domain(pd), access = Access(rawValue: access)
        guard domain.context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        let memory = try uverbs.deviceMemory(dm)
        // core/rdma_core.c:lookup_get_idr_uobject
        guard memory.context === domain.context else { throw Errno(ENOENT) }
        guard access.contains(.zeroBased) else { throw Errno(EINVAL) }
        guard access.isDisjoint(with: .remoteChanges) || access.contains(.localWrite) else { throw Errno(EINVAL) }
        guard memory.contains(offset, length) else { throw Errno(EINVAL) }
        guard SimKernel.allowed.contains(access) else { throw Errno(EINVAL) }
        let region = MemoryRegion(
            domain, start: 0, length: length, access: access,
            memory: UInt64(UInt(bitPattern: memory.bytes.baseAddress)) + offset, device: memory)
        return try uverbs.add(region, pd, address: 0)
    }
}
