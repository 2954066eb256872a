import VFIOUser

/// The result of a turn of a request.
enum Step {
    /// It is done; bytes that came, where it fetched some.
    case done(Int)
    case failed(CompletionSyndrome)
    /// It is not done: it waits, or its budget is used up.
    case paused
}

/// The send queue: requests in their order, one at a time.
extension DataPath {
    /// Gives a queue pair its turn, and takes the cost from `budget`.
    func progress(_ pair: QueuePair, _ budget: inout Int) {
        guard pair.wait == .none else { return }
        switch pair.state {
        case .readyToSend: send(pair, &budget)
        case .error, .sendError: flush(pair, &budget)
        case .reset, .initialized, .readyToReceive, .sendDrained: return
        }
    }

    private func send(_ pair: QueuePair, _ budget: inout Int) {
        guard pair.sendCount > 0 else { return }
        guard let posted = postedSends(pair) else { return }
        // A counter ahead by more than the queue's size is no valid one.
        guard Int(posted &- pair.sendConsumer) <= pair.sendCount else {
            return enterError(pair, .workQueueCatastrophicError)
        }
        while pair.state == .readyToSend, pair.wait == .none {
            guard pair.request.isActive || pair.sendConsumer != posted else { return }
            guard budget > 0, !isLate else { return schedule(pair) }
            budget -= 256 + keys.takeDebt()
            if !pair.request.isActive {
                guard fetch(pair) else { return }
                if let syndrome = parse(pair) {
                    finish(pair, .failed(syndrome), posted)
                    continue
                }
            }
            let step = execute(pair, &budget)
            if case .paused = step {
                if pair.wait == .none, pair.state == .readyToSend { schedule(pair) }
                return
            }
            finish(pair, step, posted)
        }
    }

    /// The producer's counter, which the host keeps in memory.
    private func postedSends(_ pair: QueuePair) -> UInt16? {
        do throws(DMAFault) {
            return UInt16(truncatingIfNeeded: try requester.word(pair.record &+ 4))
        } catch {
            enterError(pair, .workQueueCatastrophicError)
            return nil
        }
    }

    /// Copies the next entry, so that later changes by the host have no effect.
    private func fetch(_ pair: QueuePair) -> Bool {
        do throws(DMAFault) {
            let room = pair.request.room()
            let block = WorkRequestLayout.block
            try pair.readSend(
                pair.sendConsumer, into: UnsafeMutableRawBufferPointer(rebasing: room[..<block]), requester)
            let control = ControlSegment(UnsafeRawBufferPointer(room))
            let size = control.units * WorkRequestLayout.unit
            if size > block, size <= pair.sendCount * block {
                try pair.readSend(
                    pair.sendConsumer &+ 1, into: UnsafeMutableRawBufferPointer(rebasing: room[block..<size]),
                    requester)
            }
            pair.request.begin(control, size: size <= pair.sendCount * block ? size : 0)
            return true
        } catch {
            enterError(pair, .workQueueCatastrophicError)
            return false
        }
    }

    /// Finds the parts of an entry; returns the syndrome of an entry that is malformed.
    private func parse(_ pair: QueuePair) -> CompletionSyndrome? {
        let bytes = pair.request.bytes
        guard bytes.count >= WorkRequestLayout.control,
            let opcode = WorkRequestOpcode(rawValue: pair.request.control.opcode),
            pair.service.allows(opcode)
        else { return .localOperation }
        pair.request.opcode = opcode
        if opcode == .nop || opcode == .umr { return nil }
        var place = WorkRequestLayout.control
        if pair.service == .xrc {
            guard place + WorkRequestLayout.xrc <= bytes.count else { return .localOperation }
            pair.request.sharedReceiveQueue = bytes.word(place) & 0xff_ffff
            place += WorkRequestLayout.xrc
        }
        if pair.service.isDatagram {
            guard let vector = AddressVector(bytes, at: place) else { return .localOperation }
            place += vector.size
        }
        if opcode.isWrite || opcode.isFetch {
            guard place + WorkRequestLayout.remoteAddress <= bytes.count else { return .localOperation }
            pair.request.remoteAddress = bytes.longWord(place)
            pair.request.remoteKey = bytes.word(place + 8)
            place += WorkRequestLayout.remoteAddress
        }
        if opcode.isAtomic {
            place += opcode.operandSize
            guard place <= bytes.count else { return .localOperation }
        }
        pair.request.setSegments(place..<bytes.count)
        guard let length = messageLength(bytes, place, isFetch: opcode.isFetch) else { return .localOperation }
        pair.request.length = length
        if opcode.isAtomic, length != 8 { return .localLength }
        return length > 1 << pair.path.messageShift ? .localLength : nil
    }

    private func messageLength(_ bytes: UnsafeRawBufferPointer, _ start: Int, isFetch: Bool) -> Int? {
        var length = 0
        var place = start
        while place + 4 <= bytes.count {
            if let inline = DataSegment.inlineLength(bytes, at: place) {
                guard !isFetch, place + 4 + inline <= bytes.count else { return nil }
                length += inline
                place = (place + 4 + inline + 15) & ~15
            } else {
                guard place + WorkRequestLayout.data <= bytes.count else { return nil }
                length += DataSegment(bytes, at: place).length
                place += WorkRequestLayout.data
            }
        }
        return length
    }

    private func execute(_ pair: QueuePair, _ budget: inout Int) -> Step {
        if let failure = pair.request.failure {
            return failure == .remoteOperation ? endUnreachable(pair) : .failed(failure)
        }
        switch pair.request.opcode {
        case .nop: return .done(0)
        case .umr: return changeMemoryKey(pair, &budget)
        default: break
        }
        return pair.service.isDatagram ? sendDatagram(pair, &budget) : transmit(pair, &budget)
    }

    /// Ends the request in progress, with a completion where one is due. An entry that claims to reach beyond the posted ones
    /// is cut there, or the queue would be processed without end.
    private func finish(_ pair: QueuePair, _ step: Step, _ posted: UInt16) {
        let request = pair.request
        var entry = CompletionEntry(opcode: .requester)
        entry.workRequest = request.control.opcode
        entry.queuePair = pair.number
        entry.userIndex = pair.userIndex
        entry.counter = pair.sendConsumer
        pair.request.end()
        let size = max(request.control.units, 1) * WorkRequestLayout.unit
        let blocks = UInt16((size + WorkRequestLayout.block - 1) / WorkRequestLayout.block)
        pair.sendConsumer &+= min(blocks, posted &- pair.sendConsumer)
        switch step {
        case .done(let count):
            guard request.control.isSignaled else { return }
            entry.byteCount = UInt32(truncatingIfNeeded: count)
        case .failed(let syndrome):
            entry.opcode = .requesterError
            entry.syndrome = syndrome
            if syndrome != .flushed { stop(pair) }
        case .paused: return
        }
        completionQueues[pair.sendCompletions]?.add(entry, self)
    }

    /// Stops a queue pair after a failed request: later requests are flushed. Unreliable transports go on receiving.
    private func stop(_ pair: QueuePair) {
        if pair.service.isReliable || pair.service == .registration { return enterError(pair, nil) }
        guard pair.state == .readyToSend else { return }
        pair.state = .sendError
        schedule(pair)
    }

    // MARK: In error

    /// Flushes both queues. Receive requests posted later ring no doorbell, so the queue pair is looked at again.
    private func flush(_ pair: QueuePair, _ budget: inout Int) {
        var entries = 0
        let sends = pair.sendCount > 0 ? flushable(pair, at: 4) : nil
        if pair.request.isActive {
            finish(pair, .failed(.flushed), sends ?? pair.sendConsumer &+ 1)
            entries += 1
        }
        if let posted = sends {
            if Int(posted &- pair.sendConsumer) > pair.sendCount { pair.sendConsumer = posted }
            while pair.sendConsumer != posted {
                guard budget > 0, !isLate else { return schedule(pair) }
                budget -= 256
                guard fetch(pair) else { return }
                finish(pair, .failed(.flushed), posted)
                entries += 1
            }
        }
        guard pair.state == .error else { return }
        if pair.receive.isActive {
            endReceive(pair, .flushed)
            entries += 1
        }
        if pair.receiveKind == .own, let posted = flushable(pair, at: 0) {
            if Int(posted &- pair.receiveConsumer) > pair.receiveCount { pair.receiveConsumer = posted }
            while pair.receiveConsumer != posted {
                guard budget > 0, !isLate else { return schedule(pair) }
                budget -= 256
                var entry = CompletionEntry(opcode: .responderError)
                entry.queuePair = pair.number
                entry.userIndex = pair.userIndex
                entry.counter = pair.receiveConsumer
                entry.syndrome = .flushed
                pair.receiveConsumer &+= 1
                completionQueues[pair.receiveCompletions]?.add(entry, self)
                entries += 1
            }
        }
        pair.idleLooks = entries > 0 ? 0 : min(pair.idleLooks + 1, 6)
        wait(pair, until: requester.clock() &+ 500_000 << UInt64(pair.idleLooks))
    }

    /// The producer's counter in the doorbell record; nil where the record cannot be read, and nothing can be
    /// flushed.
    private func flushable(_ pair: QueuePair, at offset: UInt64) -> UInt16? {
        guard let word = try? requester.word(pair.record &+ offset) else { return nil }
        return UInt16(truncatingIfNeeded: word)
    }
}

extension QueuePair.Service {
    /// Whether a send queue of its kind takes such requests.
    func allows(_ opcode: WorkRequestOpcode) -> Bool {
        switch self {
        case .reliable, .xrc: true
        case .unreliable: !opcode.isFetch && opcode != .sendInvalidate
        case .datagram, .subnetManagement, .generalServices:
            opcode == .send || opcode == .sendImmediate || opcode == .nop
        case .registration: opcode == .umr || opcode == .nop
        }
    }
}
