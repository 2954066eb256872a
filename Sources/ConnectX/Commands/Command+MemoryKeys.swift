/// Memory keys, and the page faults of those that are pageable.
extension Command {
    private enum Layout {
        static let context = Area("create_mkey_in.memory_key_mkey_entry", at: 16, count: 64)
        static let isPageable = Field("create_mkey_in.pg_access", bit: 0x60, width: 1)
        static let octwords = Field("create_mkey_in.translations_octword_actual_size", bit: 0x300, width: 32)
        static let translations = Area("create_mkey_in.klm_pas_mtt", at: 272, count: 0)
        static let newIndex = Field("create_mkey_out.mkey_index", bit: 0x48, width: 24)
        static let index = Field("destroy_mkey_in.mkey_index", bit: 0x48, width: 24)
        static let queried = Field("query_mkey_in.mkey_index", bit: 0x48, width: 24)
        static let queriedContext = Area("query_mkey_out.memory_key_mkey_entry", at: 16, count: 64)
        static let isError = Field("mem_page_fault_info.error", bit: 0x0, width: 1)
        static let tokenHigh = Field("mem_page_fault_info.fault_token_47_32", bit: 0x10, width: 16)
        static let tokenLow = Field("mem_page_fault_info.fault_token_31_0", bit: 0x20, width: 32)
        static let fault = Area("page_fault_resume_in.page_fault_info", at: 8, count: 8)
    }

    static let memoryKeys: [Command] = [
        Command(0x200, "CREATE_MKEY", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            try hca.check(protectionDomain: context[int: MemoryKeyContext.pd])
            // A free key has no translations yet; other keys come with as many entries as the command says.
            let list = input[Layout.translations]
            let octwords = input[int: Layout.octwords]
            let isFree = context[flag: MemoryKeyContext.free]
            guard isFree || octwords <= list.count / 16 else {
                throw CommandFailure(.badInputLength, "fewer translations than told")
            }
            try hca.checkDeviceMemory(context)
            let translations = UnsafeRawBufferPointer(rebasing: list[..<(isFree ? 0 : octwords * 16)])
            let index = try hca.dataPath.keys.create(
                context, translations: translations, isPageable: input[flag: Layout.isPageable])
            output[Layout.newIndex] = UInt64(index)
        },
        Command(0x202, "DESTROY_MKEY") { (hca, input, _) throws(CommandFailure) in
            try hca.dataPath.keys.destroy(input[int: Layout.index])
        },
        Command(0x201, "QUERY_MKEY", out: 304) { (hca, input, output) throws(CommandFailure) in
            guard let key = hca.dataPath.keys[input[word: Layout.queried]] else {
                throw CommandFailure(.badResource, "no such memory key")
            }
            output[Layout.queriedContext].copyBytes(from: key.context)
        },
        Command(0x204, "PAGE_FAULT_RESUME") { (hca, input, _) throws(CommandFailure) in
            let fault = input[Layout.fault]
            try hca.dataPath.resume(
                token: fault[Layout.tokenHigh] << 32 | fault[Layout.tokenLow], isError: fault[flag: Layout.isError])
        },
    ]
}
