import CKernel
import Glibc
import Kernel
import TestBench
import Testing

@testable import SimKernel

/// What mlx5's own driver and library answered, with an emulated ConnectX below them, where the model had known otherwise.
@Suite struct ConnectXTests {
    /// The standard bench, its NIC's port being in an InfiniBand subnet.
    static let infiniband: Topology = {
        var topology = Topology.standard
        topology.nics[0].subnet = Topology.NIC.Subnet(lid: 5, guid: 0x0c42_a103_00aa_bb01)
        return topology
    }()

    @Test func anInfiniBandPortHasALIDAndOneGID() throws {
        let verbs = try VerbsTests(Self.infiniband)
        let port = try verbs.bench.kernel.call(Verbs.ibv_query_port, verbs.context, 1)
        #expect(port.lid == 5)
        #expect(port.link_layer == UInt8(IBV_LINK_LAYER_INFINIBAND))
        #expect(port.active_mtu == IBV_MTU_4096)
        var gids = try verbs.bench.kernel.call(Verbs.ibv_query_gid_table, verbs.context)
        #expect(gids.map(\.gid_type) == [UInt32(IBV_GID_TYPE_IB.rawValue)])
        let gid = withUnsafeBytes(of: &gids[0].gid) { Array($0) }
        #expect(gid == [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x0c, 0x42, 0xa1, 0x03, 0, 0xaa, 0xbb, 0x01])
        let files = "/sys/class/infiniband/mlx5_0/ports/1"
        #expect(verbs.bench.text("\(files)/link_layer") == "InfiniBand\n")
    }

    /// What is asked for, and what of it is granted: sends, receives, bytes inline, pieces of a receive.
    @Test(
        arguments: [
            ([1, 1, 0, 1, 1], [1, 4, 60, 1]), ([8, 5, 64, 1, 1], [12, 8, 124, 1]), ([3, 3, 24, 1, 3], [4, 4, 60, 4]),
            ([8192, 32768, 0, 1, 1], [8192, 32768, 60, 1]), ([1, 1, 316, 20, 32], [1, 1, 316, 32]),
            ([1, 1, 0, 0, 0], [1, 4, 0, 1]), ([1, 1, 0x7fff_ffff, 1, 1], [1, 4, 60, 1]),
        ] as [([UInt32], [UInt32])])
    func queuePairsAreGrantedWhatTheirLayoutHolds(_ asked: [UInt32], _ granted: [UInt32]) throws {
        let cap = ibv_qp_cap(
            max_send_wr: asked[0], max_recv_wr: asked[1], max_send_sge: asked[3], max_recv_sge: asked[4],
            max_inline_data: asked[2])
        let got = try QueueSizes.granted(cap, IBV_QPT_RC, isShared: false)
        #expect([got.max_send_wr, got.max_recv_wr, got.max_inline_data, got.max_recv_sge] == granted)
    }

    @Test(
        arguments: [
            [8193, 1, 0, 1, 1], [1, 32769, 0, 1, 1], [1, 1, 829, 1, 1], [1, 1, 0, 53, 1], [1, 1, 0, 1, 33],
            [UInt32.max, 1, 0, 1, 1], [1, .max, 0, 1, 1], [1, 1, 0, .max, 1], [1, 1, 0, 1, .max],
        ] as [[UInt32]])
    func whatFitsNoQueueIsRefused(_ asked: [UInt32]) {
        let cap = ibv_qp_cap(
            max_send_wr: asked[0], max_recv_wr: asked[1], max_send_sge: asked[3], max_recv_sge: asked[4],
            max_inline_data: asked[2])
        let code = errno { () throws(Errno) in _ = try QueueSizes.granted(cap, IBV_QPT_RC, isShared: false) }
        #expect(code == EINVAL)
    }

    @Test func sharedQueuesKeepAPlaceFree() throws {
        func granted(_ requests: UInt32, _ pieces: UInt32 = 1) throws(Errno) -> [UInt32] {
            let (attributes, limit) = try QueueSizes.granted(
                ibv_srq_attr(max_wr: requests, max_sge: pieces, srq_limit: 0))
            return [attributes.max_wr, limit]
        }
        #expect(try granted(1) == [1, 3])
        #expect(try granted(5) == [7, 15])
        #expect(try granted(16) == [31, 63])
        #expect(errno { () throws(Errno) in _ = try granted(32768) } == EINVAL)
        #expect(errno { () throws(Errno) in _ = try granted(.max) } == EINVAL)
        #expect(errno { () throws(Errno) in _ = try granted(4, 32) } == EINVAL)
    }

    /// The exporter revokes: that is no fault of the requester's key or address.
    @Test(arguments: [IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ])
    func memoryThatIsRevokedIsARemoteOperationalError(_ opcode: ibv_wr_opcode) throws {
        let setup = try QueuePairTests.Setup()
        try setup.connect()
        let verbs = setup.verbs
        let mr = try setup.kernel.call(Verbs.ibv_reg_dmabuf_mr, verbs.pd, 0, 4096, 0, verbs.buffer, 15)
        let request = setup.request(opcode) {
            $0.wr.rdma.remote_addr = 0
            $0.wr.rdma.rkey = mr.pointee.rkey
        }
        try setup.post(request)
        #expect(try setup.statuses() == [IBV_WC_SUCCESS])
        verbs.bench.put(verbs.device, 7, 4, UInt16(0))
        try setup.post(request)
        #expect(try setup.statuses() == [IBV_WC_REM_OP_ERR])
    }

    @Test func noKeyReachesOverTheEndOfAllAddresses() throws {
        let verbs = try VerbsTests()
        #expect(verbs.register(0, 4096, 0 &- 4096) == 0)
        #expect(verbs.register(0, 8192, 0 &- 4096) == EINVAL)
    }

    @Test func memoryOfTheNICIsRefusedByWhoMissesIt() throws {
        func refusal(_ own: UInt64, _ length: UInt64) throws -> Int32 {
            var topology = Topology.standard
            topology.nics[0].ownMemory = own
            let verbs = try VerbsTests(topology)
            return errno { () throws(Errno) in
                _ = try verbs.bench.kernel.call(Verbs.ibv_alloc_dm, verbs.context, length)
            }
        }
        #expect(try refusal(0, 0) == EPROTONOSUPPORT)
        #expect(try refusal(0, 64) == EINVAL)
        #expect(try refusal(4096, 4097) == EINVAL)
        #expect(try refusal(4096, 4096) == 0)
    }

    @Test func persistentMemoryHasTagsOfItsOwn() throws {
        var topology = Topology.standard
        topology.platform.cpuTags = [0x20]
        topology.platform.persistentTags = [0x40]
        topology.nics[0].steeringTable = 4
        let verbs = try VerbsTests(topology)
        let kernel = verbs.bench.kernel
        let handles = try [UInt8(0), 1].map { kind in
            try kernel.call(
                Verbs.ibv_alloc_dmah,
                verbs.context, DMAHInitAttributes(comp_mask: 7, cpu_id: 0, ph: 2, tph_mem_type: kind))
        }
        let indices = try handles.map { try #require(kernel.uverbs.handles[$0]).index }
        let function = try #require(kernel.functions["0000:03:00.0"])
        #expect(indices.map { function.config.steeringTag(at: Int($0)) } == [0x20, 0x40])
    }
}
