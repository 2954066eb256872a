import CKernel
import Glibc
import Kernel

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
        table = tag == nil ? nil : context.hca.steering
        index = try tag.flatMap { (tag) throws(Errno) in try context.hca.steering?.take(tag) } ?? 0
        self.context = context
        self.hint = hint
    }

    /// hw/mlx5/dmah.c:mlx5_ib_dealloc_dmah
    deinit { table?.giveBack(index) }
}

/// DMA handles.
extension SimKernel {
    static let handleAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_alloc_dmah, SimKernel.ibv_alloc_dmah),
        VerbAnswer(Verbs.ibv_dealloc_dmah, SimKernel.ibv_dealloc_dmah),
    ]

    func ibv_alloc_dmah(_ context: UnsafeMutablePointer<ibv_context>, _ attributes: DMAHInitAttributes)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        let context = try uverbs.context(context)
        // libibverbs/dummy_ops.c: no other provider has it
        guard context.nic.driver == .mlx5 else { throw Errno(EOPNOTSUPP) }
        // providers/mlx5/verbs.c:mlx5_alloc_dmah
        let mask = DMAHInitMask(rawValue: attributes.comp_mask), ofTag: DMAHInitMask = [.cpuID, .memoryType]
        let wantsTag = !mask.isDisjoint(with: ofTag)
        guard mask.isSubset(of: [.cpuID, .ph, .memoryType]) else { throw Errno(EINVAL) }
        guard mask.contains(.ph) else { throw Errno(EINVAL) }
        guard !wantsTag || mask.contains(ofTag) else { throw Errno(EINVAL) }
        // hw/mlx5/main.c: the object is only there with mdev->st
        guard let steering = context.hca.steering else { throw Errno(EPROTONOSUPPORT) }
        // core/uverbs_std_types_dmah.c:UVERBS_METHOD_DMAH_ALLOC
        guard !wantsTag || attributes.tph_mem_type < 2 else { throw Errno(EOPNOTSUPP) }
        if wantsTag {
            guard attributes.cpu_id < topology.platform.cpus else { throw Errno(EINVAL) }
            guard attributes.cpu_id < topology.platform.allowedCPUs else { throw Errno(EPERM) }
        }
        guard attributes.ph & 0xfc == 0 else { throw Errno(EINVAL) }
        let isPersistent = attributes.tph_mem_type == 1
        let tag = !wantsTag ? nil : try cpuTag(Int(attributes.cpu_id), isPersistent: isPersistent, steering)
        return uverbs.add(try DMAHandle(context, hint: attributes.ph, tag: tag))
    }

    /// drivers/pci/tph.c:pcie_tph_get_cpu_st
    private func cpuTag(_ cpu: Int, isPersistent: Bool, _ steering: SteeringTable) throws(Errno) -> UInt16 {
        let address = steering.function.device.address
        guard case .rootPort = routes.fabric.hintLimit(of: address) else { throw Errno(ENODEV) }
        let platform = topology.platform
        let tags = isPersistent && !platform.persistentTags.isEmpty ? platform.persistentTags : platform.cpuTags
        guard !tags.isEmpty else { throw Errno(EINVAL) }
        // tph_extract_tag: what firmware does not mark valid is 0.
        guard tags.indices.contains(cpu) else { return 0 }
        return steering.requester == .extended ? tags[cpu] : tags[cpu] & 0xff
    }

    func ibv_dealloc_dmah(_ dmah: UnsafeMutableRawPointer) throws(Errno) {
        guard let handle = uverbs.handles[dmah] else { throw Errno(ENOENT) }
        guard handle.regions == 0 else { throw Errno(EBUSY) }
        uverbs.remove(dmah)
    }

    func handle(_ pointer: UnsafeMutableRawPointer?, _ context: VerbsContext) throws(Errno) -> DMAHandle {
        guard let pointer, let handle = uverbs.handles[pointer], handle.context === context else { throw Errno(ENOENT) }
        return handle
    }
}
