import CKernel
import Glibc
import Kernel

/// The RDMA devices, and the objects that programs have of them (uverbs). drivers/infiniband/core/uverbs_main.c
final class Uverbs {
    let devices: [UnsafeMutablePointer<ibv_device>]
    /// In the order of ``devices``.
    private let hcas: [HCA]
    private(set) var contexts: [UnsafeMutablePointer<ibv_context>: VerbsContext] = [:]
    private(set) var domains: [UnsafeMutablePointer<ibv_pd>: ProtectionDomain] = [:]
    let regions = RegionTable()
    var windows: [UnsafeMutablePointer<ibv_mw>: MemoryWindow] = [:]
    private(set) var handles: [UnsafeMutableRawPointer: DMAHandle] = [:]
    private var queues: [UnsafeMutablePointer<ibv_cq>: CompletionQueue] = [:]
    private var queuePairs: [UnsafeMutablePointer<ibv_qp>: QueuePair] = [:]
    private var channels: [UnsafeMutablePointer<ibv_comp_channel>: CompletionChannel] = [:]
    var addresses: [UnsafeMutablePointer<ibv_ah>: AddressHandle] = [:]
    var sharedQueues: [UnsafeMutablePointer<ibv_srq>: SharedReceiveQueue] = [:]
    private(set) var deviceMemories: [UnsafeMutablePointer<ibv_dm>: DeviceMemory] = [:]
    private var pairsByNumber: [UInt32: QueuePair] = [:]
    private var nextHandle: UInt32 = 1
    private var nextQueuePair: UInt32 = 0x100
    /// The next bus address for a region's host memory.
    private var nextAddress: UInt64 = 1 << 32

    func hca(named name: String) -> HCA? { hcas.first { $0.nic.name == name } }

    init(_ topology: Topology, _ functions: [String: PCIFunction], _ routes: P2PRoutes) {
        var hcas: [HCA] = []
        var devices: [UnsafeMutablePointer<ibv_device>] = []
        for (index, nic) in topology.nics.enumerated() {
            let device = UnsafeMutablePointer<ibv_device>.allocateZeroed()
            device.pointee.node_type = IBV_NODE_CA
            device.pointee.transport_type = IBV_TRANSPORT_IB
            Uverbs.set(&device.pointee.name, nic.name)
            Uverbs.set(&device.pointee.dev_name, "uverbs\(index)")
            Uverbs.set(&device.pointee.dev_path, "/sys/class/infiniband_verbs/uverbs\(index)")
            Uverbs.set(&device.pointee.ibdev_path, "/sys/class/infiniband/\(nic.name)")
            devices.append(device)
            hcas.append(HCA(index, of: topology, nic.address.flatMap { functions[$0] }, routes))
        }
        self.devices = devices
        self.hcas = hcas
    }
    /// C structures of objects that were destroyed with their context; freed with this.
    private var retired: [UnsafeMutableRawPointer] = []
    private var isClosing = false

    deinit {
        for structure in retired { structure.deallocate() }
        for queue in queues.values { queue.empty() }
        for qp in queuePairs.keys { qp.deallocate() }
        for cq in queues.keys { cq.deallocate() }
        for srq in sharedQueues.keys { srq.deallocate() }
        for ah in addresses.keys { ah.deallocate() }
        for dm in deviceMemories.keys { dm.deallocate() }
        for mw in windows.keys { mw.deallocate() }
        for channel in channels.keys { channel.deallocate() }
        for pd in domains.keys { pd.deallocate() }
        for context in contexts.keys { context.deallocate() }
        for handle in handles.keys { handle.deallocate() }
        for device in devices { device.deallocate() }
    }

    /// Writes a NUL-terminated name into a C array.
    private static func set<Characters>(_ array: inout Characters, _ text: String) {
        withUnsafeMutableBytes(of: &array) { bytes in bytes.copyBytes(from: text.utf8.prefix(bytes.count - 1)) }
    }

    var open: [String] {
        contexts.values.map { "ibv_context of \($0.nic.name)" }.sorted()
            + domains.values.map { "ibv_pd of \($0.context.nic.name)" }.sorted()
            + regions.all.map { "ibv_mr of \($0.region.length) bytes, lkey 0x\(String($0.region.key, radix: 16))" }
            .sorted()
            + windows.values.map { "ibv_mw of \($0.domain.context.nic.name)" }.sorted()
            + handles.values.map { "ibv_dmah of \($0.context.nic.name)" }.sorted()
            + queues.values.map { "ibv_cq of \($0.context.nic.name)" }.sorted()
            + channels.values.map { "ibv_comp_channel of \($0.context.nic.name)" }.sorted()
            + sharedQueues.values.map { "ibv_srq of \($0.domain.context.nic.name)" }.sorted()
            + deviceMemories.values.map { "ibv_dm of \($0.context.nic.name), \($0.length) bytes" }.sorted()
            + addresses.values.map { "ibv_ah of \($0.domain.context.nic.name)" }.sorted()
            + queuePairs.values.map { "ibv_qp of \($0.nic.name), number 0x\(String($0.number, radix: 16))" }.sorted()
    }

    // MARK: Objects

    func handle() -> UInt32 {
        defer { nextHandle &+= 1 }
        return nextHandle
    }

    func openContext(_ device: UnsafeMutablePointer<ibv_device>) throws(Errno) -> UnsafeMutablePointer<ibv_context> {
        guard let index = devices.firstIndex(of: device) else { throw Errno(EINVAL) }
        let context = UnsafeMutablePointer<ibv_context>.allocateZeroed()
        context.pointee.device = device
        context.pointee.ops = ContextOperations.all
        context.pointee.cmd_fd = -1
        context.pointee.async_fd = -1
        context.pointee.num_comp_vectors = 1
        contexts[context] = VerbsContext(hcas[index])
        return context
    }

    func context(_ pointer: UnsafeMutablePointer<ibv_context>) throws(Errno) -> VerbsContext {
        guard let context = contexts[pointer] else { throw Errno(EINVAL) }
        return context
    }

    /// Frees the structure of an object that is gone; while a context closes, later: the program still has pointers to what
    /// the context took along, and using one must be an error, not a use of freed memory.
    func free(_ structure: UnsafeMutableRawPointer) {
        if isClosing { retired.append(structure) } else { structure.deallocate() }
    }

    /// drivers/infiniband/core/rdma_core.c:uverbs_destroy_ufile_hw: closing destroys what was left.
    func closeContext(_ pointer: UnsafeMutablePointer<ibv_context>) throws(Errno) {
        let context = try context(pointer)
        isClosing = true
        defer { isClosing = false }
        for (qp, pair) in queuePairs where pair.domain.context === context { remove(qp, pair) }
        for (cq, queue) in queues where queue.context === context { remove(cq) }
        for (channel, model) in channels where model.context === context { remove(channel) }
        for (srq, queue) in sharedQueues where queue.domain.context === context { remove(srq, queue) }
        for (ah, address) in addresses where address.domain.context === context { remove(ah, address) }
        for (mw, window) in windows where window.domain.context === context { remove(mw, window) }
        for (_, region) in regions.all where region.domain.context === context { remove(region) }
        for (dm, memory) in deviceMemories where memory.context === context { remove(dm) }
        for (pd, domain) in domains where domain.context === context { remove(pd) }
        for (dmah, handle) in handles where handle.context === context { remove(dmah) }
        contexts[pointer] = nil
        free(pointer)
    }

    func addDomain(_ pointer: UnsafeMutablePointer<ibv_context>) throws(Errno) -> UnsafeMutablePointer<ibv_pd> {
        let context = try context(pointer)
        let pd = UnsafeMutablePointer<ibv_pd>.allocateZeroed()
        pd.pointee.context = pointer
        pd.pointee.handle = handle()
        domains[pd] = ProtectionDomain(context, number: pd.pointee.handle)
        return pd
    }

    func domain(_ pd: UnsafeMutablePointer<ibv_pd>) throws(Errno) -> ProtectionDomain {
        guard let domain = domains[pd] else { throw Errno(EINVAL) }
        return domain
    }

    func remove(_ pd: UnsafeMutablePointer<ibv_pd>) {
        domains[pd] = nil
        free(pd)
    }

    /// A region's C structure; `address` is what mr->addr holds.
    func add(_ region: MemoryRegion, _ pd: UnsafeMutablePointer<ibv_pd>, address: UInt64) throws(Errno)
        -> UnsafeMutablePointer<ibv_mr>
    {
        let pooled = region.device == nil ? region.domain.context.hca.keys?.take(region.keyKind) : nil
        region.key = if let pooled { pooled } else { try newKey() }
        let mr = regions.insert(region)
        let pages = ((address & 4095) + region.length + 4095) & ~4095
        region.dmaAddress = nextAddress + (address & 4095)
        nextAddress &+= pages
        mr.pointee.context = pd.pointee.context
        mr.pointee.pd = pd
        mr.pointee.addr = UnsafeMutableRawPointer(bitPattern: UInt(address))
        mr.pointee.length = Int(clamping: region.length)
        mr.pointee.handle = handle()
        mr.pointee.lkey = region.key
        mr.pointee.rkey = region.key
        region.domain.regions += 1
        region.dmaHandle?.regions += 1
        region.device?.regions += 1
        return mr
    }

    /// hw/mlx5/mr.c:assign_mkey_variant sets the low byte. Other drivers' keys get the same.
    func newKey() throws(Errno) -> UInt32 {
        guard let place = regions.take() else { throw Errno(ENOMEM) }
        return place << 8 | 0x11
    }

    /// The region that a local or remote key names.
    func region(key: UInt32) -> MemoryRegion? { regions[key] }

    func region(_ mr: UnsafeMutablePointer<ibv_mr>) throws(Errno) -> MemoryRegion {
        guard let region = regions[mr] else { throw Errno(EINVAL) }
        return region
    }

    func remove(_ region: MemoryRegion) {
        region.domain.regions -= 1
        region.dmaHandle?.regions -= 1
        region.device?.regions -= 1
        regions.remove(region)
        if region.device == nil, let keys = region.domain.context.hca.keys {
            keys.giveBack(region.key, region.keyKind)
        } else {
            regions.giveBack(region.key >> 8)
        }
    }

    func add(_ handle: DMAHandle) -> UnsafeMutableRawPointer {
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)
        handles[pointer] = handle
        return pointer
    }

    func remove(_ pointer: UnsafeMutableRawPointer) {
        handles[pointer] = nil
        free(pointer)
    }

    func add(_ memory: DeviceMemory, _ context: UnsafeMutablePointer<ibv_context>) -> UnsafeMutablePointer<ibv_dm> {
        let dm = UnsafeMutablePointer<ibv_dm>.allocateZeroed()
        dm.pointee.context = context
        dm.pointee.handle = handle()
        deviceMemories[dm] = memory
        return dm
    }

    func deviceMemory(_ dm: UnsafeMutablePointer<ibv_dm>) throws(Errno) -> DeviceMemory {
        guard let memory = deviceMemories[dm] else { throw Errno(EINVAL) }
        return memory
    }

    func remove(_ dm: UnsafeMutablePointer<ibv_dm>) {
        deviceMemories[dm] = nil
        free(dm)
    }

    // MARK: Queues

    func addChannel(_ pointer: UnsafeMutablePointer<ibv_context>) throws(Errno)
        -> UnsafeMutablePointer<ibv_comp_channel>
    {
        let channel = CompletionChannel(try context(pointer))
        let structure = UnsafeMutablePointer<ibv_comp_channel>.allocateZeroed()
        structure.pointee.context = pointer
        structure.pointee.fd = -1
        channels[structure] = channel
        return structure
    }

    func channel(_ channel: UnsafeMutablePointer<ibv_comp_channel>) throws(Errno) -> CompletionChannel {
        guard let channel = channels[channel] else { throw Errno(EINVAL) }
        return channel
    }

    func remove(_ channel: UnsafeMutablePointer<ibv_comp_channel>) {
        channels[channel] = nil
        free(channel)
    }

    func addQueue(
        _ pointer: UnsafeMutablePointer<ibv_context>, entries: Int,
        _ channel: UnsafeMutablePointer<ibv_comp_channel>?, _ kernel: SimKernel
    ) throws(Errno) -> UnsafeMutablePointer<ibv_cq> {
        let context = try context(pointer)
        let events = try channel.map { (channel) throws(Errno) in try self.channel(channel) }
        // core/rdma_core.c:lookup_get_fd_uobject
        if let events, events.context !== context { throw Errno(EBADF) }
        let queue = CompletionQueue(kernel, context, capacity: entries, events)
        let cq = Modelled.allocate(ibv_cq.self, queue)
        cq.pointee.context = pointer
        cq.pointee.handle = handle()
        cq.pointee.cqe = Int32(truncatingIfNeeded: entries)
        queues[cq] = queue
        queue.address = UInt64(UInt(bitPattern: cq))
        return cq
    }

    func queue(_ cq: UnsafeMutablePointer<ibv_cq>) throws(Errno) -> CompletionQueue {
        guard let queue = queues[cq] else { throw Errno(EINVAL) }
        return queue
    }

    func remove(_ cq: UnsafeMutablePointer<ibv_cq>) {
        queues[cq]?.channel?.users -= 1
        queues[cq]?.context.forget(of: UInt64(UInt(bitPattern: cq)))
        queues[cq] = nil
        free(cq)
    }

    func addQueuePair(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_qp_init_attr, _ kernel: SimKernel)
        throws(Errno) -> UnsafeMutablePointer<ibv_qp>
    {
        let domain = try domain(pd)
        guard let send = attributes.send_cq, let receive = attributes.recv_cq else { throw Errno(EINVAL) }
        let (sendQueue, receiveQueue) = (try queue(send), try queue(receive))
        let shared = try attributes.srq.map { (srq) throws(Errno) in try sharedQueue(srq) }
        // core/rdma_core.c:lookup_get_idr_uobject does not find another context's objects.
        let context = domain.context
        guard sendQueue.context === context else { throw Errno(ENOENT) }
        guard receiveQueue.context === context else { throw Errno(ENOENT) }
        guard shared.map({ $0.domain.context === context }) ?? true else { throw Errno(ENOENT) }
        nextQueuePair += 1
        let pair = QueuePair(kernel, domain, number: nextQueuePair, attributes, sendQueue, receiveQueue, shared)
        let qp = Modelled.allocate(ibv_qp.self, pair)
        qp.pointee.context = pd.pointee.context
        qp.pointee.qp_context = attributes.qp_context
        qp.pointee.pd = pd
        qp.pointee.send_cq = send
        qp.pointee.recv_cq = receive
        qp.pointee.srq = attributes.srq
        qp.pointee.handle = handle()
        qp.pointee.qp_num = pair.number
        qp.pointee.qp_type = attributes.qp_type
        queuePairs[qp] = pair
        pairsByNumber[pair.number] = pair
        return qp
    }

    func queuePair(_ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) -> QueuePair {
        guard let pair = queuePairs[qp] else { throw Errno(EINVAL) }
        return pair
    }

    func remove(_ qp: UnsafeMutablePointer<ibv_qp>, _ pair: QueuePair) {
        pair.end()
        queuePairs[qp] = nil
        pairsByNumber[pair.number] = nil
        free(qp)
    }

    // MARK: Peers

    /// The queue pair that takes datagrams for a number at an address; nil where none does.
    func datagramPeer(number: UInt32, at address: ibv_ah_attr) -> QueuePair? {
        guard let peer = pairsByNumber[number], peer.type == IBV_QPT_UD,
            peer.state == IBV_QPS_RTR || peer.state == IBV_QPS_RTS,
            peer.domain.context.hca.isReached(by: address)
        else { return nil }
        return peer
    }

    /// The queue pair at the other end of a connection, if it is connected to this one and can receive.
    func peer(of pair: QueuePair) -> QueuePair? {
        guard let peer = pairsByNumber[pair.attributes.dest_qp_num], peer.attributes.dest_qp_num == pair.number,
            peer.type == pair.type, peer.state == IBV_QPS_RTR || peer.state == IBV_QPS_RTS,
            peer.domain.context.hca.isReached(by: pair.attributes.ah_attr)
        else { return nil }
        return peer
    }
}
