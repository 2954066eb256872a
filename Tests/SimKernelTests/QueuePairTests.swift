import CKernel
import Glibc
import Kernel
import TestBench
import Testing

@testable import SimKernel

/// Reliable connections of the simulated NIC: InfiniBand Architecture Specification, volume 1, chapters 9 and 10.
@Suite struct QueuePairTests {
    /// Two connected queue pairs of one NIC, host memory that both may use, and a dma-buf with a hint.
    struct Setup {
        let verbs: VerbsTests
        let cq: UnsafeMutablePointer<ibv_cq>
        let a: UnsafeMutablePointer<ibv_qp>
        let b: UnsafeMutablePointer<ibv_qp>
        let memory: UnsafeMutableRawPointer
        let mr: UnsafeMutablePointer<ibv_mr>
        var kernel: SimKernel { verbs.bench.kernel }

        init(_ topology: Topology = .standard, access: Int32 = 15) throws {
            verbs = try VerbsTests(topology)
            cq = try verbs.bench.kernel.call(Verbs.ibv_create_cq, verbs.context, 16, nil)
            a = try Self.queuePair(verbs, cq)
            b = try Self.queuePair(verbs, cq)
            memory = try verbs.bench.memory(4096)
            mr = try verbs.bench.kernel.call(Verbs.ibv_reg_mr, verbs.pd, address(memory), 4096, access)
        }

        static func queuePair(_ verbs: VerbsTests, _ cq: UnsafeMutablePointer<ibv_cq>) throws
            -> UnsafeMutablePointer<ibv_qp>
        {
            var attributes = ibv_qp_init_attr()
            attributes.send_cq = cq
            attributes.recv_cq = cq
            attributes.qp_type = IBV_QPT_RC
            attributes.cap = ibv_qp_cap(
                max_send_wr: 4, max_recv_wr: 4, max_send_sge: 2, max_recv_sge: 2, max_inline_data: 64)
            return try withUnsafeMutablePointer(to: &attributes) {
                try verbs.bench.kernel.call(Verbs.ibv_create_qp, verbs.pd, $0)
            }
        }

        static let first = IBV_QP_STATE.rawValue | 0x38
        static let second = IBV_QP_STATE.rawValue | 0x12_9180
        static let third = IBV_QP_STATE.rawValue | 0x1_2e00

        func step(
            _ qp: UnsafeMutablePointer<ibv_qp>, _ state: ibv_qp_state, _ mask: UInt32, to peer: UInt32 = 0,
            access: UInt32 = 14, rnrRetry: UInt8 = 7, mtu: ibv_mtu = IBV_MTU_1024,
            reads: (UInt8, served: UInt8) = (1, 1)
        ) throws(Errno) {
            var attributes = ibv_qp_attr()
            attributes.qp_state = state
            attributes.port_num = 1
            attributes.qp_access_flags = access
            attributes.path_mtu = mtu
            attributes.dest_qp_num = peer
            attributes.timeout = 14
            attributes.rnr_retry = rnrRetry
            (attributes.max_rd_atomic, attributes.max_dest_rd_atomic) = reads
            withUnsafeMutableBytes(of: &attributes.ah_attr.grh.dgid) {
                $0.copyBytes(from: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1])
            }
            try kernel.call(Verbs.ibv_modify_qp, qp, attributes, Int32(bitPattern: mask))
        }

        func connect(access: UInt32 = 14, rnrRetry: UInt8 = 7, reads: (UInt8, served: UInt8) = (1, 1)) throws {
            for (qp, peer) in [(a, b), (b, a)] {
                try step(qp, IBV_QPS_INIT, Setup.first, access: access)
                try step(qp, IBV_QPS_RTR, Setup.second, to: peer.pointee.qp_num, reads: reads)
                try step(qp, IBV_QPS_RTS, Setup.third, rnrRetry: rnrRetry, reads: reads)
            }
        }

        /// A work request of 64 bytes at the memory's start, to its second half unless told.
        func request(_ opcode: ibv_wr_opcode, _ change: (inout ibv_send_wr) -> Void = { _ in }) -> ibv_send_wr {
            var wr = ibv_send_wr()
            wr.wr_id = 7
            wr.opcode = opcode
            wr.send_flags = IBV_SEND_SIGNALED.rawValue
            wr.wr.rdma.remote_addr = address(memory) + 2048
            wr.wr.rdma.rkey = mr.pointee.rkey
            change(&wr)
            return wr
        }

        func post(_ request: ibv_send_wr, _ pieces: [ibv_sge]? = nil) throws(Errno) {
            var request = request
            var pieces = pieces ?? [ibv_sge(addr: address(memory), length: 64, lkey: mr.pointee.lkey)]
            request.num_sge = Int32(pieces.count)
            try pieces.withUnsafeMutableBufferPointer { (list) throws(Errno) in
                request.sg_list = list.baseAddress
                try withUnsafeMutablePointer(to: &request) { (request) throws(Errno) in
                    try kernel.call(Verbs.ibv_post_send, a, request)
                }
            }
        }

        func receive(_ length: UInt32 = 64) throws(Errno) {
            var piece = ibv_sge(addr: address(memory) + 1024, length: length, lkey: mr.pointee.lkey)
            var request = ibv_recv_wr()
            request.wr_id = 9
            request.num_sge = 1
            try withUnsafeMutablePointer(to: &piece) { (list) throws(Errno) in
                request.sg_list = list
                try withUnsafeMutablePointer(to: &request) { (request) throws(Errno) in
                    try kernel.call(Verbs.ibv_post_recv, b, request)
                }
            }
        }

        func completions() throws -> [ibv_wc] {
            try kernel.call(Verbs.ibv_poll_cq, cq, 16)
        }

        func statuses() throws -> [ibv_wc_status] { try completions().map(\.status) }

        func fill() {
            for index in 0..<64 { memory.storeBytes(of: UInt8(index + 1), toByteOffset: index, as: UInt8.self) }
        }
        func bytes(_ offset: Int) -> [UInt8] {
            Array(UnsafeRawBufferPointer(start: memory + offset, count: 64))
        }
    }

    static let pattern = (1...64).map { UInt8($0) }

    /// A queue pair may have so many reads and atomics under way, and serve so many. sw/rxe/rxe_req.c:check_init_depth,
    /// rxe_resp.c:check_resource; hw/mlx5/qp.c:__mlx5_ib_modify_qp leaves 0 out.
    @Test(arguments: [
        (true, UInt8(1), UInt8(1), [IBV_WC_SUCCESS]), (true, 0, 1, []), (true, 1, 0, [IBV_WC_REM_INV_REQ_ERR]),
        (false, 0, 0, [IBV_WC_SUCCESS]),
    ])
    func readsUnderWayAreLimited(_ isRXE: Bool, _ reads: UInt8, _ served: UInt8, _ ends: [ibv_wc_status]) throws {
        var topology = Topology.standard
        if isRXE { topology.nics[0].driver = .rxe }
        let setup = try Setup(topology)
        try setup.connect(reads: (reads, served: served))
        try setup.post(setup.request(IBV_WR_RDMA_WRITE))
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
        try setup.post(setup.request(IBV_WR_RDMA_READ))
        #expect(try setup.statuses() == ends)
    }

    @Test func writesReadsAndSends() throws {
        let setup = try Setup()
        try setup.connect()
        setup.fill()
        try setup.post(setup.request(IBV_WR_RDMA_WRITE))
        #expect(setup.bytes(2048) == Self.pattern)
        try setup.receive()
        try setup.post(setup.request(IBV_WR_SEND_WITH_IMM) { $0.imm_data = UInt32(0x1234).bigEndian })
        #expect(setup.bytes(1024) == Self.pattern)
        let ends = try setup.completions()
        #expect(ends.map(\.status) == [IBV_WC_SUCCESS, IBV_WC_SUCCESS, IBV_WC_SUCCESS])
        #expect(ends.map(\.opcode) == [IBV_WC_RDMA_WRITE, IBV_WC_RECV, IBV_WC_SEND])
        #expect(UInt32(bigEndian: ends[1].imm_data) == 0x1234 && ends[1].wc_flags == IBV_WC_WITH_IMM.rawValue)
        memset(setup.memory, 0, 64)
        try setup.post(setup.request(IBV_WR_RDMA_READ))
        #expect(setup.bytes(0) == Self.pattern)
    }

    @Test func atomicsFetchThenChange() throws {
        let setup = try Setup()
        try setup.connect()
        let place = setup.memory + 2048
        place.storeBytes(of: 40, as: UInt64.self)
        let piece = [ibv_sge(addr: address(setup.memory), length: 8, lkey: setup.mr.pointee.lkey)]
        func atomic(_ opcode: ibv_wr_opcode, _ operand: UInt64, _ swap: UInt64) throws {
            try setup.post(
                setup.request(opcode) {
                    $0.wr.atomic.remote_addr = address(place)
                    $0.wr.atomic.rkey = setup.mr.pointee.rkey
                    $0.wr.atomic.compare_add = operand
                    $0.wr.atomic.swap = swap
                }, piece)
        }
        try atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 2, 0)
        #expect(setup.memory.load(as: UInt64.self) == 40 && place.load(as: UInt64.self) == 42)
        try atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 41, 9)
        #expect(setup.memory.load(as: UInt64.self) == 42 && place.load(as: UInt64.self) == 42)
        try atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 42, 9)
        #expect(place.load(as: UInt64.self) == 9)
        #expect(try setup.statuses() == [IBV_WC_SUCCESS, IBV_WC_SUCCESS, IBV_WC_SUCCESS])
    }

    @Test func statesWantTheirAttributes() throws {
        let setup = try Setup()
        let step = { (state: ibv_qp_state, mask: UInt32, mtu: ibv_mtu) in
            errno { () throws(Errno) in try setup.step(setup.a, state, mask, to: setup.b.pointee.qp_num, mtu: mtu) }
        }
        let other = ibv_mtu(rawValue: 1024)
        #expect(step(IBV_QPS_RTR, Setup.second, IBV_MTU_1024) == EINVAL)
        #expect(step(IBV_QPS_INIT, Setup.first & ~IBV_QP_PORT.rawValue, IBV_MTU_1024) == EINVAL)
        #expect(step(IBV_QPS_INIT, Setup.first | IBV_QP_AV.rawValue, IBV_MTU_1024) == EINVAL)
        #expect(step(IBV_QPS_INIT, Setup.first, IBV_MTU_1024) == 0)
        #expect(step(IBV_QPS_RTS, Setup.third, IBV_MTU_1024) == EINVAL)
        // The number of bytes is not its code.
        #expect(step(IBV_QPS_RTR, Setup.second, other) == EINVAL)
        #expect(step(IBV_QPS_RTR, Setup.second, IBV_MTU_1024) == 0)
        #expect(errno { () throws(Errno) in try setup.post(setup.request(IBV_WR_RDMA_WRITE)) } == ENOMEM)
        #expect(step(IBV_QPS_RTS, Setup.third, IBV_MTU_1024) == 0)
        #expect(step(IBV_QPS_RESET, IBV_QP_STATE.rawValue, IBV_MTU_1024) == 0)
        #expect(setup.a.pointee.state == IBV_QPS_RESET)
    }

    /// What makes a write fail, and how its completion says so.
    @Test(arguments: [
        ("rkey", IBV_WC_REM_ACCESS_ERR), ("range", IBV_WC_REM_ACCESS_ERR), ("lkey", IBV_WC_LOC_PROT_ERR),
        ("qp access", IBV_WC_REM_ACCESS_ERR), ("mr access", IBV_WC_REM_ACCESS_ERR), ("peer", IBV_WC_RETRY_EXC_ERR),
    ])
    func refusedWritesEndTheConnection(_ what: String, _ status: ibv_wc_status) throws {
        let setup = try Setup(access: what == "mr access" ? 1 : 15)
        try setup.connect(access: what == "qp access" ? 4 : 14)
        if what == "peer" { try setup.kernel.call(Verbs.ibv_destroy_qp, setup.b) }
        let request = setup.request(IBV_WR_RDMA_WRITE) {
            if what == "rkey" { $0.wr.rdma.rkey += 1 }
            if what == "range" { $0.wr.rdma.remote_addr += 2048 - 63 }
            $0.send_flags = 0
        }
        let key = setup.mr.pointee.lkey + (what == "lkey" ? 1 : 0)
        try setup.post(request, [ibv_sge(addr: address(setup.memory), length: 64, lkey: key)])
        #expect(try setup.statuses() == [status])
        #expect(setup.bytes(2048) == [UInt8](repeating: 0, count: 64))
        try setup.post(setup.request(IBV_WR_RDMA_WRITE))
        #expect(try setup.statuses() == [IBV_WC_WR_FLUSH_ERR])
    }

    /// The requester of a read finds what is wrong with its own memory when the response comes: after what the responder
    /// finds. Of a write it is the other way round.
    @Test(
        arguments: [
            (IBV_WR_RDMA_READ, false, IBV_WC_REM_ACCESS_ERR), (IBV_WR_RDMA_READ, true, IBV_WC_LOC_PROT_ERR),
            (IBV_WR_ATOMIC_FETCH_AND_ADD, false, IBV_WC_REM_ACCESS_ERR),
            (IBV_WR_ATOMIC_FETCH_AND_ADD, true, IBV_WC_LOC_PROT_ERR),
            (IBV_WR_RDMA_WRITE, false, IBV_WC_LOC_PROT_ERR),
        ])
    func ownMemoryOfAFetchIsLookedAtLast(
        _ opcode: ibv_wr_opcode, _ isRemoteGood: Bool, _ status: ibv_wc_status
    ) throws {
        let setup = try Setup()
        try setup.connect()
        let key = setup.mr.pointee.rkey + (isRemoteGood ? 0 : 1)
        let request = setup.request(opcode) {
            if opcode == IBV_WR_ATOMIC_FETCH_AND_ADD {
                $0.wr.atomic.remote_addr = address(setup.memory) + 2048
                $0.wr.atomic.compare_add = 5
                $0.wr.atomic.rkey = key
            } else {
                $0.wr.rdma.rkey = key
            }
        }
        try setup.post(request, [ibv_sge(addr: address(setup.memory), length: 8, lkey: setup.mr.pointee.lkey + 1)])
        #expect(try setup.statuses() == [status])
        let isAdded = opcode == IBV_WR_ATOMIC_FETCH_AND_ADD && isRemoteGood
        #expect((setup.memory + 2048).load(as: UInt64.self) == (isAdded ? 5 : 0))
    }

    @Test func aPieceOfNothingNeedsNoKey() throws {
        let setup = try Setup()
        try setup.connect()
        let nothing = ibv_sge(addr: address(setup.memory), length: 0, lkey: setup.mr.pointee.lkey + 1)
        try setup.post(setup.request(IBV_WR_RDMA_WRITE), [nothing])
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
    }

    @Test func aSendWaitsForItsReceiveOrGivesUp() throws {
        let patient = try Setup()
        try patient.connect()
        try patient.post(patient.request(IBV_WR_SEND))
        #expect(try patient.statuses() == [])
        try patient.receive()
        #expect(try patient.statuses() == [IBV_WC_SUCCESS, IBV_WC_SUCCESS])
        let hasty = try Setup()
        try hasty.connect(rnrRetry: 2)
        try hasty.post(hasty.request(IBV_WR_SEND))
        #expect(try hasty.statuses() == [IBV_WC_RNR_RETRY_EXC_ERR])
    }

    @Test func aMessageLongerThanItsReceiveEndsBoth() throws {
        let setup = try Setup()
        try setup.connect()
        try setup.receive(32)
        try setup.post(setup.request(IBV_WR_SEND))
        #expect(try setup.statuses() == [IBV_WC_LOC_LEN_ERR, IBV_WC_REM_INV_REQ_ERR])
    }

    @Test func placesComeBackWithSignalledCompletionsOnly() throws {
        let setup = try Setup()
        try setup.connect()
        let silent = setup.request(IBV_WR_RDMA_WRITE) { $0.send_flags = 0 }
        // Four were asked for: of 320 bytes each, in a queue of 2048.
        for _ in 0..<6 { try setup.post(silent) }
        #expect(errno { () throws(Errno) in try setup.post(silent) } == ENOMEM)
        #expect(try setup.statuses() == [])
        let other = try Setup()
        try other.connect()
        for _ in 0..<5 { try other.post(other.request(IBV_WR_RDMA_WRITE) { $0.send_flags = 0 }) }
        try other.post(other.request(IBV_WR_RDMA_WRITE))
        #expect(errno { () throws(Errno) in try other.post(silent) } == ENOMEM)
        #expect(try other.statuses() == [IBV_WC_SUCCESS])
        for _ in 0..<6 { try other.post(other.request(IBV_WR_RDMA_WRITE) { $0.send_flags = 0 }) }
    }

    @Test func inlineDataNeedsNoKeyAndHasALimit() throws {
        let setup = try Setup()
        try setup.connect()
        setup.fill()
        let inline = setup.request(IBV_WR_RDMA_WRITE) { $0.send_flags |= IBV_SEND_INLINE.rawValue }
        try setup.post(inline, [ibv_sge(addr: address(setup.memory), length: 64, lkey: 0)])
        #expect(setup.bytes(2048) == Self.pattern)
        // What was asked for fills whole blocks: 320 bytes, less 192 and the inline segment's header.
        let most = [ibv_sge(addr: address(setup.memory), length: 124, lkey: 0)]
        #expect(errno { () throws(Errno) in try setup.post(inline, most) } == 0)
        let long = [ibv_sge(addr: address(setup.memory), length: 125, lkey: 0)]
        #expect(errno { () throws(Errno) in try setup.post(inline, long) } == ENOMEM)
    }

    @Test func queuesInUseAreBusy() throws {
        let setup = try Setup()
        #expect(errno { () throws(Errno) in try setup.kernel.call(Verbs.ibv_destroy_cq, setup.cq) } == EBUSY)
        for qp in [setup.a, setup.b] { try setup.kernel.call(Verbs.ibv_destroy_qp, qp) }
        try setup.kernel.call(Verbs.ibv_destroy_cq, setup.cq)
        try setup.kernel.call(Verbs.ibv_close_device, setup.verbs.context)
        #expect(!setup.kernel.open.contains { $0.hasPrefix("ibv_") })
    }

    /// A record may name what went with its context: that is refused, and what it was is not looked at in freed memory.
    @Test func whatWentWithItsContextIsRefused() throws {
        let setup = try Setup()
        let tracing = TracingKernel(setup.kernel, emit: { _ in })
        try tracing.call(Verbs.ibv_close_device, setup.verbs.context)
        var request = ibv_send_wr()
        withUnsafeMutablePointer(to: &request) { request in
            #expect(errno { () throws(Errno) in try tracing.call(Verbs.ibv_post_send, setup.a, request) } == EINVAL)
        }
        #expect(errno { () throws(Errno) in try tracing.call(Verbs.ibv_destroy_qp, setup.a) } == EINVAL)
        #expect(setup.a.pointee.qp_type == IBV_QPT_RC)
    }

    @Test func whatAnotherContextHasIsNotThere() throws {
        let setup = try Setup()
        let (kernel, verbs) = (setup.kernel, setup.verbs)
        let context = try kernel.call(Verbs.ibv_open_device, verbs.context.pointee.device)
        let other = try kernel.call(Verbs.ibv_create_cq, context, 16, nil)
        let channel = try kernel.call(Verbs.ibv_create_comp_channel, context)
        let memory = try kernel.call(Verbs.ibv_alloc_dm, context, 4096)
        let errors = [
            #expect(throws: Errno.self) { _ = try Setup.queuePair(verbs, other) },
            #expect(throws: Errno.self) { _ = try kernel.call(Verbs.ibv_create_cq, verbs.context, 16, channel) },
            #expect(throws: Errno.self) { _ = try kernel.call(Verbs.ibv_reg_dm_mr, verbs.pd, memory, 0, 4096, 0x20) },
        ]
        #expect(errors == [Errno(ENOENT), Errno(EBADF), Errno(ENOENT)])
        try kernel.call(Verbs.ibv_close_device, context)
        #expect(kernel.open.count { $0.hasPrefix("ibv_cq") } == 1)
    }

    /// Room for it would be 4 GiB.
    @Test func whatIsLongerThanAPortSendsIsALengthError() throws {
        let setup = try Setup()
        try setup.connect()
        let piece = ibv_sge(addr: address(setup.memory), length: 1 << 31, lkey: setup.mr.pointee.lkey)
        try setup.post(setup.request(IBV_WR_RDMA_WRITE), [piece, piece])
        #expect(try setup.statuses() == [IBV_WC_LOC_LEN_ERR])
    }

    @Test func itsOwnPeerFlushesWhatItRefuses() throws {
        let setup = try Setup()
        try setup.step(setup.a, IBV_QPS_INIT, Setup.first)
        try setup.step(setup.a, IBV_QPS_RTR, Setup.second, to: setup.a.pointee.qp_num)
        try setup.step(setup.a, IBV_QPS_RTS, Setup.third)
        try setup.post(setup.request(IBV_WR_RDMA_WRITE))
        try setup.post(setup.request(IBV_WR_RDMA_WRITE) { $0.wr.rdma.rkey ^= 1 << 20 })
        #expect(try setup.statuses() == [IBV_WC_SUCCESS, IBV_WC_WR_FLUSH_ERR])
    }

    /// A program may end with completions that it never polled.
    @Test func whatNobodyPolledGoesWithTheKernel() throws {
        weak var queue: CompletionQueue?
        weak var pair: QueuePair?
        do {
            let setup = try Setup()
            try setup.connect()
            try setup.post(setup.request(IBV_WR_RDMA_WRITE))
            queue = try setup.kernel.uverbs.queue(setup.cq)
            pair = try setup.kernel.uverbs.queuePair(setup.a)
            let areThere = queue != nil && pair != nil
            #expect(areThere)
        }
        let areGone = queue == nil && pair == nil
        #expect(areGone)
    }
}
