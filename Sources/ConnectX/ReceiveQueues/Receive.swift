import VFIOUser

/// The responder's receive requests.
extension DataPath {
    /// Takes a receive request for a message; nil when none waits, false when the queue cannot be read. A request
    /// whose message was given up is used again.
    func takeReceive(_ pair: QueuePair, _ xrcQueue: UInt32) -> Bool? {
        if pair.receive.isActive { return true }
        let room = pair.receive.room()
        if pair.service == .xrc {
            guard let queue = receiveQueues[xrcQueue], queue.kind == .xrc, queue.xrcDomain == pair.xrcDomain else {
                enterError(pair, .invalidRequest)
                return false
            }
            return take(from: queue, pair, room)
        }
        if pair.receiveKind == .shared {
            guard let queue = shared(of: pair) else { return false }
            return take(from: queue, pair, room)
        }
        do throws(DMAFault) {
            guard let (index, size) = try pair.takeReceive(into: room, requester) else { return nil }
            pair.receive.begin(
                index, size: size, domain: pair.domain, completions: pair.receiveCompletions, userIndex: pair.userIndex)
            return true
        } catch {
            enterError(pair, .workQueueCatastrophicError)
            return false
        }
    }

    private func take(
        from queue: SharedReceiveQueue, _ pair: QueuePair, _ room: UnsafeMutableRawBufferPointer
    ) -> Bool? {
        guard let (index, size) = queue.take(into: room, self) else {
            guard queue.isBroken else { return nil }
            enterError(pair, .workQueueCatastrophicError)
            return false
        }
        let isXRC = queue.kind == .xrc
        pair.receive.begin(
            index, size: size, domain: queue.domain, completions: isXRC ? queue.completions : pair.receiveCompletions,
            userIndex: isXRC ? queue.userIndex : pair.userIndex)
        return true
    }

    /// Completes the receive request of a message that has arrived.
    func completeReceive(_ pair: QueuePair, from sender: QueuePair) {
        let request = sender.request
        var entry = CompletionEntry(opcode: .send)
        switch request.opcode {
        case .writeImmediate: entry.opcode = .writeImmediate
        case .sendImmediate: entry.opcode = .sendImmediate
        case .sendInvalidate: entry.opcode = .sendInvalidate
        default: break
        }
        entry.byteCount = UInt32(truncatingIfNeeded: request.length)
        if request.opcode != .send { entry.immediate = request.control.immediate }
        entry.source = sender.number
        entry.isSolicited = request.control.isSolicited
        complete(pair, entry)
    }

    /// Completes the receive request of a message that failed.
    func endReceive(_ pair: QueuePair, _ syndrome: CompletionSyndrome) {
        guard pair.receive.isActive else { return }
        var entry = CompletionEntry(opcode: .responderError)
        entry.syndrome = syndrome
        complete(pair, entry)
    }

    /// Ends the receive request that is taken, with what an entry says of the message.
    func complete(_ pair: QueuePair, _ entry: CompletionEntry) {
        var entry = entry
        entry.queuePair = pair.number
        entry.userIndex = pair.receive.userIndex
        entry.counter = pair.receive.index
        let queue = pair.receive.completions
        pair.receive.end()
        completionQueues[queue]?.add(entry, self)
    }

    /// Invalidates a key for a responder's message; whether that was allowed.
    func invalidate(_ number: UInt32, _ pair: QueuePair) -> Bool {
        guard let key = keys[number >> 8], key.variant == UInt8(truncatingIfNeeded: number), !key.isFree,
            key.allowsRemoteInvalidation, key.domain == pair.domain,
            key.queuePair == 0xff_ffff || key.queuePair == pair.number
        else { return false }
        return key.change { $0[flag: MemoryKeyContext.free] = true }
    }
}
