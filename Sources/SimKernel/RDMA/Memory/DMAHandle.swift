public import CKernel
import Glibc
public import Kernel

/// A DMA handle: a processing hint, with a steering tag where the platform gave one.
final class DMAHandle {
    let context: VerbsContext
    let hint: UInt8
    /// In the device's steering tags; 0 for none.
    let index: UInt16
    private let table: SteeringTable?
    var regions = 0

    /// hw/mlx5/dmah.c:mlx5_ib_alloc_dmah
    init(_ context: VerbsContext, hint: UInt8, tag: UInt16?) throws(Errno) {
        table = tag == nil ? nil : context.adapter.steering
        index = try tag.flatMap { (tag) throws(Errno) in try context.adapter.steering?.take(tag) } ?? 0
        self.context = context
        self.hint = hint
    }

    /// hw/mlx5/dmah.c:mlx5_ib_dealloc_dmah
    deinit { table?.giveBack(index) }
}

/// DMA handles. See ``VerbsCalls``.
extension SimKernel {
    private static let cpu: UInt32 = 1
    private static let hint: UInt32 = 2
    private static let memoryType: UInt32 = 4

    /// See ``VerbsCalls``.
    public func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        pass(1000)
        let context = try rdma.context(context)
        // libibverbs/dummy_ops.c: no other provider has it
        guard context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        // providers/mlx5/verbs.c:mlx5_alloc_dmah
        let mask = attributes.comp_mask
        let wantsTag = mask & (SimKernel.cpu | SimKernel.memoryType)
        guard mask & ~7 == 0 else { throw Errno(EINVAL) }
        guard mask & SimKernel.hint != 0 else { throw Errno(EINVAL) }
        guard wantsTag == 0 || wantsTag == SimKernel.cpu | SimKernel.memoryType else { throw Errno(EINVAL) }
        // hw/mlx5/main.c: the object is only there with mdev->st
        guard let steering = context.adapter.steering else { throw Errno(EPROTONOSUPPORT) }
        // core/uverbs_std_types_dmah.c:UVERBS_METHOD_DMAH_ALLOC
        guard wantsTag == 0 || attributes.tph_mem_type < 2 else { throw Errno(EOPNOTSUPP) }
        if wantsTag != 0 {
            guard attributes.cpu_id < topology.platform.cpus else { throw Errno(EINVAL) }
            guard attributes.cpu_id < topology.platform.allowedCPUs else { throw Errno(EPERM) }
        }
        guard attributes.ph & 0xfc == 0 else { throw Errno(EINVAL) }
        let isPersistent = attributes.tph_mem_type == 1
        let tag = wantsTag == 0 ? nil : try cpuTag(Int(attributes.cpu_id), isPersistent: isPersistent, steering)
        return rdma.add(try DMAHandle(context, hint: attributes.ph, tag: tag))
    }

    /// drivers/pci/tph.c:pcie_tph_get_cpu_st
    private func cpuTag(_ cpu: Int, isPersistent: Bool, _ steering: SteeringTable) throws(Errno) -> UInt16 {
        let address = steering.function.device.address
        guard routes.rootPortCompleter(above: address) != nil else { throw Errno(ENODEV) }
        let platform = topology.platform
        let tags = isPersistent && !platform.persistentTags.isEmpty ? platform.persistentTags : platform.cpuTags
        guard !tags.isEmpty else { throw Errno(EINVAL) }
        // tph_extract_tag: what firmware does not mark valid is 0.
        guard tags.indices.contains(cpu) else { return 0 }
        return steering.requester == .extended ? tags[cpu] : tags[cpu] & 0xff
    }

    /// See ``VerbsCalls``.
    public func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        pass(1000)
        guard let handle = rdma.handles[dmah] else { throw Errno(ENOENT) }
        guard handle.regions == 0 else { throw Errno(EBUSY) }
        rdma.remove(dmah)
    }

    func handle(_ pointer: UnsafeMutableRawPointer?, _ context: VerbsContext) throws(Errno) -> DMAHandle {
        guard let pointer, let handle = rdma.handles[pointer], handle.context === context else { throw Errno(ENOENT) }
        return handle
    }
}
