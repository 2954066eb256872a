/// Commands that change a queue pair's state, by their opcode. include/linux/mlx5/mlx5_ifc.h
enum QueuePairTransition: UInt16 {
    case resetToInit = 0x502
    case initToRTR = 0x503
    case rtrToRTS = 0x504
    case rtsToRTS = 0x505
    case sendErrorToRTS = 0x506
    case toError = 0x507
    case toReset = 0x50a
    case drainedToRTS = 0x50c
    case initToInit = 0x50e

    /// The state that it starts in; nil for any.
    var origin: QueuePair.State? {
        switch self {
        case .resetToInit: .reset
        case .initToRTR, .initToInit: .initialized
        case .rtrToRTS: .readyToReceive
        case .rtsToRTS: .readyToSend
        case .sendErrorToRTS: .sendError
        case .drainedToRTS: .sendDrained
        case .toError, .toReset: nil
        }
    }

    var target: QueuePair.State {
        switch self {
        case .resetToInit, .initToInit: .initialized
        case .initToRTR: .readyToReceive
        case .rtrToRTS, .rtsToRTS, .sendErrorToRTS, .drainedToRTS: .readyToSend
        case .toError: .error
        case .toReset: .reset
        }
    }

    /// Fields that it takes always.
    var fields: [Field] {
        typealias Context = QueuePairContext
        let path = Context.primaryPath
        switch self {
        case .resetToInit:
            return [
                Context.pmState, Context.rre, Context.rwe, Context.rae, Context.atomicMode, Context.qKey,
                Context.counterSetId, Context.dethSqpn, AddressPath.pkeyIndex.at(path),
                AddressPath.vhcaPortNum.at(path),
            ]
        case .initToRTR:
            return [
                Context.mtu, Context.logMsgMax, Context.remoteQpn, Context.nextRcvPsn, Context.logRraMax,
                Context.minRnrNak,
            ]
        case .rtrToRTS:
            return [
                Context.nextSendPsn, Context.logSraMax, Context.retryCount, Context.rnrRetry,
                AddressPath.ackTimeout.at(path),
            ]
        default: return []
        }
    }
}

/// Which optional fields a transition takes: include/linux/mlx5/qp.h:enum mlx5_qp_optpar
private enum OptionalParameters {
    /// The fields of each bit.
    static let fields: [(bit: UInt32, fields: [Field])] = [
        (1 << 1, [QueuePairContext.rre]),
        (1 << 2, [QueuePairContext.rae, QueuePairContext.atomicMode]),
        (1 << 3, [QueuePairContext.rwe]),
        (1 << 4, [AddressPath.pkeyIndex.at(QueuePairContext.primaryPath)]),
        (1 << 5, [QueuePairContext.qKey]),
        (1 << 6, [QueuePairContext.minRnrNak]),
        (1 << 8, [QueuePairContext.logSraMax]),
        (1 << 9, [QueuePairContext.logRraMax]),
        (1 << 10, [QueuePairContext.pmState]),
        (1 << 12, [QueuePairContext.retryCount]),
        (1 << 13, [QueuePairContext.rnrRetry]),
        (1 << 14, [AddressPath.ackTimeout.at(QueuePairContext.primaryPath)]),
        (1 << 16, [AddressPath.vhcaPortNum.at(QueuePairContext.primaryPath)]),
        (1 << 25, [QueuePairContext.counterSetId]),
    ]
    static let primaryPath: UInt32 = 1 << 7
}

extension DataPath {
    /// One of the commands that change a queue pair: its qpc, and opt_param_mask.
    func modifyQueuePair(
        _ number: Int, _ transition: QueuePairTransition, _ context: UnsafeRawBufferPointer, optional: UInt32
    ) throws(CommandFailure) {
        guard let pair = queuePairs[number] else { throw CommandFailure(.badResource, "no such queue pair") }
        if let origin = transition.origin, pair.state != origin {
            throw CommandFailure(.badQueuePairState, "the queue pair is in another state")
        }
        switch transition {
        case .toReset:
            pair.clear()
            pair.state = .reset
            return
        case .toError:
            if pair.state != .reset { enterError(pair, nil) }
            return
        default: break
        }
        guard context.count == QueuePairContext.size else {
            throw CommandFailure(.badInputLength, "a queue pair's context has 232 bytes")
        }
        var fields = transition.fields
        for (bit, more) in OptionalParameters.fields where optional & bit != 0 { fields += more }
        pair.context.withUnsafeMutableBytes { old in
            for field in fields { old[field] = context[field] }
            let takesPath = transition == .initToRTR && !pair.service.isDatagram
            guard takesPath || optional & OptionalParameters.primaryPath != 0 else { return }
            // The partition's index stays unless it is named.
            let start = QueuePairContext.primaryPath
            let partition = old[AddressPath.pkeyIndex.at(start)]
            UnsafeMutableRawBufferPointer(rebasing: old[start..<start + AddressPath.size]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: context[start..<start + AddressPath.size]))
            if optional & 1 << 4 == 0 { old[AddressPath.pkeyIndex.at(start)] = partition }
        }
        pair.decode()
        pair.state = transition.target
        if pair.state == .readyToSend { schedule(pair) }
    }

    /// Puts a queue pair into the error state: both queues are flushed. Raises `event` where the driver did not ask for it.
    func enterError(_ pair: QueuePair, _ event: EventType?) {
        guard pair.state != .error else { return }
        pair.state = .error
        pair.wait = .none
        pair.idleLooks = 0
        if let event { events.raise(.queuePair(event, pair.number)) }
        if pair.receiveKind == .shared { events.raise(.queuePair(.lastWorkRequestReached, pair.number)) }
        schedule(pair)
    }
}
