import VFIOUser

/// Requests of connected queue pairs: the requester's side and the responder's.
/// InfiniBand Architecture Specification, volume 1, chapter 9.
extension DataPath {
    /// Why a request cannot go on with its responder.
    private enum Refusal: Error {
        case step(Step)
    }

    /// Sends, writes, reads and atomic operations.
    func transmit(_ pair: QueuePair, _ budget: inout Int) -> Step {
        guard let (adapter, peer) = responder(of: pair) else {
            return pair.service.isReliable ? waitForAnswer(pair) : .done(0)
        }
        pair.request.tries = 0
        switch pair.request.opcode {
        case .send, .sendImmediate, .sendInvalidate: return deliver(pair, to: peer, of: adapter, &budget)
        case .write, .writeImmediate: return write(pair, to: peer, of: adapter, &budget)
        case .read: return read(pair, from: peer, of: adapter, &budget)
        case .compareSwap, .fetchAdd, .maskedCompareSwap, .maskedFetchAdd:
            return atomic(pair, on: peer, of: adapter, &budget)
        case .nop, .umr: return .done(0)
        }
    }

    /// The adapter that packets to a port reach.
    func adapter(_ lid: UInt16, _ gid: GID?) -> DataPath? {
        if let gid, let found = fabric.adapter(gid) { return found }
        return gid == nil || lid != 0 ? fabric.adapter(lid) : nil
    }

    /// The queue pair at the other end, if it takes what comes.
    private func responder(of pair: QueuePair) -> (DataPath, QueuePair)? {
        guard pair.path.port <= ports.count, ports[pair.path.port - 1].isActive,
            let adapter = adapter(pair.path.remoteLID, pair.path.remoteGID),
            let peer = adapter.queuePairs[pair.path.remoteNumber], peer.service == pair.service, peer.state.receives,
            peer.path.remoteNumber == pair.number,
            adapter.adapter(peer.path.remoteLID, peer.path.remoteGID) === self
        else { return nil }
        return (adapter, peer)
    }

    // MARK: Waiting

    /// Nobody answers: tried again as often as agreed.
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

    /// The responder has no receive request: tried again as often as agreed, 7 being for ever.
    private func waitForReceive(_ pair: QueuePair, _ peer: QueuePair, _ adapter: DataPath) -> Step {
        guard pair.service.isReliable else { return .done(0) }
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

    /// A posted receive request rings no doorbell, so it is looked for meanwhile, ever less often.
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

    /// A send: the responder's next receive request takes it.
    private func deliver(_ pair: QueuePair, to peer: QueuePair, of adapter: DataPath, _ budget: inout Int) -> Step {
        if !pair.request.hasReceive || !peer.receive.isActive {
            switch adapter.takeReceive(peer, pair.request.sharedReceiveQueue) {
            case .none: return waitForReceive(pair, peer, adapter)
            case .some(false): return pair.service.isReliable ? .failed(.remoteOperation) : .done(0)
            case .some(true): break
            }
            pair.request.hasReceive = true
            pair.request.deadline = 0
            pair.request.done = 0
            if pair.request.length > peer.receive.capacity {
                adapter.endReceive(peer, .localLength)
                adapter.enterError(peer, .invalidRequest)
                return pair.service.isReliable ? .failed(.remoteInvalidRequest) : .done(0)
            }
        }
        do throws(Refusal) {
            while pair.request.done < pair.request.length {
                guard budget > 0 else { return .paused }
                let count = min(DataPath.packetSize, pair.request.length - pair.request.done)
                try local(pair, adapter) { () throws(AccessFailure) in
                    try gather(pair, pair.request.done, count, &budget)
                }
                try remote(pair, peer, adapter) { () throws(AccessFailure) in
                    try adapter.scatter(
                        peer.receive.bytes, 0, MemoryReference(receiving: peer), pair.request.done, packet, count,
                        &budget)
                }
                pair.request.done += count
            }
        } catch {
            guard case .step(let step) = error else { return .paused }
            return step
        }
        if pair.request.opcode == .sendInvalidate {
            guard adapter.invalidate(pair.request.control.immediate, peer) else {
                adapter.endReceive(peer, .remoteAccess)
                adapter.enterError(peer, .accessError)
                return .failed(.remoteAccess)
            }
        }
        adapter.completeReceive(peer, from: pair)
        return .done(0)
    }

    private func write(_ pair: QueuePair, to peer: QueuePair, of adapter: DataPath, _ budget: inout Int) -> Step {
        guard peer.path.allowsWrite else { return refuse(pair, peer, adapter) }
        do throws(Refusal) {
            while pair.request.done < pair.request.length {
                guard budget > 0 else { return .paused }
                let count = min(DataPath.packetSize, pair.request.length - pair.request.done)
                try local(pair, adapter) { () throws(AccessFailure) in
                    try gather(pair, pair.request.done, count, &budget)
                }
                try remote(pair, peer, adapter) { () throws(AccessFailure) in
                    try adapter.move(
                        packet, count, adapter.remoteReference(pair, peer, .remoteWrite),
                        at: pair.request.remoteAddress &+ UInt64(pair.request.done),
                        of: pair.request.length - pair.request.done, &budget)
                }
                pair.request.done += count
            }
        } catch {
            guard case .step(let step) = error else { return .paused }
            return step
        }
        guard pair.request.opcode == .writeImmediate else { return .done(0) }
        switch adapter.takeReceive(peer, pair.request.sharedReceiveQueue) {
        case .none: return waitForReceive(pair, peer, adapter)
        case .some(false): return pair.service.isReliable ? .failed(.remoteOperation) : .done(0)
        case .some(true): break
        }
        adapter.completeReceive(peer, from: pair)
        return .done(0)
    }

    private func read(_ pair: QueuePair, from peer: QueuePair, of adapter: DataPath, _ budget: inout Int) -> Step {
        guard peer.path.allowsRead else { return refuse(pair, peer, adapter) }
        do throws(Refusal) {
            while pair.request.done < pair.request.length {
                guard budget > 0 else { return .paused }
                let count = min(DataPath.packetSize, pair.request.length - pair.request.done)
                try remote(pair, peer, adapter) { () throws(AccessFailure) in
                    try adapter.move(
                        packet, count, adapter.remoteReference(pair, peer, .remoteRead),
                        at: pair.request.remoteAddress &+ UInt64(pair.request.done),
                        of: pair.request.length - pair.request.done, &budget)
                }
                try local(pair, adapter) { () throws(AccessFailure) in
                    try scatter(
                        pair.request.bytes, pair.request.segments.lowerBound,
                        MemoryReference(sending: pair, .localWrite),
                        pair.request.done, packet, count, &budget)
                }
                pair.request.done += count
            }
        } catch {
            guard case .step(let step) = error else { return .paused }
            return step
        }
        return .done(pair.request.length)
    }

    /// Eight bytes, of the host's byte order in memory: fetched, and changed where they are. All that may fail is tried
    /// first, so that it happens once.
    private func atomic(_ pair: QueuePair, on peer: QueuePair, of adapter: DataPath, _ budget: inout Int) -> Step {
        guard peer.path.allowsAtomic else { return refuse(pair, peer, adapter) }
        guard pair.request.remoteAddress & 7 == 0 else {
            adapter.enterError(peer, .invalidRequest)
            return .failed(.remoteInvalidRequest)
        }
        do throws(Refusal) {
            try local(pair, adapter) { () throws(AccessFailure) in
                let segment = DataSegment(pair.request.bytes, at: pair.request.segments.lowerBound)
                var reference = MemoryReference(sending: pair, .localWrite)
                reference.key = segment.key
                _ = try keys.span(reference, at: segment.address, 8)
            }
            let cell = UnsafeMutableRawBufferPointer(rebasing: packet[..<8])
            try remote(pair, peer, adapter) { () throws(AccessFailure) in
                let reference = adapter.remoteReference(pair, peer, .atomic)
                let span = try adapter.keys.span(reference, at: pair.request.remoteAddress, 8)
                guard span.length >= 8 else { throw .refused }
                try adapter.exchange(span, cell, isWrite: false)
                let old = cell.loadUnaligned(as: UInt64.self)
                cell.storeBytes(of: pair.request.atomicResult(old), as: UInt64.self)
                try adapter.exchange(span, cell, isWrite: true)
                cell.storeBytes(of: old, as: UInt64.self)
            }
            try local(pair, adapter) { () throws(AccessFailure) in
                try scatter(
                    pair.request.bytes, pair.request.segments.lowerBound, MemoryReference(sending: pair, .localWrite),
                    0,
                    packet, 8, &budget)
            }
        } catch {
            guard case .step(let step) = error else { return .paused }
            return step
        }
        return .done(8)
    }

    // MARK: Failures

    /// The responder must not do it: both ends are in error.
    private func refuse(_ pair: QueuePair, _ peer: QueuePair, _ adapter: DataPath) -> Step {
        guard pair.service.isReliable else { return .done(0) }
        adapter.enterError(peer, .accessError)
        return .failed(.remoteAccess)
    }

    /// Access of the requester's own memory.
    private func local(
        _ pair: QueuePair, _ adapter: DataPath, _ body: () throws(AccessFailure) -> Void
    ) throws(Refusal) {
        do throws(AccessFailure) { try body() } catch {
            if case .absent(let key, let address, let length) = error,
                pageFault(key, address, length, for: pair, of: self, isRemote: false)
            {
                throw .step(.paused)
            }
            throw .step(.failed(.localProtection))
        }
    }

    /// Access of the responder's memory for a request.
    private func remote(
        _ pair: QueuePair, _ peer: QueuePair, _ adapter: DataPath, _ body: () throws(AccessFailure) -> Void
    ) throws(Refusal) {
        let isReliable = pair.service.isReliable
        do throws(AccessFailure) { try body() } catch {
            if case .absent(let key, let address, let length) = error,
                adapter.pageFault(key, address, length, for: pair, of: self, isRemote: true)
            {
                throw .step(.paused)
            }
            if pair.request.opcode.isSend {
                adapter.endReceive(peer, .localProtection)
                adapter.enterError(peer, .workQueueCatastrophicError)
                throw .step(isReliable ? .failed(.remoteOperation) : .done(0))
            }
            guard case .refused = error else {
                if isReliable { adapter.enterError(peer, .workQueueCatastrophicError) }
                throw .step(isReliable ? .failed(.remoteOperation) : .done(0))
            }
            throw .step(refuse(pair, peer, adapter))
        }
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
