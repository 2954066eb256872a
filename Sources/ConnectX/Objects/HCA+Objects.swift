/// Dependencies between objects: what must exist before one is created, and what is in use and cannot be destroyed.
extension HCA {
    // MARK: What must exist

    func check(doorbellPage number: Int) throws(CommandFailure) {
        guard doorbellPages[number] != nil else { throw CommandFailure(.badResource, "no such UAR") }
    }

    func check(protectionDomain number: Int) throws(CommandFailure) {
        guard protectionDomains[number] != nil else { throw CommandFailure(.badResource, "no such PD") }
    }

    func check(xrcDomain number: Int) throws(CommandFailure) {
        guard xrcDomains[number] != nil else { throw CommandFailure(.badResource, "no such XRC domain") }
    }

    func check(completionQueue number: Int) throws(CommandFailure) {
        guard dataPath.completionQueues[number] != nil else {
            throw CommandFailure(.badResource, "no such completion queue")
        }
    }

    /// A memory key of device memory names one piece of it, or less.
    func checkDeviceMemory(_ context: UnsafeRawBufferPointer) throws(CommandFailure) {
        guard MemoryKey.Mode(context) == .deviceMemory else { return }
        let isWithin = dataPath.deviceMemory.isAllocated(
            context[MemoryKeyContext.startAddr], context[MemoryKeyContext.length])
        guard isWithin, !context[flag: MemoryKeyContext.length64] else {
            throw CommandFailure(.badResource, "no such piece of device memory")
        }
    }

    /// What a queue pair's context names.
    func checkQueuePair(_ context: UnsafeRawBufferPointer) throws(CommandFailure) {
        typealias Context = QueuePairContext
        let service = QueuePair.Service(rawValue: context[Context.st])
        // The driver gives one that only changes memory keys no domain.
        if service != .registration { try check(protectionDomain: context[int: Context.pd]) }
        if !context[flag: Context.noSq] {
            try check(doorbellPage: context[int: Context.uarPage])
            try check(completionQueue: context[int: Context.cqnSnd])
        }
        if service == .xrc { try check(xrcDomain: context[int: Context.xrcd]) }
        switch QueuePair.ReceiveKind(rawValue: context[Context.rqType]) {
        case .own: try check(completionQueue: context[int: Context.cqnRcv])
        case .shared:
            guard dataPath.receiveQueues[context[int: Context.srqn]] != nil else {
                throw CommandFailure(.badResource, "no such shared receive queue")
            }
            // Of an XRC queue pair the shared queue's context names it.
            if service != .xrc { try check(completionQueue: context[int: Context.cqnRcv]) }
        default: break
        }
    }

    // MARK: Who uses it

    func isInUse(doorbellPage number: Int) -> Bool {
        // libmlx5 gives a page back before the kernel destroys the completion queues whose doorbells were there.
        events.table.contains { $0.uar == number }
            || dataPath.queuePairs.contains { $0.hasSendQueue && $0.doorbellPage == number }
    }

    func isInUse(protectionDomain number: Int) -> Bool {
        let domain = UInt32(truncatingIfNeeded: number)
        return dataPath.keys.contains { $0.domain == domain } || dataPath.queuePairs.contains { $0.domain == domain }
            || dataPath.receiveQueues.contains { $0.domain == domain }
    }

    func isInUse(xrcDomain number: Int) -> Bool {
        let domain = UInt32(truncatingIfNeeded: number)
        return dataPath.queuePairs.contains { $0.service == .xrc && $0.xrcDomain == domain }
            || dataPath.receiveQueues.contains { $0.kind == .xrc && $0.xrcDomain == domain }
    }

    /// Bytes of BAR 0.
    func isInUse(deviceMemory start: UInt64, _ size: UInt64) -> Bool {
        dataPath.keys.contains { $0.mode == .deviceMemory && $0.start >= start && $0.start &- start < size }
    }

    func isInUse(eventQueue number: Int) -> Bool {
        dataPath.completionQueues.contains { Int($0.eventQueue) == number }
    }
}
