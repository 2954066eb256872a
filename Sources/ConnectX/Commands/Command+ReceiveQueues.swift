/// Shared receive queues: the plain ones, those of XRC domains, and receive memory pools.
extension Command {
    private enum Layout {
        static let context = Area("create_srq_in.srq_context_entry", at: 16, count: 64)
        static let pages = Area("create_srq_in.pas", at: 272, count: 0)
        static let queriedContext = Area("query_srq_out.srq_context_entry", at: 16, count: 64)
        static let poolContext = Area("create_rmp_in.ctx", at: 32, count: 240)
        static let poolPages = Area("create_rmp_in.ctx.wq.pas", at: 272, count: 0)
        static let queriedPool = Area("query_rmp_out.rmp_context", at: 32, count: 240)
        // In the same place of all these commands.
        static let number = Field("destroy_srq_in.srqn", bit: 0x48, width: 24)
        static let newNumber = Field("create_srq_out.srqn", bit: 0x48, width: 24)
        static let limit = Field("arm_rq_in.lwm", bit: 0x70, width: 16)
        /// ARM_RQ's kinds, and what of a pool MODIFY_RMP may change.
        static let sharedReceiveQueue: UInt64 = 1
        static let poolMask = Field("modify_rmp_in.bitmask", bit: 0x80, width: 64)
        static let lowWaterMark: UInt64 = 1
    }

    static let receiveQueues: [Command] = [
        Command(0x700, "CREATE_SRQ", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            try hca.check(protectionDomain: context[int: SharedReceiveQueueContext.pd])
            output[Layout.newNumber] = UInt64(
                try hca.dataPath.createReceiveQueue(.shared, context, list: input[Layout.pages]))
        },
        Command(0x705, "CREATE_XRC_SRQ", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            try hca.check(protectionDomain: context[int: XRCSharedReceiveQueueContext.pd])
            try hca.check(xrcDomain: context[int: XRCSharedReceiveQueueContext.xrcd])
            try hca.check(completionQueue: context[int: XRCSharedReceiveQueueContext.cqn])
            output[Layout.newNumber] = UInt64(
                try hca.dataPath.createReceiveQueue(.xrc, context, list: input[Layout.pages]))
        },
        Command(0x90c, "CREATE_RMP", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.poolContext]
            try hca.check(protectionDomain: context[int: ReceiveMemoryPoolContext.pd])
            output[Layout.newNumber] = UInt64(
                try hca.dataPath.createReceiveQueue(.pool, context, list: input[Layout.poolPages]))
        },
        Command(0x701, "DESTROY_SRQ", destroy(.shared)),
        Command(0x706, "DESTROY_XRC_SRQ", destroy(.xrc)),
        Command(0x90e, "DESTROY_RMP", destroy(.pool)),
        Command(0x702, "QUERY_SRQ", out: 272, query(.shared, Layout.queriedContext)),
        Command(0x707, "QUERY_XRC_SRQ", out: 272, query(.xrc, Layout.queriedContext)),
        Command(0x90f, "QUERY_RMP", out: 272, query(.pool, Layout.queriedPool)),
        Command(0x703, "ARM_RQ") { (hca, input, _) throws(CommandFailure) in
            guard input[CommandHeader.modifier] == Layout.sharedReceiveQueue else {
                throw CommandFailure(.badParameter, "only shared receive queues are armed")
            }
            try hca.arm(input[int: Layout.number], .shared, input[Layout.limit])
        },
        Command(0x708, "ARM_XRC_SRQ") { (hca, input, _) throws(CommandFailure) in
            try hca.arm(input[int: Layout.number], .xrc, input[Layout.limit])
        },
        Command(0x90d, "MODIFY_RMP", in: 272) { (hca, input, _) throws(CommandFailure) in
            guard input[Layout.poolMask] & Layout.lowWaterMark != 0 else { return }
            try hca.arm(input[int: Layout.number], .pool, input[Layout.poolContext][ReceiveMemoryPoolContext.lwm])
        },
    ]

    private typealias Run =
        @Sendable (HCA, UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void

    private static func destroy(_ kind: SharedReceiveQueue.Kind) -> Run {
        { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.destroyReceiveQueue(input[int: Layout.number], kind)
        }
    }

    private static func query(_ kind: SharedReceiveQueue.Kind, _ context: Area) -> Run {
        { (hca, input, output) throws(CommandFailure) in
            output[context].copyBytes(from: try hca.dataPath.receiveQueue(input[int: Layout.number], kind).queried)
        }
    }
}

extension HCA {
    fileprivate func arm(_ number: Int, _ kind: SharedReceiveQueue.Kind, _ limit: UInt64) throws(CommandFailure) {
        try dataPath.armReceiveQueue(number, kind, limit: UInt16(truncatingIfNeeded: limit))
    }
}
