import CKernel
import Glibc
import Kernel

/// Receive requests for several queue pairs.
final class SharedReceiveQueue {
    let domain: ProtectionDomain
    private unowned let kernel: SimKernel
    private let capacity: ibv_srq_attr
    private let mostLimit: UInt32
    /// Queue pairs that take from it.
    var users = 0
    private var receives: [QueuePair.Receive] = []
    /// What events call it: its structure's address.
    var address: UInt64 = 0
    /// An event is raised once fewer receive requests are left; 0 for no event.
    private var limit = 0
    /// Queue pairs whose peer found no request here.
    private var waiting: [WeakPair] = []

    private struct WeakPair {
        weak var pair: QueuePair?
    }

    init(_ kernel: SimKernel, _ domain: ProtectionDomain, _ capacity: ibv_srq_attr, mostLimit: UInt32) {
        self.kernel = kernel
        self.mostLimit = mostLimit
        self.domain = domain
        self.capacity = capacity
    }

    var hasReceive: Bool { !receives.isEmpty }

    /// sw/rxe/rxe_resp.c:get_srq_wqe
    func take() -> QueuePair.Receive? {
        guard !receives.isEmpty else { return nil }
        defer {
            if receives.count < limit {
                limit = 0
                domain.context.raise(IBV_EVENT_SRQ_LIMIT_REACHED, of: address)
            }
        }
        return receives.removeFirst()
    }

    /// EINVAL beyond what the driver takes.
    func set(limit: UInt32) throws(Errno) {
        guard limit <= mostLimit else { throw Errno(EINVAL) }
        self.limit = Int(limit)
    }

    func wait(_ pair: QueuePair) { waiting.append(WeakPair(pair: pair)) }

    /// A chain, taken as far as it goes; `refused` is the first one that was not. sw/rxe/rxe_verbs.c:rxe_post_srq_recv
    func post(
        _ first: UnsafeMutablePointer<ibv_recv_wr>, refused: inout UnsafeMutablePointer<ibv_recv_wr>?
    ) throws(Errno) {
        kernel.pass(100)
        defer { resume() }
        var next: UnsafeMutablePointer<ibv_recv_wr>? = first
        while let request = next {
            refused = request
            guard request.pointee.num_sge >= 0 else { throw Errno(EINVAL) }
            guard request.pointee.num_sge <= capacity.max_sge else { throw Errno(EINVAL) }
            guard receives.count < capacity.max_wr else { throw Errno(ENOMEM) }
            receives.append(
                QueuePair.Receive(
                    id: request.pointee.wr_id,
                    pieces: QueuePair.pieces(request.pointee.sg_list, request.pointee.num_sge)))
            next = request.pointee.next
        }
        refused = nil
    }

    private func resume() {
        let pairs = waiting
        waiting = []
        for entry in pairs { entry.pair?.progress() }
    }
}

/// Where datagrams go (struct ib_ah).
final class AddressHandle {
    let domain: ProtectionDomain
    let attributes: ibv_ah_attr

    init(domain: ProtectionDomain, attributes: ibv_ah_attr) {
        self.domain = domain
        self.attributes = attributes
    }
}
