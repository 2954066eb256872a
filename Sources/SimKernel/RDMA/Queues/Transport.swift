import CKernel
import Glibc
import Kernel

/// What a NIC does with posted requests, at once: the requester's side and the responder's.
/// InfiniBand Architecture Specification, volume 1, chapters 9 and 10.
extension QueuePair {
    /// How a request ended; nil where it waits for a receive request of the peer.
    private typealias Outcome = ibv_wc_status?

    /// Works the send queue off, in order.
    func progress() {
        while state == IBV_QPS_RTS, let send = sends.first {
            guard let status = execute(send) else { return }
            // A queue pair that is its own peer may have failed as responder, and flushed this request too.
            // sw/rxe/rxe_comp.c:rxe_completer
            guard state == IBV_QPS_RTS else { return }
            sends.removeFirst()
            complete(send, status)
            if status != IBV_WC_SUCCESS { fail() }
        }
    }

    /// A receive request came; a peer may have waited for it.
    func resumePeer() {
        guard let peer = waiting else { return }
        waiting = nil
        peer.progress()
    }

    private func execute(_ send: Send) -> Outcome {
        if send.opcode == IBV_WR_BIND_MW { return send.window.map(bind) ?? IBV_WC_LOC_QP_OP_ERR }
        // sw/rxe/rxe_opcode.c:rxe_wr_opcode_info; IBTA table 38
        if type == IBV_QPT_UD, ![IBV_WR_SEND, IBV_WR_SEND_WITH_IMM].contains(send.opcode) {
            return IBV_WC_LOC_QP_OP_ERR
        }
        if type == IBV_QPT_UC, send.isFetching { return IBV_WC_LOC_QP_OP_ERR }
        // sw/rxe/rxe_req.c:check_init_depth: a requester that may have no such request under way never sends it. mlx5 ignores 0
        // (hw/mlx5/qp.c:__mlx5_ib_modify_qp).
        if type == IBV_QPT_RC, send.isFetching, nic.driver == .rxe, attributes.max_rd_atomic == 0 { return nil }
        guard send.length <= nic.longestMessage else { return IBV_WC_LOC_LEN_ERR }
        // rxe's requester stops at once, and flushes this request with the rest.
        guard let bytes = gather(send) else {
            return nic.driver == .rxe ? IBV_WC_WR_FLUSH_ERR : IBV_WC_LOC_PROT_ERR
        }
        if type == IBV_QPT_UD { return sendDatagram(bytes, send) }
        if type == IBV_QPT_UC { return sendUnreliably(bytes, send) }
        guard let peer = kernel.uverbs.peer(of: self) else {
            // sw/rxe/rxe_req.c: without a timeout no timer runs, and nothing ends it.
            if attributes.timeout == 0 { return nil }
            // The longest that a request is tried: 4.096 us * 2^timeout, each time.
            let tries = UInt64(attributes.retry_cnt) + 1
            kernel.pass(tries * 4096 << UInt64(min(attributes.timeout, 31)))
            return IBV_WC_RETRY_EXC_ERR
        }
        if let fault = send.fault {
            switch suffer(fault, peer) {
            case .ends(let status): return status
            case .waits: return nil
            case .goesOn: break
            }
        }
        // sw/rxe/rxe_resp.c:check_resource
        if send.isFetching, peer.nic.driver == .rxe, peer.attributes.max_dest_rd_atomic == 0 {
            peer.fail()
            return IBV_WC_REM_INV_REQ_ERR
        }
        switch send.opcode {
        case IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM: return write(bytes, send, peer)
        case IBV_WR_SEND, IBV_WR_SEND_WITH_IMM: return deliver(bytes, send, peer)
        case IBV_WR_RDMA_READ: return read(send, peer)
        default: return atomic(send, peer)
        }
    }

    // MARK: Injected faults

    private enum Suffered {
        case goesOn, waits
        case ends(ibv_wc_status)
    }

    /// What an injected fault makes of a request, with the time that repeated tries take.
    private func suffer(_ fault: CompletionFault.Kind, _ peer: QueuePair) -> Suffered {
        switch fault {
        case .ends(let status):
            let ofResponder = [IBV_WC_REM_INV_REQ_ERR, IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_OP_ERR]
            if ofResponder.contains(ibv_wc_status(status)) { peer.fail() }
            return .ends(ibv_wc_status(status))
        case .lost(let tries):
            // Without a timeout nothing is sent again, and nothing ends it.
            guard attributes.timeout > 0 else { return .waits }
            let allowed = Int(attributes.retry_cnt)
            let waits = UInt64(min(tries, allowed + 1))
            kernel.pass(waits * 4096 << UInt64(min(attributes.timeout, 31)))
            return tries > allowed ? .ends(IBV_WC_RETRY_EXC_ERR) : .goesOn
        case .notReady(let tries):
            let allowed = attributes.rnr_retry == 7 ? Int.max : Int(attributes.rnr_retry)
            let timer = QueuePair.rnrTimers[Int(peer.attributes.min_rnr_timer) & 31]
            kernel.pass(UInt64(min(tries, allowed)) * timer)
            return tries > allowed ? .ends(IBV_WC_RNR_RETRY_EXC_ERR) : .goesOn
        }
    }

    /// Nanoseconds by the timer's code. InfiniBand Architecture Specification, 9.7.5.2.8, table 45.
    private static let rnrTimers: [UInt64] = [
        65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
        6144, 8192, 12288, 16384, 24576, 32768, 49152,
    ].map { $0 * 10_000 }

    // MARK: Local memory

    /// A region of this queue pair's domain that has the piece and grants `access`.
    private func region(_ piece: Piece, _ access: Access) -> MemoryRegion? {
        guard let region = kernel.uverbs.region(key: piece.key), region.domain === domain,
            region.access.contains(access), region.contains(piece.address, piece.length)
        else { return nil }
        return region
    }

    /// The message of a write or a send; nil where a key does not allow it. Empty where it goes the other way: the
    /// requester's memory is looked at when the response comes. sw/rxe/rxe_comp.c:do_read, do_atomic
    private func gather(_ send: Send) -> [UInt8]? {
        if let inline = send.inline { return inline }
        guard !send.isFetching else { return [] }
        // A piece may say 4 GiB, so it is checked before room is made. An empty piece needs no key: libmlx5 leaves it out
        // (providers/mlx5/qp.c:_mlx5_post_send), rxe moves nothing (sw/rxe/rxe_mr.c:copy_data).
        guard send.pieces.allSatisfy({ $0.length == 0 || region($0, []) != nil }) else { return nil }
        var bytes = [UInt8](repeating: 0, count: send.length)
        return move(&bytes, send.pieces, toMemory: false) ? bytes : nil
    }

    private func move(_ bytes: inout [UInt8], _ pieces: [Piece], toMemory: Bool) -> Bool {
        bytes.withUnsafeMutableBytes { bytes in
            var done = 0
            for piece in pieces where done < bytes.count {
                guard let region = region(piece, toMemory ? .localWrite : []) else { return false }
                let part = bytes[done..<min(done + piece.length, bytes.count)]
                guard
                    region.transfer(
                        UnsafeMutableRawBufferPointer(rebasing: part), piece.address, toMemory: toMemory, kernel)
                else { return false }
                done += part.count
            }
            return true
        }
    }

    // MARK: The responder

    /// What the peer may do through this queue pair.
    private var access: Access { Access(rawValue: Int32(bitPattern: attributes.qp_access_flags)) }

    /// What of the peer's a request names, by a region's key or a window's; it must grant `access`, and so must the peer's
    /// queue pair.
    private func remote(_ send: Send, _ length: Int, _ access: Access, _ peer: QueuePair) -> Target? {
        guard peer.access.contains(access) else { return nil }
        guard let region = kernel.uverbs.region(key: send.remoteKey) else {
            return peer.target(window: send.remoteKey, send.remoteAddress, length, access)
        }
        guard region.domain === peer.domain, region.access.contains(access), region.contains(send.remoteAddress, length)
        else { return nil }
        return Target(region: region, address: send.remoteAddress)
    }

    /// The port's active MTU (ibv_query_port), in bytes.
    private var pathMTU: Int { nic.mtu.bytes }

    /// A request without the right ends the responder's queue pair too.
    private func refused(_ send: Send, _ peer: QueuePair) -> ibv_wc_status {
        // sw/rxe/rxe_resp.c:get_rkey_violation_state: no event where a receive request could carry the error.
        let takesReceive = send.opcode == IBV_WR_RDMA_WRITE_WITH_IMM && send.length <= pathMTU
        if !takesReceive { peer.domain.context.raise(IBV_EVENT_QP_ACCESS_ERR, of: UInt64(peer.number)) }
        peer.fail()
        return IBV_WC_REM_ACCESS_ERR
    }

    /// The key allows the access, but the memory is gone: revoked or unmapped. The requester violated nothing
    /// (InfiniBand Architecture Specification, 9.7.5.2.4: remote operational error), but irdma has ended the key itself.
    private func unreachable(_ send: Send, _ peer: QueuePair) -> ibv_wc_status {
        guard !peer.nic.driver.diesWhenInvalidated else { return refused(send, peer) }
        peer.fail()
        return IBV_WC_REM_OP_ERR
    }

    private func write(_ bytes: [UInt8], _ send: Send, _ peer: QueuePair) -> Outcome {
        let hasImmediate = send.opcode == IBV_WR_RDMA_WRITE_WITH_IMM
        guard !hasImmediate || peer.hasReceive else { return wait(for: peer) }
        if !bytes.isEmpty {
            var bytes = bytes
            guard let target = remote(send, bytes.count, .remoteWrite, peer) else { return refused(send, peer) }
            guard bytes.withUnsafeMutableBytes({ target.region.transfer($0, target.address, toMemory: true, kernel) })
            else { return unreachable(send, peer) }
        }
        if hasImmediate, let receive = peer.takeReceive() { peer.complete(receive, IBV_WC_SUCCESS, from: send) }
        return IBV_WC_SUCCESS
    }

    private func deliver(_ bytes: [UInt8], _ send: Send, _ peer: QueuePair) -> Outcome {
        guard let receive = peer.takeReceive() else { return wait(for: peer) }
        guard bytes.count <= receive.pieces.reduce(0, { $0 + $1.length }) else {
            // sw/rxe/rxe_resp.c:send_data_in calls that a malformed request, the specification a length error.
            peer.complete(receive, peer.nic.driver == .rxe ? IBV_WC_LOC_QP_OP_ERR : IBV_WC_LOC_LEN_ERR)
            peer.fail()
            return nic.driver == .rxe ? IBV_WC_REM_OP_ERR : IBV_WC_REM_INV_REQ_ERR
        }
        var bytes = bytes
        guard peer.move(&bytes, receive.pieces, toMemory: true) else {
            peer.complete(receive, IBV_WC_LOC_PROT_ERR)
            peer.fail()
            return IBV_WC_REM_OP_ERR
        }
        peer.complete(receive, IBV_WC_SUCCESS, from: send)
        return IBV_WC_SUCCESS
    }

    private func read(_ send: Send, _ peer: QueuePair) -> Outcome {
        guard send.length > 0 else { return IBV_WC_SUCCESS }
        var bytes = [UInt8](repeating: 0, count: send.length)
        guard let target = remote(send, bytes.count, .remoteRead, peer) else { return refused(send, peer) }
        guard bytes.withUnsafeMutableBytes({ target.region.transfer($0, target.address, toMemory: false, kernel) })
        else { return unreachable(send, peer) }
        return move(&bytes, send.pieces, toMemory: true) ? IBV_WC_SUCCESS : IBV_WC_LOC_PROT_ERR
    }

    /// Fetches eight bytes, and adds to them, or replaces them where they are as expected.
    private func atomic(_ send: Send, _ peer: QueuePair) -> Outcome {
        guard send.remoteAddress & 7 == 0, send.length == 8 else {
            peer.fail()
            return IBV_WC_REM_INV_REQ_ERR
        }
        var old = [UInt8](repeating: 0, count: 8)
        guard let target = remote(send, 8, .remoteAtomic, peer) else { return refused(send, peer) }
        guard old.withUnsafeMutableBytes({ target.region.transfer($0, target.address, toMemory: false, kernel) })
        else { return unreachable(send, peer) }
        let value = old.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        var new = value &+ send.operands.0
        if send.opcode == IBV_WR_ATOMIC_CMP_AND_SWP { new = value == send.operands.0 ? send.operands.1 : value }
        _ = withUnsafeMutableBytes(of: &new) { target.region.transfer($0, target.address, toMemory: true, kernel) }
        return move(&old, send.pieces, toMemory: true) ? IBV_WC_SUCCESS : IBV_WC_LOC_PROT_ERR
    }

    /// The peer has no receive request: the request is tried again rnr_retry times; 7 is without end.
    private func wait(for peer: QueuePair) -> Outcome {
        guard attributes.rnr_retry == 7 else { return IBV_WC_RNR_RETRY_EXC_ERR }
        if let shared = peer.shared { shared.wait(self) } else { peer.waiting = self }
        return nil
    }

    // MARK: Without acknowledgement

    /// Success once it was sent. The responder drops what it may not do.
    private func sendUnreliably(_ bytes: [UInt8], _ send: Send) -> ibv_wc_status {
        guard let peer = kernel.uverbs.peer(of: self) else { return IBV_WC_SUCCESS }
        let isWrite = send.opcode == IBV_WR_RDMA_WRITE || send.opcode == IBV_WR_RDMA_WRITE_WITH_IMM
        let needsReceive = send.opcode != IBV_WR_RDMA_WRITE
        guard !needsReceive || peer.hasReceive else { return IBV_WC_SUCCESS }
        if isWrite {
            if !bytes.isEmpty, remote(send, bytes.count, .remoteWrite, peer) == nil { return IBV_WC_SUCCESS }
            _ = write(bytes, send, peer)
        } else {
            _ = deliver(bytes, send, peer)
        }
        return IBV_WC_SUCCESS
    }

    /// sw/rxe/rxe_recv.c:check_keys, rxe_resp.c:send_data_in; longer than the port's MTU it goes nowhere: of rxe unnoticed
    /// (rxe_req.c), of hardware it is a local length error (InfiniBand Architecture Specification, 9.9.2.3).
    private func sendDatagram(_ bytes: [UInt8], _ send: Send) -> ibv_wc_status {
        if bytes.count > pathMTU, nic.driver != .rxe { return IBV_WC_LOC_LEN_ERR }
        guard let datagram = send.datagram, bytes.count <= pathMTU,
            let peer = kernel.uverbs.datagramPeer(number: datagram.number, at: datagram.to),
            peer.attributes.qkey == (datagram.key >> 31 == 1 ? attributes.qkey : datagram.key),
            let receive = peer.takeReceive()
        else { return IBV_WC_SUCCESS }
        var message = [UInt8](repeating: 0, count: QueuePair.routeHeader) + bytes
        guard message.count <= receive.pieces.reduce(0, { $0 + $1.length }) else {
            peer.complete(receive, IBV_WC_LOC_LEN_ERR)
            peer.fail()
            return IBV_WC_SUCCESS
        }
        guard peer.move(&message, receive.pieces, toMemory: true) else {
            peer.complete(receive, IBV_WC_LOC_PROT_ERR)
            peer.fail()
            return IBV_WC_SUCCESS
        }
        peer.complete(receive, IBV_WC_SUCCESS, from: send, sender: number)
        return IBV_WC_SUCCESS
    }
}

extension QueuePair.Send {
    /// Whether the local memory is written, not read.
    var isFetching: Bool {
        [IBV_WR_RDMA_READ, IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(opcode)
    }
}

extension Topology.NIC {
    /// max_msg_sz of its port, in bytes. sw/rxe/rxe_param.h:RXE_PORT_MAX_MSG_SZ; of mlx5 what log_max_msg commonly says.
    var longestMessage: Int { driver == .rxe ? 1 << 31 : 1 << 30 }

    /// The MTU of its port: InfiniBand's longest, and what fits a usual Ethernet's 1500 bytes.
    var mtu: ibv_mtu { subnet == nil ? IBV_MTU_1024 : IBV_MTU_4096 }
}

extension ibv_mtu {
    /// Of a packet's payload.
    var bytes: Int { 128 << Int(rawValue) }
}
