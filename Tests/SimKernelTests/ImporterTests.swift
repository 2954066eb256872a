import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// NICs as importers: drivers/infiniband/core/umem_dmabuf.c, and what each driver makes of it.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelDMABuf.md.
@Suite struct ImporterTests {
    struct Row: Sendable {
        let driver: Topology.NIC.Driver
        /// Of a VFIO buffer, and of one that is revoked.
        let registered: Int32
        let revoked: Int32
        /// Whether a region is reached after a reset of the exporter.
        var survives = false
        /// Of an atomic access, of descriptor 99, of a new DMA handle.
        var atomic: Int32 = EOPNOTSUPP
        var unknown: Int32 = EBADF
        var handle: Int32 = EOPNOTSUPP
    }

    static let rows = [
        Row(driver: .mlx5, registered: 0, revoked: ENODEV, survives: true, atomic: 0, handle: 0),
        Row(driver: .irdma, registered: 0, revoked: ENODEV, atomic: 0),
        Row(driver: .bnxtRE, registered: EOPNOTSUPP, revoked: ENODEV),
        Row(driver: .efa, registered: EOPNOTSUPP, revoked: ENODEV),
        Row(driver: .ionic, registered: EOPNOTSUPP, revoked: ENODEV),
        Row(driver: .mana, registered: EOPNOTSUPP, revoked: ENODEV),
        Row(driver: .rxe, registered: EOPNOTSUPP, revoked: EOPNOTSUPP, unknown: EOPNOTSUPP),
    ]

    /// As rxe on Linux 7.3.4 answers in the lab, whatever device is below it.
    @Test func aSoftwareDeviceTellsItsOwnLimits() throws {
        var topology = Topology.standard
        topology.nics = [Topology.NIC(name: "rxe0", driver: .rxe)]
        let verbs = try VerbsTests(topology)
        let found = try verbs.bench.kernel.call(Verbs.ibv_query_device, verbs.context)
        #expect(found.vendor_id == 0xff_ffff)
        #expect(found.vendor_part_id == 0)
        #expect(found.max_mr == 524_287)
        #expect(found.max_pd == 1_048_576)
        let firmware = withUnsafeBytes(of: found.fw_ver) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        #expect(firmware == "0.0.0")
    }

    static func verbs(_ driver: Topology.NIC.Driver) throws -> VerbsTests {
        var topology = Topology.standard
        topology.nics[0].driver = driver
        return try VerbsTests(topology)
    }

    @Test(arguments: rows)
    func registersAsItsDriverDoes(_ row: Row) throws {
        let verbs = try ImporterTests.verbs(row.driver)
        let kernel = verbs.bench.kernel
        #expect(verbs.register(0, 4096, 0) == row.registered)
        #expect(verbs.register(0, 4096, 0, access: 9) == row.atomic)
        #expect(verbs.register(0, 4096, 0, 99) == row.unknown)
        #expect(verbs.register(0, 4096, 1, 99) == (row.driver == .rxe ? EOPNOTSUPP : EINVAL))
        let handle = errno { () throws(Errno) in
            let attributes = DMAHInitAttributes(comp_mask: 2, cpu_id: 0, ph: 0, tph_mem_type: 0)
            try kernel.call(Verbs.ibv_dealloc_dmah, try kernel.call(Verbs.ibv_alloc_dmah, verbs.context, attributes))
        }
        #expect(handle == row.handle)
        verbs.bench.put(verbs.device, 7, 4, UInt16(0))
        #expect(verbs.register(0, 4096, 0) == row.revoked)
        verbs.bench.put(verbs.device, 7, 4, UInt16(2))
        #expect(verbs.register(0, 4096, 0) == row.registered)
    }

    @Test(arguments: rows)
    func regionsOverRevocation(_ row: Row) throws {
        guard row.registered == 0 else { return }
        let verbs = try ImporterTests.verbs(row.driver)
        let kernel = verbs.bench.kernel
        let mr = try kernel.call(Verbs.ibv_reg_dmabuf_mr, verbs.pd, 0x1000, 4096, 0, verbs.buffer, 1)
        let key = mr.pointee.lkey
        #expect(try kernel.reaches(mr))
        verbs.bench.put(verbs.device, 7, 4, UInt16(0))
        #expect(try !kernel.reaches(mr))
        verbs.bench.put(verbs.device, 7, 4, UInt16(2))
        #expect(try kernel.reaches(mr) == row.survives)
        #expect(mr.pointee.lkey == key)
        let second = try kernel.call(Verbs.ibv_reg_dmabuf_mr, verbs.pd, 0x1000, 4096, 0, verbs.buffer, 1)
        #expect(try kernel.reaches(second))
        #expect(kernel.close(verbs.device) == 0)
        #expect(try !kernel.reaches(second))
        try kernel.call(Verbs.ibv_dereg_mr, mr)
        try kernel.call(Verbs.ibv_dereg_mr, second)
    }

    /// Memory of the machine can be pinned, and needs no route.
    @Test(arguments: rows)
    func buffersOfAHeap(_ row: Row) throws {
        let verbs = try ImporterTests.verbs(row.driver)
        let heap = verbs.bench.open("/dev/dma_heap/system")
        var bytes = Bench.bytes(UInt64(0x2000)) + Bench.bytes(UInt64(0x80002) << 32) + Bench.bytes(UInt64(0))
        let result = bytes.withUnsafeMutableBytes { verbs.bench.kernel.ioctl(heap, 0xc018_4800, .memory($0)) }
        try #require(result == 0)
        let buffer = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: Int32.self) }
        #expect(verbs.register(0x1000, 0x1000, 0, buffer) == (row.driver == .rxe ? EOPNOTSUPP : 0))
        guard row.driver == .mlx5 else { return }
        let mr = try verbs.bench.kernel.call(Verbs.mlx5dv_reg_dmabuf_mr, verbs.pd, 0, 4096, 0, buffer, 1, 1)
        #expect(try verbs.bench.kernel.reaches(mr))
    }

    @Test func efaRefusesAtomicsBeforeTheDescriptor() throws {
        #expect(try ImporterTests.verbs(.efa).register(0, 4096, 0, 99, access: 9) == EOPNOTSUPP)
        #expect(try ImporterTests.verbs(.bnxtRE).register(0, 4096, 0, 99, access: 9) == EBADF)
    }

    @Test func irdmaLimitsTheLengthFirst() throws {
        #expect(try ImporterTests.verbs(.irdma).register(0, 1 << 45 + 1, 0, 99) == EINVAL)
        #expect(try ImporterTests.verbs(.irdma).register(0, 1 << 45, 0, 99) == EBADF)
    }

    @Test func dataDirectPins() throws {
        func refusal(_ verbs: VerbsTests, _ offset: UInt64, _ iova: UInt64, _ descriptor: Int32, _ flags: Int32 = 1)
            -> Int32
        {
            errno { () throws(Errno) in
                let mr = try verbs.bench.kernel.call(
                    Verbs.mlx5dv_reg_dmabuf_mr,
                    verbs.pd, offset, 4096, iova, descriptor, 1, flags)
                try verbs.bench.kernel.call(Verbs.ibv_dereg_mr, mr)
            }
        }
        let verbs = try ImporterTests.verbs(.mlx5)
        #expect(refusal(verbs, 0, 0, verbs.buffer) == EOPNOTSUPP)
        #expect(refusal(verbs, 0, 0, verbs.buffer, 0) == 0)
        #expect(refusal(verbs, 0, 1, 99) == EINVAL)
        #expect(refusal(verbs, 1, 1, 99) == EOPNOTSUPP)
        #expect(refusal(verbs, 0, 0, 99) == EBADF)
        #expect(refusal(verbs, 0, 0, verbs.device) == EINVAL)
        verbs.bench.put(verbs.device, 7, 4, UInt16(0))
        #expect(refusal(verbs, 0, 0, verbs.buffer) == ENODEV)
        var topology = Topology.standard
        topology.nics[0].dataDirect = false
        #expect(refusal(try VerbsTests(topology), 0, 0, 99) == EINVAL)
    }
}
