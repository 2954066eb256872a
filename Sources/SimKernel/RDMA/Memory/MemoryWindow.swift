import CKernel
import Glibc
import Kernel

/// A memory window: a key of its own to a part of a region, as long as it is bound. sw/rxe/rxe_mw.c
final class MemoryWindow {
    let domain: ProtectionDomain
    let type: ibv_mw_type
    /// Its lowest byte is the program's, by binding.
    var key: UInt32
    /// What it is bound to.
    private(set) var bound: Binding?

    struct Binding {
        let region: MemoryRegion
        let start: UInt64
        let length: UInt64
        let access: Access
        /// The queue pair that bound it: nobody else may use a window of type 2.
        weak var pair: QueuePair?

        func contains(_ address: UInt64, _ count: Int) -> Bool {
            address >= start && UInt64(count) <= length && address - start <= length - UInt64(count)
        }
    }

    init(_ domain: ProtectionDomain, _ type: ibv_mw_type, key: UInt32) {
        (self.domain, self.type, self.key) = (domain, type, key)
    }

    func bind(_ binding: Binding?, key: UInt32) {
        unbind()
        self.key = self.key & ~0xff | key & 0xff
        bound = binding
        binding?.region.windows += 1
    }

    func unbind() {
        bound?.region.windows -= 1
        bound = nil
    }
}

/// What IBV_WR_BIND_MW asks for.
struct WindowRequest {
    let window: UnsafeMutablePointer<ibv_mw>
    /// The window's key as the program knew it.
    let oldKey: UInt32
    let newKey: UInt32
    let regionKey: UInt32
    let start: UInt64
    let length: UInt64
    let access: Access

    /// providers/rxe/rxe.c:validate_send_wr; mlx5's goes by the same rules (providers/mlx5/qp.c:set_bind_wr).
    init?(_ request: ibv_send_wr, _ type: ibv_qp_type) {
        guard request.num_sge == 0 else { return nil }
        guard let mw = request.bind_mw.mw, let mr = request.bind_mw.bind_info.mr else { return nil }
        guard type == IBV_QPT_RC || type == IBV_QPT_UC else { return nil }
        guard mw.pointee.type == IBV_MW_TYPE_2 else { return nil }
        window = mw
        oldKey = mw.pointee.rkey
        newKey = request.bind_mw.rkey
        regionKey = mr.pointee.lkey
        start = request.bind_mw.bind_info.addr
        length = request.bind_mw.bind_info.length
        access = Access(rawValue: Int32(bitPattern: request.bind_mw.bind_info.mw_access_flags))
    }
}

/// Memory windows.
extension SimKernel {
    static let windowAnswers: [any AnyVerbAnswer] = [
        VerbAnswer(Verbs.ibv_alloc_mw, SimKernel.ibv_alloc_mw),
        VerbAnswer(Verbs.ibv_dealloc_mw, SimKernel.ibv_dealloc_mw),
    ]

    /// core/uverbs_cmd.c:ib_uverbs_alloc_mw
    func ibv_alloc_mw(_ pd: UnsafeMutablePointer<ibv_pd>, _ type: UInt32) throws(Errno)
        -> UnsafeMutablePointer<ibv_mw>
    {
        let domain = try uverbs.domain(pd)
        guard [.mlx5, .rxe].contains(domain.context.nic.driver) else { throw Errno(EOPNOTSUPP) }
        guard type == IBV_MW_TYPE_1.rawValue || type == IBV_MW_TYPE_2.rawValue else { throw Errno(EINVAL) }
        return try uverbs.addWindow(pd, ibv_mw_type(rawValue: type))
    }

    func ibv_dealloc_mw(_ mw: UnsafeMutablePointer<ibv_mw>) throws(Errno) {
        guard let window = uverbs.windows[mw] else { throw Errno(EINVAL) }
        uverbs.remove(mw, window)
    }
}

extension Uverbs {
    func addWindow(_ pd: UnsafeMutablePointer<ibv_pd>, _ type: ibv_mw_type) throws(Errno)
        -> UnsafeMutablePointer<ibv_mw>
    {
        let window = MemoryWindow(try domain(pd), type, key: try newKey())
        let mw = UnsafeMutablePointer<ibv_mw>.allocateZeroed()
        mw.pointee.context = pd.pointee.context
        mw.pointee.pd = pd
        mw.pointee.handle = handle()
        mw.pointee.rkey = window.key
        mw.pointee.type = type
        window.domain.windows += 1
        windows[mw] = window
        return mw
    }

    func remove(_ mw: UnsafeMutablePointer<ibv_mw>, _ window: MemoryWindow) {
        window.unbind()
        window.domain.windows -= 1
        regions.giveBack(window.key >> 8)
        windows[mw] = nil
        free(mw)
    }

    /// The window with just this key.
    func window(key: UInt32) -> MemoryWindow? { windows.values.first { $0.key == key } }
}

extension QueuePair {
    /// A region that a peer's request reaches, and where in it.
    struct Target {
        let region: MemoryRegion
        let address: UInt64
    }

    /// sw/rxe/rxe_mw.c:rxe_bind_mw, rxe_check_bind_mw
    func bind(_ request: WindowRequest) -> ibv_wc_status {
        // rxe's requester stops at once, and what it was at is flushed with the rest.
        let refused = nic.driver == .rxe ? IBV_WC_WR_FLUSH_ERR : IBV_WC_MW_BIND_ERR
        guard let window = kernel.uverbs.windows[request.window], window.key == request.oldKey else { return refused }
        guard request.access.isSubset(of: [.ofPeers, .zeroBased]) else { return refused }
        // Of one that is bound only an invalidation makes a free one again.
        guard window.bound == nil else { return refused }
        guard window.domain === domain else { return refused }
        guard request.length > 0, let region = kernel.uverbs.region(key: request.regionKey) else { return refused }
        guard !region.access.contains(.zeroBased) else { return refused }
        guard region.access.contains(.windowBind) else { return refused }
        guard request.access.isDisjoint(with: .remoteChanges) || region.access.contains(.localWrite) else {
            return refused
        }
        if request.access.contains(.zeroBased) {
            guard request.length <= region.length else { return refused }
        } else {
            guard request.length <= UInt64(Int.max), region.contains(request.start, Int(request.length)) else {
                return refused
            }
        }
        window.bind(
            MemoryWindow.Binding(
                region: region, start: request.start, length: request.length, access: request.access, pair: self),
            key: request.newKey)
        return IBV_WC_SUCCESS
    }

    /// sw/rxe/rxe_mw.c:rxe_lookup_mw, rxe_resp.c:check_rkey: what a peer reaches by a window that this queue pair has bound.
    func target(window key: UInt32, _ address: UInt64, _ length: Int, _ access: Access) -> Target? {
        guard let window = kernel.uverbs.window(key: key), let bound = window.bound else { return nil }
        guard window.domain === domain, bound.pair === self else { return nil }
        guard bound.access.contains(access) else { return nil }
        // mlx5 lets a region go whose windows are bound; their keys then lead nowhere.
        guard kernel.uverbs.region(key: bound.region.key) === bound.region else { return nil }
        let place = bound.access.contains(.zeroBased) ? address &+ bound.start : address
        // sw/rxe looks at the region's bounds alone.
        guard bound.region.contains(place, length) else { return nil }
        guard nic.driver == .rxe || bound.contains(place, length) else { return nil }
        return Target(region: bound.region, address: place)
    }
}
