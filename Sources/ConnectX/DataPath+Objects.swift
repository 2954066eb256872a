/// The data path's part of the commands that create, modify, query and destroy its objects. Contexts and page lists
/// are as they are in a command's input.
extension DataPath {
    // MARK: Memory of the model's own

    /// The most queue pairs of management services: each message to one of them looks through all.
    private static let mostSpecialPairs = 64

    func take(_ bytes: Int) throws(CommandFailure) {
        guard memory + bytes <= mostMemory else {
            throw CommandFailure(.noResources, "no memory for more or longer queues")
        }
        memory += bytes
    }

    func give(_ bytes: Int) { memory -= bytes }

    // MARK: Completion queues

    /// CREATE_CQ. `context` is cqc. Returns the number of the new queue.
    func createCompletionQueue(
        _ context: UnsafeRawBufferPointer, list: UnsafeRawBufferPointer
    ) throws(CommandFailure) -> Int {
        try completionQueues.add { (number) throws(CommandFailure) in
            let queue = try CompletionQueue(UInt32(number), context: Array(context), list: list)
            try take(queue.cost)
            return queue
        }
    }

    /// DESTROY_CQ: not while a queue pair or a shared receive queue reports to it.
    func destroyCompletionQueue(_ number: Int) throws(CommandFailure) {
        guard let queue = completionQueues[number] else {
            throw CommandFailure(.badResource, "no such completion queue")
        }
        let isUsed =
            !queue.reporters.isEmpty
            || receiveQueues.contains { $0.kind == .xrc && $0.completions == queue.number }
        guard !isUsed else { throw CommandFailure(.badResourceState, "queues report to this completion queue") }
        _ = completionQueues.remove(number)
        give(queue.cost)
    }

    /// MODIFY_CQ: the list is a new buffer's, for op_mod 1; nil else.
    func modifyCompletionQueue(
        _ number: Int, select: UInt32, _ context: UnsafeRawBufferPointer, list: UnsafeRawBufferPointer?
    ) throws(CommandFailure) {
        guard let queue = completionQueues[number] else {
            throw CommandFailure(.badResource, "no such completion queue")
        }
        guard let list else { return queue.modify(select, Array(context)) }
        try queue.resize(Array(context), list: list, self)
    }

    // MARK: Queue pairs

    /// CREATE_QP. `context` is qpc. Returns the number of the new queue pair.
    func createQueuePair(
        _ context: UnsafeRawBufferPointer, list: UnsafeRawBufferPointer
    ) throws(CommandFailure) -> Int {
        try queuePairs.add { (number) throws(CommandFailure) in
            let pair = try QueuePair(UInt32(number), context: Array(context), list: list)
            let isSpecial = pair.service == .subnetManagement || pair.service == .generalServices
            guard !isSpecial || specialPairs.count < DataPath.mostSpecialPairs else {
                throw CommandFailure(.limitExceeded, "no more queue pairs of management")
            }
            try take(pair.cost)
            if isSpecial { specialPairs.append(pair.number) }
            for queue in completionQueues(of: pair) { queue.reporters.insert(pair.number) }
            return pair
        }
    }

    /// DESTROY_QP
    func destroyQueuePair(_ number: Int) throws(CommandFailure) {
        guard let pair = queuePairs.remove(number) else { throw CommandFailure(.badResource, "no such queue pair") }
        pair.clear()
        give(pair.cost)
        for queue in completionQueues(of: pair) { queue.reporters.remove(pair.number) }
        pair.state = .reset
        specialPairs.removeAll { $0 == pair.number }
        for group in multicast.keys { remove(pair.number, from: group) }
    }

    /// The completion queues that a queue pair reports to.
    private func completionQueues(of pair: QueuePair) -> [CompletionQueue] {
        [
            pair.hasSendQueue ? completionQueues[pair.sendCompletions] : nil,
            pair.receiveKind != .none ? completionQueues[pair.receiveCompletions] : nil,
        ].compactMap { $0 }
    }

    /// QUERY_QP: qpc as it is now.
    func queryQueuePair(_ number: Int) throws(CommandFailure) -> [UInt8] {
        guard let pair = queuePairs[number] else { throw CommandFailure(.badResource, "no such queue pair") }
        var bytes = pair.context
        bytes[QueuePairContext.state] = pair.state.rawValue
        bytes[QueuePairContext.hwSqWqebbCounter] = UInt64(pair.sendConsumer)
        bytes[QueuePairContext.hwRqCounter] = UInt64(pair.receiveConsumer)
        return bytes
    }

    // MARK: Receive queues

    /// CREATE_SRQ, CREATE_XRC_SRQ and CREATE_RMP: srqc, xrc_srqc or rmpc; its number.
    func createReceiveQueue(
        _ kind: SharedReceiveQueue.Kind, _ context: UnsafeRawBufferPointer, list: UnsafeRawBufferPointer
    ) throws(CommandFailure) -> Int {
        try receiveQueues.add { (number) throws(CommandFailure) in
            let queue = try SharedReceiveQueue(UInt32(number), kind, context: Array(context), list: list)
            try take(queue.cost)
            return queue
        }
    }

    /// DESTROY_SRQ, DESTROY_XRC_SRQ and DESTROY_RMP: not while a queue pair receives from it.
    func destroyReceiveQueue(_ number: Int, _ kind: SharedReceiveQueue.Kind) throws(CommandFailure) {
        let queue = try receiveQueue(number, kind)
        guard !queuePairs.contains(where: { shared(of: $0) === queue }) else {
            throw CommandFailure(.badResourceState, "queue pairs receive from this queue")
        }
        _ = receiveQueues.remove(number)
        give(queue.cost)
    }

    /// ARM_RQ, ARM_XRC_SRQ and MODIFY_RMP: one event is raised when fewer receive requests than `limit` wait.
    func armReceiveQueue(_ number: Int, _ kind: SharedReceiveQueue.Kind, limit: UInt16) throws(CommandFailure) {
        try receiveQueue(number, kind).arm(limit, self)
    }

    /// A receive queue of a kind.
    func receiveQueue(_ number: Int, _ kind: SharedReceiveQueue.Kind) throws(CommandFailure) -> SharedReceiveQueue {
        guard let queue = receiveQueues[number], queue.kind == kind else {
            throw CommandFailure(.badResource, "no such receive queue")
        }
        return queue
    }

    /// The queue that a queue pair shares.
    func shared(of pair: QueuePair) -> SharedReceiveQueue? {
        pair.receiveKind == .shared ? receiveQueues[pair.sharedReceiveQueue] : nil
    }

    // MARK: Multicast

    /// ATTACH_TO_MCG
    func attach(_ number: Int, to group: GID) throws(CommandFailure) {
        guard let pair = queuePairs[number] else { throw CommandFailure(.badResource, "no such queue pair") }
        guard pair.service == .datagram else { throw CommandFailure(.badParameter, "no queue pair of datagrams") }
        var members = multicast[group] ?? []
        guard !members.contains(pair.number) else { return }
        guard members.count < 64, multicast.count < 1 << 16 else {
            throw CommandFailure(.limitExceeded, "no more groups, or members of one")
        }
        members.append(pair.number)
        multicast[group] = members
    }

    /// DETACH_FROM_MCG
    func detach(_ number: Int, from group: GID) throws(CommandFailure) {
        guard remove(UInt32(truncatingIfNeeded: number), from: group) else {
            throw CommandFailure(.badResource, "no member of this group")
        }
    }

    @discardableResult
    private func remove(_ number: UInt32, from group: GID) -> Bool {
        guard let place = multicast[group]?.firstIndex(of: number) else { return false }
        multicast[group]?.remove(at: place)
        if multicast[group]?.isEmpty == true { multicast[group] = nil }
        return true
    }
}
