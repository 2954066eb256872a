import CKernel
import Glibc
import Kernel

/// A queue pair: its state, its connection, and work requests that wait.
final class QueuePair {
    /// A local part of a message.
    struct Piece {
        let address: UInt64
        let length: Int
        let key: UInt32
    }

    /// A posted send work request. The structure may go once it is posted, so this is a copy.
    struct Send {
        let id: UInt64
        let opcode: ibv_wr_opcode
        let flags: UInt32
        let immediate: UInt32
        let remoteAddress: UInt64
        let remoteKey: UInt32
        let operands: (UInt64, UInt64)
        /// Of a datagram: where it goes, the peer's number and key.
        let datagram: (to: ibv_ah_attr, number: UInt32, key: UInt32)?
        /// Of what binds a memory window.
        let window: WindowRequest?
        let pieces: [Piece]
        /// The message itself where it was sent inline.
        let inline: [UInt8]?
        /// What was injected to befall it.
        var fault: CompletionFault.Kind?

        var length: Int { inline?.count ?? pieces.reduce(0) { $0 + $1.length } }
    }

    /// A posted receive work request.
    struct Receive {
        let id: UInt64
        let pieces: [Piece]
    }

    unowned let kernel: SimKernel
    let domain: ProtectionDomain
    let number: UInt32
    let type: ibv_qp_type
    let sendQueue: CompletionQueue
    let receiveQueue: CompletionQueue
    let capacity: ibv_qp_cap
    let signalsAll: Bool
    /// Where receive requests come from; nil where it has its own.
    let shared: SharedReceiveQueue?
    var state = IBV_QPS_RESET
    var attributes = ibv_qp_attr()
    /// Places in use. They are free again when the completion is polled.
    var sendsPosted = 0
    var receivesPosted = 0
    var sends: [Send] = []
    var receives: [Receive] = []
    /// Unsignalled requests done since the last completion, which gives their places back.
    var silent = 0
    /// Receive requests that a stalled peer waits for.
    weak var waiting: QueuePair?

    init(
        _ kernel: SimKernel, _ domain: ProtectionDomain, number: UInt32, _ attributes: ibv_qp_init_attr,
        _ send: CompletionQueue, _ receive: CompletionQueue, _ shared: SharedReceiveQueue?
    ) {
        self.kernel = kernel
        self.domain = domain
        self.number = number
        type = attributes.qp_type
        sendQueue = send
        receiveQueue = receive
        capacity = attributes.cap
        signalsAll = attributes.sq_sig_all != 0
        self.shared = shared
        shared?.users += 1
        send.users += 1
        receive.users += 1
        domain.queuePairs += 1
    }

    var nic: Topology.NIC { domain.context.nic }

    /// Gives back what its queues and its domain count of it.
    func end() {
        sendQueue.users -= 1
        receiveQueue.users -= 1
        domain.queuePairs -= 1
        shared?.users -= 1
        sendQueue.forget(self)
        receiveQueue.forget(self)
        domain.context.forget(of: UInt64(number))
    }

    // MARK: States

    private struct Step: Hashable {
        let from: UInt32
        let to: UInt32

        init(_ from: ibv_qp_state, _ to: ibv_qp_state) {
            self.from = from.rawValue
            self.to = to.rawValue
        }
    }

    private static func mask(_ bits: ibv_qp_attr_mask...) -> UInt32 { bits.reduce(0) { $0 | $1.rawValue } }

    private typealias Steps = [Step: (required: UInt32, optional: UInt32)]

    /// drivers/infiniband/core/verbs.c:qp_state_table: what each step must have, and what it may.
    private var steps: Steps {
        switch type {
        case IBV_QPT_UD: QueuePair.datagramSteps
        case IBV_QPT_UC: QueuePair.unreliableSteps
        default: QueuePair.reliableSteps
        }
    }

    private static let datagramSteps: Steps = {
        let first = mask(IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_QKEY)
        let later = mask(IBV_QP_CUR_STATE, IBV_QP_QKEY)
        return [
            Step(IBV_QPS_RESET, IBV_QPS_INIT): (first, 0), Step(IBV_QPS_INIT, IBV_QPS_INIT): (0, first),
            Step(IBV_QPS_INIT, IBV_QPS_RTR): (0, mask(IBV_QP_PKEY_INDEX, IBV_QP_QKEY)),
            Step(IBV_QPS_RTR, IBV_QPS_RTS): (mask(IBV_QP_SQ_PSN), later), Step(IBV_QPS_RTS, IBV_QPS_RTS): (0, later),
        ]
    }()

    private static let unreliableSteps: Steps = {
        let first = mask(IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_ACCESS_FLAGS)
        let later = mask(IBV_QP_CUR_STATE, IBV_QP_ALT_PATH, IBV_QP_ACCESS_FLAGS, IBV_QP_PATH_MIG_STATE)
        return [
            Step(IBV_QPS_RESET, IBV_QPS_INIT): (first, 0), Step(IBV_QPS_INIT, IBV_QPS_INIT): (0, first),
            Step(IBV_QPS_INIT, IBV_QPS_RTR): (
                mask(IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_DEST_QPN, IBV_QP_RQ_PSN),
                mask(IBV_QP_ALT_PATH, IBV_QP_ACCESS_FLAGS, IBV_QP_PKEY_INDEX)
            ),
            Step(IBV_QPS_RTR, IBV_QPS_RTS): (mask(IBV_QP_SQ_PSN), later), Step(IBV_QPS_RTS, IBV_QPS_RTS): (0, later),
        ]
    }()

    private static let reliableSteps: Steps = {
        let first = mask(IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_ACCESS_FLAGS)
        let later = mask(
            IBV_QP_CUR_STATE, IBV_QP_ALT_PATH, IBV_QP_ACCESS_FLAGS, IBV_QP_MIN_RNR_TIMER, IBV_QP_PATH_MIG_STATE)
        return [
            Step(IBV_QPS_RESET, IBV_QPS_INIT): (first, 0),
            Step(IBV_QPS_INIT, IBV_QPS_INIT): (0, first),
            Step(IBV_QPS_INIT, IBV_QPS_RTR): (
                mask(
                    IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_DEST_QPN, IBV_QP_RQ_PSN, IBV_QP_MAX_DEST_RD_ATOMIC,
                    IBV_QP_MIN_RNR_TIMER), mask(IBV_QP_ALT_PATH, IBV_QP_ACCESS_FLAGS, IBV_QP_PKEY_INDEX)
            ),
            Step(IBV_QPS_RTR, IBV_QPS_RTS): (
                mask(
                    IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_SQ_PSN, IBV_QP_MAX_QP_RD_ATOMIC), later
            ),
            Step(IBV_QPS_RTS, IBV_QPS_RTS): (0, later),
        ]
    }()

    /// drivers/infiniband/core/verbs.c:ib_modify_qp_is_ok, then the change itself.
    func modify(_ new: ibv_qp_attr, _ mask: UInt32) throws(Errno) {
        let current = QueuePair.mask(IBV_QP_STATE, IBV_QP_CUR_STATE)
        guard mask & IBV_QP_CUR_STATE.rawValue == 0 || new.cur_qp_state == state else { throw Errno(EINVAL) }
        let next = mask & IBV_QP_STATE.rawValue != 0 ? new.qp_state : state
        let rest = mask & ~current
        if next == IBV_QPS_RESET || next == IBV_QPS_ERR {
            guard rest == 0 else { throw Errno(EINVAL) }
            return next == IBV_QPS_RESET ? reset() : fail()
        }
        guard let step = steps[Step(state, next)] else { throw Errno(EINVAL) }
        guard rest & step.required == step.required else { throw Errno(EINVAL) }
        guard rest & ~(step.required | step.optional) == 0 else { throw Errno(EINVAL) }
        // core/uverbs_cmd.c:modify_qp
        guard rest & IBV_QP_PORT.rawValue == 0 || new.port_num == 1 else { throw Errno(EINVAL) }
        guard rest & IBV_QP_PATH_MTU.rawValue == 0 || takes(mtu: new.path_mtu) else { throw Errno(EINVAL) }
        take(new, rest)
        state = next
    }

    /// Path MTUs are 1 (256 bytes) to 5 (4096). The kernel gets one byte of the number; rxe checks the upper bound only.
    /// hw/mlx5/qp.c:__mlx5_ib_modify_qp, sw/rxe/rxe_qp.c:rxe_qp_chk_attr
    private func takes(mtu: ibv_mtu) -> Bool {
        let code = UInt8(truncatingIfNeeded: mtu.rawValue)
        return code <= 5 && (code > 0 || domain.context.nic.driver == .rxe)
    }

    private func take(_ new: ibv_qp_attr, _ mask: UInt32) {
        func has(_ bit: ibv_qp_attr_mask) -> Bool { mask & bit.rawValue != 0 }
        if has(IBV_QP_ACCESS_FLAGS) { attributes.qp_access_flags = new.qp_access_flags }
        if has(IBV_QP_QKEY) { attributes.qkey = new.qkey }
        if has(IBV_QP_AV) { attributes.ah_attr = new.ah_attr }
        if has(IBV_QP_PATH_MTU) { attributes.path_mtu = new.path_mtu }
        if has(IBV_QP_TIMEOUT) { attributes.timeout = new.timeout }
        if has(IBV_QP_RETRY_CNT) { attributes.retry_cnt = new.retry_cnt }
        if has(IBV_QP_RNR_RETRY) { attributes.rnr_retry = new.rnr_retry }
        if has(IBV_QP_MIN_RNR_TIMER) { attributes.min_rnr_timer = new.min_rnr_timer }
        if has(IBV_QP_MAX_QP_RD_ATOMIC) { attributes.max_rd_atomic = new.max_rd_atomic }
        if has(IBV_QP_MAX_DEST_RD_ATOMIC) { attributes.max_dest_rd_atomic = new.max_dest_rd_atomic }
        if has(IBV_QP_DEST_QPN) { attributes.dest_qp_num = new.dest_qp_num }
    }

    private func reset() {
        state = IBV_QPS_RESET
        attributes = ibv_qp_attr()
        sends = []
        receives = []
        sendsPosted = 0
        receivesPosted = 0
        silent = 0
        sendQueue.forget(self)
        receiveQueue.forget(self)
    }

    /// The error state: what is posted ends with IBV_WC_WR_FLUSH_ERR.
    func fail() {
        state = IBV_QPS_ERR
        let (sends, receives) = (self.sends, self.receives)
        self.sends = []
        self.receives = []
        for send in sends { complete(send, IBV_WC_WR_FLUSH_ERR) }
        for receive in receives { complete(receive, IBV_WC_WR_FLUSH_ERR) }
        // sw/rxe/rxe_resp.c:flush_recv_queue
        if shared != nil { domain.context.raise(IBV_EVENT_QP_LAST_WQE_REACHED, of: UInt64(number)) }
    }

    // MARK: Completions

    /// vendor_err of a completion: mlx5's code beside the status; 0 with other drivers.
    private func vendorError(_ status: ibv_wc_status) -> UInt32 {
        guard nic.driver == .mlx5 else { return 0 }
        switch status {
        case IBV_WC_WR_FLUSH_ERR: return 0xf9
        case IBV_WC_REM_ACCESS_ERR: return 0x88
        case IBV_WC_RETRY_EXC_ERR: return 0x81
        default: return 0
        }
    }

    private func entry(_ id: UInt64, _ status: ibv_wc_status, _ opcode: ibv_wc_opcode, _ length: Int)
        -> CompletionQueue.Entry
    {
        var completion = ibv_wc()
        completion.wr_id = id
        completion.status = status
        completion.opcode = opcode
        completion.vendor_err = vendorError(status)
        completion.byte_len = UInt32(truncatingIfNeeded: length)
        completion.qp_num = number
        return CompletionQueue.Entry(completion: completion, queuePair: self)
    }

    /// Ends a send request. An unsignalled success makes no completion; its place is free with the next one.
    func complete(_ send: Send, _ status: ibv_wc_status) {
        guard status != IBV_WC_SUCCESS || signalsAll || send.flags & IBV_SEND_SIGNALED.rawValue != 0 else {
            silent += 1
            return
        }
        var entry = entry(send.id, status, send.opcode.completion, send.length)
        entry.sends = silent + 1
        silent = 0
        add(entry, to: sendQueue)
    }

    /// The 40 bytes of global route header before a datagram in the receiver's memory.
    static let routeHeader = 40

    /// The next receive request, which is taken; nil where there is none.
    func takeReceive() -> Receive? {
        if let shared { return shared.take() }
        return receives.isEmpty ? nil : receives.removeFirst()
    }

    var hasReceive: Bool { shared.map { $0.hasReceive } ?? !receives.isEmpty }

    /// The end of a receive request; `sender` is who sent a datagram.
    func complete(_ receive: Receive, _ status: ibv_wc_status, from send: Send? = nil, sender: UInt32? = nil) {
        let writes = send?.opcode == IBV_WR_RDMA_WRITE_WITH_IMM
        var entry = entry(
            receive.id, status, writes ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV,
            (send?.length ?? 0) + (sender == nil ? 0 : QueuePair.routeHeader))
        // A shared queue has its place back already.
        entry.receives = shared == nil ? 1 : 0
        entry.isSolicited = send.map { $0.flags & IBV_SEND_SOLICITED.rawValue != 0 } ?? false
        // sw/rxe/rxe_resp.c:do_complete sets it for any message.
        let isGlobal = nic.subnet == nil || send?.datagram?.to.is_global == 1
        if sender != nil && isGlobal || (nic.driver == .rxe && status == IBV_WC_SUCCESS) {
            entry.completion.wc_flags = IBV_WC_GRH.rawValue
        }
        if sender != nil, let subnet = nic.subnet { entry.completion.slid = subnet.lid }
        if let sender { entry.completion.src_qp = sender }
        if let send, send.opcode == IBV_WR_SEND_WITH_IMM || writes {
            entry.completion.wc_flags |= IBV_WC_WITH_IMM.rawValue
            entry.completion.imm_data = send.immediate
        }
        add(entry, to: receiveQueue)
    }

    private func add(_ entry: CompletionQueue.Entry, to queue: CompletionQueue) {
        guard !queue.add(entry) else { return }
        // sw/rxe/rxe_cq.c:rxe_cq_post: a completion that does not fit is lost, and an event says so.
        queue.context.raise(IBV_EVENT_CQ_ERR, of: queue.address)
        if nic.driver != .rxe { queue.isDead = true }
    }
}

extension ibv_wr_opcode {
    /// What its completion is called.
    var completion: ibv_wc_opcode {
        switch self {
        case IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM: IBV_WC_RDMA_WRITE
        case IBV_WR_RDMA_READ: IBV_WC_RDMA_READ
        case IBV_WR_ATOMIC_CMP_AND_SWP: IBV_WC_COMP_SWAP
        case IBV_WR_ATOMIC_FETCH_AND_ADD: IBV_WC_FETCH_ADD
        case IBV_WR_BIND_MW: IBV_WC_BIND_MW
        default: IBV_WC_SEND
        }
    }
}
