/// Queue pairs, and the multicast groups that they are in.
extension Command {
    private enum Layout {
        static let context = Area("create_qp_in.qpc", at: 24, count: 232)
        static let pages = Area("create_qp_in.pas", at: 272, count: 0)
        static let newNumber = Field("create_qp_out.qpn", bit: 0x48, width: 24)
        static let number = Field("destroy_qp_in.qpn", bit: 0x48, width: 24)
        static let queried = Field("query_qp_in.qpn", bit: 0x48, width: 24)
        static let queriedContext = Area("query_qp_out.qpc", at: 24, count: 232)
        // At the same bits of all transitions; two of them have no context.
        static let modified = Field("rst2init_qp_in.qpn", bit: 0x48, width: 24)
        static let optional = Field("rst2init_qp_in.opt_param_mask", bit: 0x80, width: 32)
        static let newContext = Area("rst2init_qp_in.qpc", at: 24, count: 232)
        static let member = Field("attach_to_mcg_in.qpn", bit: 0x48, width: 24)
        static let group = Area("attach_to_mcg_in.multicast_gid", at: 16, count: 16)
    }

    static let queuePairs: [Command] = [
        Command(0x500, "CREATE_QP", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            try hca.checkQueuePair(context)
            output[Layout.newNumber] = UInt64(try hca.dataPath.createQueuePair(context, list: input[Layout.pages]))
        },
        Command(0x501, "DESTROY_QP") { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.destroyQueuePair(input[int: Layout.number])
        },
        Command(0x50b, "QUERY_QP", out: 464) { (hca, input, output) throws(CommandFailure) in
            output[Layout.queriedContext].copyBytes(
                from: try hca.dataPath.queryQueuePair(input[int: Layout.queried]))
        },
        Command(0x502, "RST2INIT_QP", in: 272, transition(.resetToInit)),
        Command(0x50e, "INIT2INIT_QP", in: 272, transition(.initToInit)),
        Command(0x503, "INIT2RTR_QP", in: 272, transition(.initToRTR)),
        Command(0x504, "RTR2RTS_QP", in: 272, transition(.rtrToRTS)),
        Command(0x505, "RTS2RTS_QP", in: 272, transition(.rtsToRTS)),
        Command(0x506, "SQERR2RTS_QP", in: 272, transition(.sendErrorToRTS)),
        Command(0x50c, "SQD_RTS_QP", in: 272, transition(.drainedToRTS)),
        Command(0x507, "2ERR_QP", transition(.toError)),
        Command(0x50a, "2RST_QP", transition(.toReset)),
        Command(0x806, "ATTACH_TO_MCG", in: 32) { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.attach(input[int: Layout.member], to: GID(input[Layout.group], at: 0))
        },
        Command(0x807, "DETACH_FROM_MCG", in: 32) { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.detach(input[int: Layout.member], from: GID(input[Layout.group], at: 0))
        },
    ]

    private static func transition(
        _ transition: QueuePairTransition
    ) -> @Sendable (HCA, UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void {
        { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.modifyQueuePair(
                input[int: Layout.modified], transition, input[Layout.newContext],
                optional: input[word: Layout.optional])
        }
    }
}
