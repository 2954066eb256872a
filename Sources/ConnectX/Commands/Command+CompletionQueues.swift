/// Completion queues.
extension Command {
    private enum Layout {
        static let context = Area("create_cq_in.cq_context", at: 16, count: 64)
        static let pages = Area("create_cq_in.pas", at: 272, count: 0)
        static let newNumber = Field("create_cq_out.cqn", bit: 0x48, width: 24)
        static let number = Field("destroy_cq_in.cqn", bit: 0x48, width: 24)
        static let queried = Field("query_cq_in.cqn", bit: 0x48, width: 24)
        static let queriedContext = Area("query_cq_out.cq_context", at: 16, count: 64)
        static let modified = Field("modify_cq_in.cqn", bit: 0x48, width: 24)
        static let select = Field(
            "modify_cq_in.modify_field_select_resize_field_select", bit: 0x60, width: 32)
        static let newContext = Area("modify_cq_in.cq_context", at: 16, count: 64)
        static let newPages = Area("modify_cq_in.pas", at: 272, count: 0)
        /// MLX5_CQ_OPMOD_RESIZE
        static let resize: UInt64 = 1
    }

    static let completionQueues: [Command] = [
        Command(0x400, "CREATE_CQ", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            try hca.check(doorbellPage: context[int: CompletionQueueContext.uarPage])
            guard hca.events[context[int: CompletionQueueContext.eqn]] != nil else {
                throw CommandFailure(.badResource, "no such event queue")
            }
            output[Layout.newNumber] = UInt64(
                try hca.dataPath.createCompletionQueue(context, list: input[Layout.pages]))
        },
        Command(0x401, "DESTROY_CQ") { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.destroyCompletionQueue(input[int: Layout.number])
        },
        Command(0x402, "QUERY_CQ", out: 272) { (hca, input, output) throws(CommandFailure) in
            guard let queue = hca.dataPath.completionQueues[input[int: Layout.queried]] else {
                throw CommandFailure(.badResource, "no such completion queue")
            }
            output[Layout.queriedContext].copyBytes(from: queue.queried)
        },
        Command(0x403, "MODIFY_CQ", in: 272) { (hca, input, _) throws(CommandFailure) in
            let isResize = input[CommandHeader.modifier] == Layout.resize
            try hca.dataPath.modifyCompletionQueue(
                input[int: Layout.modified], select: input[word: Layout.select], input[Layout.newContext],
                list: isResize ? input[Layout.newPages] : nil)
        },
    ]
}
