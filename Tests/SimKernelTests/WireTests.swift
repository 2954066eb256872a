import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Requests between functions: tph-uapi-history.md section 7.
@Suite struct WireTests {
    @Test func engineLeavesRequests() throws {
        let bench = Bench()
        let iommufd = bench.open("/dev/iommu")
        let exporter = try bench.bound(Bench.exporter, to: iommufd)
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let ioas = try bench.ioas(iommufd)
        #expect(bench.attach(engine, ioas) == 0)
        let buffer = Int32(bench.export(exporter, [(0x4000, 0x8000)]))
        let bar = bench.mapFile(iommufd, ioas, buffer, start: 0x1000, length: 0x2000)
        try #require(bar > 0)
        bench.setBusMaster(engine)
        bench.transfer(engine, from: 0x40000, to: UInt64(bar) + 0x170, 200, toMemory: true)
        bench.transfer(engine, from: UInt64(bar) + 0x10, to: 0x40000, 8, toMemory: false)
        let base = (1 << 40) + 0x5000 as UInt64
        #expect(
            bench.kernel.wire.requests == [
                WireRequest(isWrite: true, requester: 0x0200, address: base + 0x170, length: 16),
                WireRequest(isWrite: true, requester: 0x0200, address: base + 0x180, length: 128),
                WireRequest(isWrite: true, requester: 0x0200, address: base + 0x200, length: 56),
                WireRequest(isWrite: false, requester: 0x0200, address: base + 0x10, length: 8),
            ])
        #expect(bench.kernel.wire.lost == 0)
    }

    struct Row: Sendable {
        let request: WireRequest
        let header: [UInt32]
        let flit: [UInt32]?
    }

    static func request(
        write: Bool = true, _ address: UInt64, _ length: Int, _ hint: WireRequest.Hint? = nil
    ) -> WireRequest {
        WireRequest(isWrite: write, requester: 0x0310, address: address, length: length, hint: hint)
    }

    static let long: UInt64 = 0x12_3456_7000
    static let rows = [
        Row(
            request: request(long, 32), header: [0x6000_0008, 0x0310_00ff, 0x12, 0x3456_7000],
            flit: [0x6000_0008, 0x0310_0000, 0x12, 0x3456_7000]),
        Row(
            request: request(long, 32, WireRequest.Hint(tag: 0x42, ph: 2)),
            header: [0x6001_0008, 0x0310_42ff, 0x12, 0x3456_7002],
            flit: [0x6002_0008, 0x0310_0000, 0x12, 0x3456_7000, 0x0000_4290]),
        Row(
            request: request(long, 32, WireRequest.Hint(tag: 0x1234, isExtended: true, ph: 3)),
            header: [0x9012_0000, 0x6001_0008, 0x0310_34ff, 0x12, 0x3456_7003], flit: nil),
        Row(
            request: request(write: false, long, 32, WireRequest.Hint(tag: 0x42, ph: 1)),
            header: [0x2001_0008, 0x0310_0042, 0x12, 0x3456_7001], flit: nil),
        Row(request: request(0x8000_0001, 2), header: [0x4000_0001, 0x0310_0006, 0x8000_0000], flit: nil),
        Row(request: request(0x8000_0003, 3), header: [0x4000_0002, 0x0310_0038, 0x8000_0000], flit: nil),
        Row(request: request(write: false, 0x8000_0000, 4096), header: [0, 0x0310_00ff, 0x8000_0000], flit: nil),
    ]

    @Test(arguments: rows)
    func headers(_ row: Row) {
        #expect(row.request.header == row.header)
        #expect(row.request.flitHeader == row.flit)
    }
}
