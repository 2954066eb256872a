/// Commands that make, change, query and destroy the data path's objects. The control plane gives numbers, and has
/// taken contexts and page lists out of the commands.
extension DataPath {
    // MARK: Completion queues

    /// CREATE_CQ: cqc, 64 bytes.
    func createCompletionQueue(_ number: UInt32, _ context: UnsafeRawBufferPointer, pages: [UInt64]) -> CommandStatus {
        guard completionQueues[number] == nil else { return .badIndex }
        do throws(CommandStatus) {
            completionQueues[number] = try CompletionQueue(number, context: Array(context), pages: pages)
            return .ok
        } catch { return error }
    }

    /// DESTROY_CQ: not while a queue pair or a shared receive queue reports to it.
    func destroyCompletionQueue(_ number: UInt32) -> CommandStatus {
        guard completionQueues[number] != nil else { return .badResource }
        guard
            !queuePairs.contains(where: { $0.sendCompletions == number || $0.receiveCompletions == number }),
            !receiveQueues.contains(where: { $0.kind == .xrc && $0.completions == number })
        else { return .resourceBusy }
        completionQueues[number] = nil
        return .ok
    }

    /// MODIFY_CQ: `pages` are a new buffer's, for op_mod 1.
    func modifyCompletionQueue(
        _ number: UInt32, select: UInt32, _ context: UnsafeRawBufferPointer, pages: [UInt64]?
    ) -> CommandStatus {
        guard let queue = completionQueues[number] else { return .badResource }
        guard context.count == CompletionQueueContext.size else { return .badInputLength }
        if let pages { return queue.resize(Array(context), pages: pages, self) }
        queue.modify(select, Array(context))
        return .ok
    }

    // MARK: Queue pairs

    /// CREATE_QP: qpc, 232 bytes.
    func createQueuePair(_ number: UInt32, _ context: UnsafeRawBufferPointer, pages: [UInt64]) -> CommandStatus {
        guard queuePairs[number] == nil else { return .badIndex }
        do throws(CommandStatus) {
            let pair = try QueuePair(number, context: Array(context), pages: pages)
            queuePairs[number] = pair
            if pair.service == .subnetManagement || pair.service == .generalServices { specialPairs.append(number) }
            return .ok
        } catch { return error }
    }

    /// DESTROY_QP
    func destroyQueuePair(_ number: UInt32) -> CommandStatus {
        guard let pair = queuePairs[number] else { return .badResource }
        pair.clear()
        pair.state = .reset
        specialPairs.removeAll { $0 == number }
        for (group, members) in multicast where members.contains(number) { detach(number, from: group) }
        queuePairs[number] = nil
        return .ok
    }

    /// QUERY_QP: qpc as it is now; nil where there is none.
    func queryQueuePair(_ number: UInt32) -> [UInt8]? {
        guard let pair = queuePairs[number] else { return nil }
        var bytes = pair.context
        bytes[QueuePairContext.state] = pair.state.rawValue
        bytes[QueuePairContext.hwSqWqebbCounter] = UInt64(pair.sendConsumer)
        bytes[QueuePairContext.hwRqCounter] = UInt64(pair.receiveConsumer)
        return bytes
    }

    // MARK: Receive queues

    /// CREATE_SRQ, CREATE_XRC_SRQ and CREATE_RMP: srqc, xrc_srqc or rmpc. Their numbers are of one
    /// space, as drivers keep them in one table.
    func createReceiveQueue(
        _ number: UInt32, _ kind: SharedReceiveQueue.Kind, _ context: UnsafeRawBufferPointer, pages: [UInt64]
    ) -> CommandStatus {
        guard receiveQueues[number] == nil else { return .badIndex }
        do throws(CommandStatus) {
            receiveQueues[number] = try SharedReceiveQueue(number, kind, context: Array(context), pages: pages)
            return .ok
        } catch { return error }
    }

    /// DESTROY_SRQ, DESTROY_XRC_SRQ and DESTROY_RMP: not while a queue pair receives from it.
    func destroyReceiveQueue(_ number: UInt32, _ kind: SharedReceiveQueue.Kind) -> CommandStatus {
        guard let queue = receiveQueues[number], queue.kind == kind else { return .badResource }
        guard kind == .xrc || !queuePairs.contains(where: { shared(of: $0) === queue }) else { return .resourceBusy }
        receiveQueues[number] = nil
        return .ok
    }

    /// ARM_RQ, ARM_XRC_SRQ and MODIFY_RMP: the limit below which it is told once.
    func armReceiveQueue(_ number: UInt32, _ kind: SharedReceiveQueue.Kind, limit: UInt16) -> CommandStatus {
        guard let queue = receiveQueues[number], queue.kind == kind else { return .badResource }
        queue.arm(limit, self)
        return .ok
    }

    /// The queue that a queue pair shares.
    func shared(of pair: QueuePair) -> SharedReceiveQueue? {
        pair.receiveKind == .shared ? receiveQueues[pair.sharedReceiveQueue] : nil
    }

    // MARK: Multicast

    /// ATTACH_TO_MCG
    func attach(_ number: UInt32, to group: GID) -> CommandStatus {
        guard let pair = queuePairs[number] else { return .badResource }
        guard pair.service == .datagram else { return .badParameter }
        guard multicast[group, default: []].count < 64 else { return .exceedsLimit }
        if !multicast[group, default: []].contains(number) { multicast[group, default: []].append(number) }
        return .ok
    }

    /// DETACH_FROM_MCG
    @discardableResult
    func detach(_ number: UInt32, from group: GID) -> CommandStatus {
        guard multicast[group]?.contains(number) == true else { return .badResource }
        multicast[group]?.removeAll { $0 == number }
        if multicast[group]?.isEmpty == true { multicast[group] = nil }
        return .ok
    }
}
