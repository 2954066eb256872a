/// Event queues.
extension Command {
    private enum Layout {
        static let context = Area("create_eq_in.eq_context_entry", at: 16, count: 64)
        static let masks = [
            Field("create_eq_in.event_bitmask[0]", bit: 0x2c0, width: 64),
            Field("create_eq_in.event_bitmask[1]", bit: 0x300, width: 64),
            Field("create_eq_in.event_bitmask[2]", bit: 0x340, width: 64),
            Field("create_eq_in.event_bitmask[3]", bit: 0x380, width: 64),
        ]
        static let pages = Area("create_eq_in.pas", at: 272, count: 0)
        static let newNumber = Field("create_eq_out.eq_number", bit: 0x58, width: 8)
        static let number = Field("destroy_eq_in.eq_number", bit: 0x58, width: 8)
        static let queried = Field("query_eq_in.eq_number", bit: 0x58, width: 8)
        static let queriedContext = Area("query_eq_out.eq_context_entry", at: 16, count: 64)
        static let queriedMask = Field("query_eq_out.event_bitmask", bit: 0x2c0, width: 64)
    }

    /// mlx5_ifc_eqc_bits.
    private enum Context {
        static let status = Field("eqc.status", bit: 0x0, width: 4)
        static let state = Field("eqc.st", bit: 0x14, width: 4)
        static let pageOffset = Field("eqc.page_offset", bit: 0x54, width: 6)
        static let logSize = Field("eqc.log_eq_size", bit: 0x63, width: 5)
        static let doorbellPage = Field("eqc.uar_page", bit: 0x68, width: 24)
        static let vector = Field("eqc.intr", bit: 0xb4, width: 12)
        static let logPageSize = Field("eqc.log_page_size", bit: 0xc3, width: 5)
        static let consumer = Field("eqc.consumer_counter", bit: 0x148, width: 24)
        static let producer = Field("eqc.producer_counter", bit: 0x168, width: 24)
        static let armed: UInt64 = 0x9
        static let fired: UInt64 = 0xa
    }

    static let eventQueues: [Command] = [
        Command(0x301, "CREATE_EQ", in: 272) { (hca, input, output) throws(CommandFailure) in
            let context = input[Layout.context]
            let logSize = context[int: Context.logSize]
            guard logSize <= hca.capabilities[Capabilities.logMaxEventQueueSize] else {
                throw CommandFailure(.badParameter, "log_eq_size is above log_max_eq_sz")
            }
            let page = context[int: Context.doorbellPage]
            try hca.check(doorbellPage: page)
            let vector = context[int: Context.vector]
            guard vector < hca.vectorCount else { throw CommandFailure(.badIndex, "no such MSI-X vector") }
            let buffer = try PagedBuffer(
                list: input[Layout.pages], logPageSize: context[int: Context.logPageSize],
                offset: context[int: Context.pageOffset], size: EventQueue.entrySize << logSize)
            let number = try hca.events.table.add { number in
                EventQueue(
                    number: number, context: Array(context), uar: page, vector: vector,
                    mask: Layout.masks.map { input[$0] }, buffer: buffer, logSize: logSize)
            }
            output[Layout.newNumber] = UInt64(number)
        },
        Command(0x302, "DESTROY_EQ") { (hca, input, _) throws(CommandFailure) in
            let number = input[int: Layout.number]
            guard hca.events[number] != nil else { throw CommandFailure(.badResource, "no such event queue") }
            guard !hca.isInUse(eventQueue: number) else {
                throw CommandFailure(.badResourceState, "completion queues send their events here")
            }
            _ = hca.events.table.remove(number)
        },
        Command(0x303, "QUERY_EQ", out: 272) { (hca, input, output) throws(CommandFailure) in
            guard let queue = hca.events[input[int: Layout.queried]] else {
                throw CommandFailure(.badResource, "no such event queue")
            }
            let context = output[Layout.queriedContext]
            context.copyBytes(from: queue.context)
            context[Context.status] = queue.status.rawValue
            context[Context.state] = queue.isArmed ? Context.armed : Context.fired
            context[Context.consumer] = UInt64(queue.consumer & 0xff_ffff)
            context[Context.producer] = UInt64(queue.producer & 0xff_ffff)
            output[Layout.queriedMask] = queue.mask[0]
        },
    ]
}
