import VFIOUser

/// Requests of connected queue pairs: the requester's side and the responder's.
/// InfiniBand Architecture Specification, volume 1, chapter 9.
extension DataPath {
    /// Why a request does not go on now, or at all.
    struct Halt: Error {
        let step: Step
        /// Its responder has dropped it; without acknowledgements the requester does not know.
        var isDropped = false

        init(_ step: Step) { self.step = step }

        static let dropped = {
            var halt = Halt(.done(0))
            halt.isDropped = true
            return halt
        }()
    }

    /// The queue pair at the other end, and its NIC.
    private struct Responder {
        let nic: DataPath
        let pair: QueuePair
    }

    /// Sends, writes, reads and atomic operations.
    func transmit(_ pair: QueuePair, _ budget: inout Int) -> Step {
        do throws(Halt) {
            switch pair.request.opcode {
            case .send, .sendImmediate, .sendInvalidate, .write, .writeImmediate:
                try deliver(pair, &budget)
                return .done(0)
            case .read: try read(pair, &budget)
            case .compareSwap, .fetchAdd, .maskedCompareSwap, .maskedFetchAdd: try atomic(pair, &budget)
            case .nop, .umr: return .done(0)
            }
            return .done(pair.request.length)
        } catch { return error.step }
    }

    /// The NIC that packets to a port reach.
    func nic(_ lid: UInt16, _ gid: GID?) -> DataPath? {
        if let gid, let found = fabric.nic(gid) { return found }
        return gid == nil || lid != 0 ? fabric.nic(lid) : nil
    }

    /// The queue pair at the other end, if it takes what comes; else the request waits.
    private func responder(of pair: QueuePair) throws(Halt) -> Responder {
        guard pair.path.port <= ports.count, ports[pair.path.port - 1].isActive,
            let nic = nic(pair.path.remoteLID, pair.path.remoteGID),
            let peer = nic.queuePairs[pair.path.remoteNumber], peer.service == pair.service, peer.state.receives,
            peer.path.remoteNumber == pair.number,
            nic.nic(peer.path.remoteLID, peer.path.remoteGID) === self
        else { throw pair.service.isReliable ? Halt(waitForAnswer(pair)) : .dropped }
        pair.request.tries = 0
        return Responder(nic: nic, pair: peer)
    }

    // MARK: Waiting

    /// No answer: the request is tried again, as often as the queue pair's retry count says.
    private func waitForAnswer(_ pair: QueuePair) -> Step {
        let isOver = pair.request.deadline != 0 && requester.clock() >= pair.request.deadline
        if pair.request.deadline == 0 || isOver {
            if isOver { pair.request.tries += 1 }
            // A timeout of 0 is none.
            if pair.path.timeout != 0, pair.request.tries > pair.path.retries {
                return .failed(.transportRetryExceeded)
            }
            let delay: UInt64 = pair.path.timeout == 0 ? 1_000_000_000 : 4096 << UInt64(pair.path.timeout)
            pair.request.deadline = requester.clock() &+ delay
            pair.request.looks = 0
        }
        return look(pair)
    }

    /// The responder has no receive request: the request is tried again, as often as the RNR retry count says; 7 is
    /// for ever.
    private func waitForReceive(_ pair: QueuePair, _ peer: QueuePair) -> Step {
        if pair.request.deadline == 0 || requester.clock() >= pair.request.deadline {
            if pair.path.receiverRetries != 7 {
                guard pair.request.receiverTries < pair.path.receiverRetries else {
                    return .failed(.receiverNotReadyRetryExceeded)
                }
                pair.request.receiverTries += 1
            }
            pair.request.deadline = requester.clock() &+ DataPath.receiverDelays[peer.path.receiverTimer & 31] * 10_000
            pair.request.looks = 0
        }
        return look(pair)
    }

    /// Posting a receive request rings no doorbell, so the receive queue is polled, at growing intervals.
    private func look(_ pair: QueuePair) -> Step {
        let step: UInt64 = 50_000 << UInt64(min(pair.request.looks, 5))
        pair.request.looks += 1
        wait(pair, until: min(pair.request.deadline, requester.clock() &+ step))
        return .paused
    }

    /// What min_rnr_nak means, in 10 us. IBTA 1.4, table 45
    private static let receiverDelays: [UInt64] = [
        65536, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096,
        6144, 8192, 12288, 16384, 24576, 32768, 49152,
    ]

    // MARK: Requests

    /// A send or a write. Each packet is read from the requester's memory before anything of it is sent, and again for each
    /// further try: what is wrong there is found whatever the responder is like.
    private func deliver(_ pair: QueuePair, _ budget: inout Int) throws(Halt) {
        repeat {
            let count = try nextPacket(of: pair, budget)
            // Between two tries nothing is sent.
            let isSent = pair.request.deadline == 0 || requester.clock() >= pair.request.deadline
            if isSent { try gatherPacket(pair, count, &budget) }
            if !pair.request.isDropped {
                do throws(Halt) { try arrive(pair, count, isGathered: isSent, &budget) } catch {
                    guard error.isDropped else { throw error }
                    pair.request.isDropped = true
                }
            }
            pair.request.done += count
            pair.request.deadline = 0
        } while pair.request.done < pair.request.length
    }

    /// Bytes of the next packet. Of a write with immediate data the last one on the path is by itself: it alone takes a
    /// receive request.
    private func nextPacket(of pair: QueuePair, _ budget: Int) throws(Halt) -> Int {
        guard budget > 0 else { throw Halt(.paused) }
        let rest = pair.request.length - pair.request.done
        guard pair.request.opcode == .writeImmediate, rest > pair.path.mtu else {
            return min(DataPath.packetSize, rest)
        }
        return min(DataPath.packetSize, (rest - 1) / pair.path.mtu * pair.path.mtu)
    }

    private func gatherPacket(_ pair: QueuePair, _ count: Int, _ budget: inout Int) throws(Halt) {
        try local(pair) { () throws(AccessFailure) in try gather(pair, pair.request.done, count, &budget) }
    }

    /// The responder's side of a packet of a send or a write.
    private func arrive(
        _ pair: QueuePair, _ count: Int, isGathered: Bool, _ budget: inout Int
    ) throws(Halt) {
        let responder = try responder(of: pair)
        let (nic, peer) = (responder.nic, responder.pair)
        let (opcode, done) = (pair.request.opcode, pair.request.done)
        let isLast = done + count == pair.request.length
        if opcode.isWrite, !peer.path.allowsWrite { throw refuse(pair, responder) }
        if opcode.isSend || opcode == .writeImmediate && isLast { try takeReceive(pair, responder) }
        if !isGathered { try gatherPacket(pair, count, &budget) }
        try remote(pair, responder) { () throws(AccessFailure) in
            if opcode.isSend {
                try nic.scatter(
                    peer.receive.bytes, 0, MemoryReference(receiving: peer), done, packet, count, &budget)
            } else {
                try nic.move(
                    packet, count, nic.remoteReference(pair, peer, .remoteWrite),
                    at: pair.request.remoteAddress &+ UInt64(done), of: pair.request.length - done, &budget)
            }
        }
        guard isLast, opcode.needsReceive else { return }
        if opcode == .sendInvalidate, !nic.invalidate(pair.request.control.immediate, peer) {
            nic.endReceive(peer, .remoteAccess)
            throw refuse(pair, responder)
        }
        nic.completeReceive(peer, from: pair)
    }

    /// Takes the responder's next receive request for a message, once.
    private func takeReceive(_ pair: QueuePair, _ responder: Responder) throws(Halt) {
        let (nic, peer) = (responder.nic, responder.pair)
        if pair.request.hasReceive {
            guard !peer.receive.isActive else { return }
            // The responder has been reset meanwhile: the message begins anew.
            pair.request.hasReceive = false
            pair.request.done = 0
            throw Halt(.paused)
        }
        switch nic.takeReceive(peer, pair.request.sharedReceiveQueue) {
        case .none: throw pair.service.isReliable ? Halt(waitForReceive(pair, peer)) : .dropped
        case .some(false): throw ended(pair, .remoteOperation)
        case .some(true): break
        }
        pair.request.hasReceive = true
        guard pair.request.opcode.isSend, pair.request.length > peer.receive.capacity else { return }
        nic.endReceive(peer, .localLength)
        nic.enterError(peer, .invalidRequest)
        throw ended(pair, .remoteInvalidRequest)
    }

    private func read(_ pair: QueuePair, _ budget: inout Int) throws(Halt) {
        let responder = try responder(of: pair)
        let (nic, peer) = (responder.nic, responder.pair)
        guard peer.path.allowsRead else { throw refuse(pair, responder) }
        while pair.request.done < pair.request.length {
            let (done, count) = (pair.request.done, try nextPacket(of: pair, budget))
            try remote(pair, responder) { () throws(AccessFailure) in
                try nic.move(
                    packet, count, nic.remoteReference(pair, peer, .remoteRead),
                    at: pair.request.remoteAddress &+ UInt64(done), of: pair.request.length - done, &budget)
            }
            try scatterResponse(pair, count, &budget)
            pair.request.done += count
        }
    }

    /// Fetches and changes eight bytes, in host byte order. The change happens once, even if the requester then waits for its
    /// own memory.
    private func atomic(_ pair: QueuePair, _ budget: inout Int) throws(Halt) {
        let cell = UnsafeMutableRawBufferPointer(rebasing: packet[..<8])
        if let fetched = pair.request.fetched {
            cell.storeBytes(of: fetched, as: UInt64.self)
        } else {
            let responder = try responder(of: pair)
            let (nic, peer) = (responder.nic, responder.pair)
            guard peer.path.allowsAtomic else { throw refuse(pair, responder) }
            guard pair.request.remoteAddress & 7 == 0 else {
                nic.enterError(peer, .invalidRequest)
                throw ended(pair, .remoteInvalidRequest)
            }
            try remote(pair, responder) { () throws(AccessFailure) in
                let reference = nic.remoteReference(pair, peer, .atomic)
                let span = try nic.keys.span(reference, at: pair.request.remoteAddress, 8)
                guard span.length >= 8 else { throw .refused }
                try nic.exchange(span, cell, isWrite: false)
                let old = cell.loadUnaligned(as: UInt64.self)
                cell.storeBytes(of: pair.request.atomicResult(old), as: UInt64.self)
                try nic.exchange(span, cell, isWrite: true)
                cell.storeBytes(of: old, as: UInt64.self)
                pair.request.fetched = old
            }
        }
        try scatterResponse(pair, 8, &budget)
    }

    /// Writes a response to the requester's memory, whose keys are checked only now.
    private func scatterResponse(_ pair: QueuePair, _ count: Int, _ budget: inout Int) throws(Halt) {
        try local(pair) { () throws(AccessFailure) in
            try scatter(
                pair.request.bytes, pair.request.segments.lowerBound, MemoryReference(sending: pair, .localWrite),
                pair.request.done, packet, count, &budget)
        }
    }

    // MARK: Failures

    /// The end of a request that the responder refuses.
    private func ended(_ pair: QueuePair, _ syndrome: CompletionSyndrome) -> Halt {
        pair.service.isReliable ? Halt(.failed(syndrome)) : .dropped
    }

    /// The responder must not do it: both ends are in error.
    private func refuse(_ pair: QueuePair, _ responder: Responder) -> Halt {
        if pair.service.isReliable { responder.nic.enterError(responder.pair, .accessError) }
        return ended(pair, .remoteAccess)
    }

    /// Access of the requester's own memory.
    func local(_ pair: QueuePair, _ body: () throws(AccessFailure) -> Void) throws(Halt) {
        do throws(AccessFailure) { try body() } catch {
            if case .absent(let key, let address, let length) = error,
                pageFault(key, address, length, for: pair, of: self, isRemote: false)
            {
                throw Halt(.paused)
            }
            throw Halt(.failed(.localProtection))
        }
    }

    /// Access of the responder's memory for a request.
    private func remote(
        _ pair: QueuePair, _ responder: Responder, _ body: () throws(AccessFailure) -> Void
    ) throws(Halt) {
        do throws(AccessFailure) { try body() } catch {
            if case .absent(let key, let address, let length) = error,
                responder.nic.pageFault(key, address, length, for: pair, of: self, isRemote: true)
            {
                throw Halt(.paused)
            }
            if case .refused = error, !pair.request.opcode.isSend { throw refuse(pair, responder) }
            throw unreachable(pair, responder)
        }
    }

    /// The responder cannot reach its own memory: both ends are in error. IBTA 1.4, 9.9.3.1
    private func unreachable(_ pair: QueuePair, _ responder: Responder) -> Halt {
        let (nic, peer) = (responder.nic, responder.pair)
        if pair.request.opcode.isSend { nic.endReceive(peer, .localProtection) }
        if pair.request.opcode.isSend || pair.service.isReliable {
            nic.enterError(peer, .workQueueCatastrophicError)
        }
        return ended(pair, .remoteOperation)
    }

    /// Ends a request whose page fault at the responder was resumed with an error.
    func endUnreachable(_ pair: QueuePair) -> Step {
        do throws(Halt) { throw unreachable(pair, try responder(of: pair)) } catch { return error.step }
    }
}

extension SendRequest {
    /// What an atomic operation leaves of a value.
    func atomicResult(_ old: UInt64) -> UInt64 {
        let place = segments.lowerBound - opcode.operandSize
        let operand = bytes.longWord(place)
        switch opcode {
        case .compareSwap: return old == bytes.longWord(place + 8) ? operand : old
        case .fetchAdd: return old &+ operand
        case .maskedCompareSwap:
            let swapMask = bytes.longWord(place + 16)
            let compareMask = bytes.longWord(place + 24)
            guard (old ^ bytes.longWord(place + 8)) & compareMask == 0 else { return old }
            return old & ~swapMask | operand & swapMask
        default:
            // The mask's bits are the highest of the fields that are added, each for itself.
            let ends = bytes.longWord(place + 8)
            return ((old & ~ends) &+ (operand & ~ends)) ^ ((old ^ operand) & ends)
        }
    }
}
