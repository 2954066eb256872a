import CKernel
import Glibc
import Kernel
import TestBench
import Testing

@testable import SimKernel

/// What a device finds at memory that the program has unmapped meanwhile.
@Suite struct PinnedPagesTests {
    private static let access = Int32(15)
    private static let onDemand = Int32(IBV_ACCESS_ON_DEMAND.rawValue)

    /// Much memory, as what other threads map goes to the end of a hole; its second page begins with a pattern.
    private func memory(_ bench: Bench) throws -> UnsafeMutableRawPointer {
        let memory = try bench.kernel.mmap(
            length: Self.size, protection: PROT_READ | PROT_WRITE,
            flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, at: 0)
        (memory + 4096).copyMemory(from: QueuePairTests.pattern, byteCount: 64)
        return memory
    }

    private static let size = 128 << 20

    /// Unmaps all but the first page, and looks that the second is away.
    private func unmap(_ bench: Bench, _ memory: UnsafeMutableRawPointer) {
        #expect(bench.kernel.munmap(memory + 4096, length: Self.size - 4096) == 0)
        #expect(sys_mapped(address(memory) + 4096, 4096) == -Int(ENOMEM))
    }

    /// Other memory at an address where nothing is.
    private func mapOther(_ page: UnsafeMutableRawPointer) throws {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | 0x100000  // MAP_FIXED_NOREPLACE
        try #require(mmap(page, 4096, PROT_READ | PROT_WRITE, flags, -1, 0) == page)
        memset(page, 0xee, 64)
    }

    @Test func aRegionKeepsItsPages() throws {
        let setup = try QueuePairTests.Setup()
        try setup.connect()
        let memory = try self.memory(setup.verbs.bench)
        let verb = { (start: Int, length: UInt64) throws in
            try setup.kernel.call(
                Verbs.ibv_reg_mr, setup.verbs.pd, address(memory) + UInt64(start), length, Self.access)
        }
        let whole = try verb(0, 3 * 4096)
        let half = try verb(2048, 4096)
        unmap(setup.verbs.bench, memory)
        try mapOther(memory + 4096)
        defer { munmap(memory + 4096, 4096) }
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE),
            [ibv_sge(addr: address(memory) + 4096, length: 64, lkey: whole.pointee.lkey)])
        #expect(setup.bytes(2048) == QueuePairTests.pattern)
        // Both regions have the same page still, also where a request goes over its beginning.
        setup.fill()
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE) {
                $0.wr.rdma.remote_addr = address(memory) + 4096 - 32
                $0.wr.rdma.rkey = half.pointee.rkey
            })
        try setup.post(
            setup.request(IBV_WR_RDMA_READ) {
                $0.wr.rdma.remote_addr = address(memory) + 4096 - 32
                $0.wr.rdma.rkey = whole.pointee.rkey
            }, [ibv_sge(addr: address(setup.memory) + 1024, length: 64, lkey: setup.mr.pointee.lkey)])
        #expect(setup.bytes(1024) == QueuePairTests.pattern)
        #expect(memory.load(fromByteOffset: 4095, as: UInt8.self) == 32)
        #expect(memory.load(fromByteOffset: 4096, as: UInt8.self) == 0xee)
        #expect(try setup.statuses() == [IBV_WC_SUCCESS, IBV_WC_SUCCESS, IBV_WC_SUCCESS])
        #expect(setup.kernel.notModelled.isEmpty)
        // Who registers what is there now has that.
        let new = try verb(4096, 64)
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE),
            [ibv_sge(addr: address(memory) + 4096, length: 64, lkey: new.pointee.lkey)])
        #expect(setup.bytes(2048) == [UInt8](repeating: 0xee, count: 64))
    }

    @Test func pagesThatNothingPinsGo() throws {
        let setup = try QueuePairTests.Setup()
        let memory = try self.memory(setup.verbs.bench)
        let mr = try setup.kernel.call(
            Verbs.ibv_reg_mr, setup.verbs.pd, address(memory), 3 * 4096, Self.access)
        try setup.kernel.call(Verbs.ibv_dereg_mr, mr)
        #expect(try setup.kernel.pins.take(address(memory), address(memory) + 3 * 4096 - 1).isEmpty)
    }

    /// On-demand paging looks again, and finds nothing or what is there now.
    @Test(arguments: [true, false]) func anOnDemandRegionFollowsTheMapping(_ isMappedAgain: Bool) throws {
        let setup = try QueuePairTests.Setup()
        try setup.connect()
        let memory = try self.memory(setup.verbs.bench)
        let mr = try setup.kernel.call(
            Verbs.ibv_reg_mr, setup.verbs.pd, address(memory), 3 * 4096, Self.access | Self.onDemand)
        unmap(setup.verbs.bench, memory)
        if isMappedAgain { try mapOther(memory + 4096) }
        try setup.post(
            setup.request(IBV_WR_RDMA_WRITE),
            [ibv_sge(addr: address(memory) + 4096, length: 64, lkey: mr.pointee.lkey)])
        #expect(try setup.statuses() == [isMappedAgain ? IBV_WC_SUCCESS : IBV_WC_LOC_PROT_ERR])
        #expect(setup.bytes(2048) == [UInt8](repeating: isMappedAgain ? 0xee : 0, count: 64))
        #expect(setup.kernel.notModelled.isEmpty)
        if isMappedAgain { munmap(memory + 4096, 4096) }
    }

    /// pages.c pins when a page table comes, and lets go with the last one.
    @Test func anAttachedIOASKeepsItsPages() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        let memory = try self.memory(bench), seen = try bench.memory(4096)
        #expect(bench.map(iommufd, ioas, address(memory), length: 3 * 4096, iova: 0x10000) == 0x10000)
        #expect(bench.map(iommufd, ioas, address(seen), length: 4096, iova: 0x20000) == 0x20000)
        #expect(bench.attach(engine, ioas) == 0)
        unmap(bench, memory)
        bench.setBusMaster(engine)
        bench.transfer(engine, from: 0x11000, to: 0x40000, 64, toMemory: false)
        bench.transfer(engine, from: 0x40000, to: 0x20000, 64, toMemory: true)
        #expect(Array(UnsafeRawBufferPointer(start: seen, count: 64)) == QueuePairTests.pattern)
        #expect(bench.kernel.notModelled.isEmpty)
        var detach = vfio_device_detach_iommufd_pt(argsz: 8, flags: 0, pasid: 0)
        #expect(bench.ioctl(engine, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) == 0)
        #expect(bench.attach(engine, ioas) == -Int(EFAULT))
    }
}
