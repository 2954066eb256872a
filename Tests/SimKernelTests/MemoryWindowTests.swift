import CKernel
import Glibc
import Kernel
import TestBench
import Testing

@testable import SimKernel

/// Memory windows: sw/rxe/rxe_mw.c; InfiniBand Architecture Specification, volume 1, 10.6.7.2.
@Suite struct MemoryWindowTests {
    private typealias Setup = QueuePairTests.Setup
    private let setup: QueuePairTests.Setup
    private let mw: UnsafeMutablePointer<ibv_mw>
    private var kernel: SimKernel { setup.kernel }

    init() throws {
        // Local write, remote write and read, bind.
        setup = try QueuePairTests.Setup(access: 0x17)
        try setup.connect()
        mw = try setup.kernel.call(Verbs.ibv_alloc_mw, setup.verbs.pd, 2)
    }

    private func bind(
        at offset: UInt64 = 2048, length: UInt64 = 128, access: Int32 = 2, key: UInt32 = 0x77,
        to mr: UnsafeMutablePointer<ibv_mr>? = nil, on qp: UnsafeMutablePointer<ibv_qp>? = nil
    ) throws {
        var request = setup.request(IBV_WR_BIND_MW)
        request.bind_mw.mw = mw
        request.bind_mw.rkey = key
        request.bind_mw.bind_info = ibv_mw_bind_info(
            mr: mr ?? setup.mr, addr: address(setup.memory) + offset, length: length,
            mw_access_flags: UInt32(bitPattern: access))
        try withUnsafeMutablePointer(to: &request) { (request) throws(Errno) in
            try kernel.call(Verbs.ibv_post_send, qp ?? setup.b, request)
        }
    }

    private var key: UInt32 { mw.pointee.rkey & ~0xff | 0x77 }

    @Test func aPeerReachesWhatItIsBoundTo() throws {
        setup.fill()
        try bind()
        let done = try setup.completions()
        #expect(done.map(\.status) == [IBV_WC_SUCCESS])
        #expect(done[0].opcode == IBV_WC_BIND_MW)
        try setup.post(setup.request(IBV_WR_RDMA_WRITE) { $0.wr.rdma.rkey = key })
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
        #expect(setup.bytes(2048) == (1...64).map { UInt8($0) })
    }

    @Test(arguments: [1984, 2048 + 65, 0] as [UInt64])
    func outsideOfItNothingIsReached(_ offset: UInt64) throws {
        try bind()
        _ = try setup.completions()
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE) {
                $0.wr.rdma.rkey = key
                $0.wr.rdma.remote_addr = address(setup.memory) + offset
            })
        #expect(try setup.statuses().first == IBV_WC_REM_ACCESS_ERR)
    }

    @Test func itGrantsWhatItWasBoundWithAndNoMore() throws {
        try bind()
        _ = try setup.completions()
        try setup.post(setup.request(IBV_WR_RDMA_READ) { $0.wr.rdma.rkey = key })
        #expect(try setup.statuses().first == IBV_WC_REM_ACCESS_ERR)
    }

    @Test func anotherQueuePairsWindowIsNotReached() throws {
        try bind(on: setup.a)
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
        try setup.post(setup.request(IBV_WR_RDMA_WRITE) { $0.wr.rdma.rkey = key })
        #expect(try setup.statuses().first == IBV_WC_REM_ACCESS_ERR)
    }

    @Test func fromZeroWhereItWasBoundSo() throws {
        setup.fill()
        try bind(access: 0x22)
        _ = try setup.completions()
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE) {
                $0.wr.rdma.rkey = key
                $0.wr.rdma.remote_addr = 16
            })
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
        #expect(setup.bytes(2064) == (1...64).map { UInt8($0) })
    }

    @Test(arguments: ["twice", "length 0", "outside", "no right to bind", "local access"])
    func bindingIsRefused(_ what: String) throws {
        let plain = try kernel.call(Verbs.ibv_reg_mr, setup.verbs.pd, address(setup.memory), 4096, 7)
        switch what {
        case "twice":
            try bind()
            #expect(try setup.statuses() == [IBV_WC_SUCCESS])
            mw.pointee.rkey = key
            try bind()
        case "length 0": try bind(length: 0)
        case "outside": try bind(at: 4096 - 64)
        case "no right to bind": try bind(to: plain)
        default: try bind(access: 1)
        }
        #expect(try setup.statuses() == [IBV_WC_MW_BIND_ERR])
        #expect(setup.b.pointee.qp_num != 0)
    }

    @Test func postingIsRefused() throws {
        let first = try kernel.call(Verbs.ibv_alloc_mw, setup.verbs.pd, 1)
        var request = setup.request(IBV_WR_BIND_MW)
        request.bind_mw.mw = first
        request.bind_mw.bind_info.mr = setup.mr
        #expect(throws: Errno(EINVAL)) {
            try withUnsafeMutablePointer(to: &request) { try kernel.call(Verbs.ibv_post_send, setup.b, $0) }
        }
    }

    @Test func endingIt() throws {
        try bind()
        #expect(throws: Errno(EINVAL)) { try kernel.call(Verbs.ibv_alloc_mw, setup.verbs.pd, 3) }
        try kernel.call(Verbs.ibv_dealloc_mw, mw)
        try setup.post(setup.request(IBV_WR_RDMA_WRITE) { $0.wr.rdma.rkey = 0x77 })
        #expect(try setup.statuses().contains(IBV_WC_REM_ACCESS_ERR))
    }
}
