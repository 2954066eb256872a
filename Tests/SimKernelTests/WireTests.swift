import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Requests between functions: PCI Express Base Specification 6.0, 2.2.7 and 6.17.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelPCIe.md.
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
        let requests = try #require(bench.kernel.tlps).requests
        #expect(requests.map(\.isWrite) == [true, true, true, false])
        #expect(requests.map(\.requester) == [0x0200, 0x0200, 0x0200, 0x0200])
        #expect(requests.map(\.address) == [base + 0x170, base + 0x180, base + 0x200, base + 0x10])
        #expect(requests.map(\.length) == [16, 128, 56, 8])
        #expect(requests[1].target == TLP.Target(function: Bench.exporter, region: 2, offset: 0x5180))
        #expect(bench.kernel.tlps?.lost == 0)
    }

    struct Row: Sendable {
        let request: TLP
        let header: [UInt32]
        let flit: [UInt32]?
    }

    static func request(
        write: Bool = true, _ address: UInt64, _ length: Int, _ hint: TLP.Hint? = nil
    ) -> TLP {
        TLP(isWrite: write, requester: 0x0310, address: address, length: length, hint: hint)
    }

    static let long: UInt64 = 0x12_3456_7000
    static let rows = [
        Row(
            request: request(long, 32), header: [0x6000_0008, 0x0310_00ff, 0x12, 0x3456_7000],
            flit: [0x6000_0008, 0x0310_0000, 0x12, 0x3456_7000]),
        Row(
            request: request(long, 32, TLP.Hint(tag: 0x42, ph: 2)),
            header: [0x6001_0008, 0x0310_42ff, 0x12, 0x3456_7002],
            flit: [0x6002_0008, 0x0310_0000, 0x12, 0x3456_7000, 0x0000_4290]),
        Row(
            request: request(long, 32, TLP.Hint(tag: 0x1234, isExtended: true, ph: 3)),
            header: [0x9012_0000, 0x6001_0008, 0x0310_34ff, 0x12, 0x3456_7003], flit: nil),
        Row(
            request: request(write: false, long, 32, TLP.Hint(tag: 0x42, ph: 1)),
            header: [0x2001_0008, 0x0310_0042, 0x12, 0x3456_7001], flit: nil),
        Row(request: request(0x8000_0001, 2), header: [0x4000_0001, 0x0310_0006, 0x8000_0000], flit: nil),
        Row(request: request(0x8000_0003, 3), header: [0x4000_0002, 0x0310_0038, 0x8000_0000], flit: nil),
        Row(request: request(write: false, 0x8000_0000, 4096), header: [0, 0x0310_00ff, 0x8000_0000], flit: nil),
    ]

    @Test func relaxedOrderingIsTheSecondAttribute() throws {
        var request = Self.request(Self.long, 32, TLP.Hint(tag: 0x42, ph: 2))
        request.isRelaxed = true
        #expect(request.header?[0] == 0x6001_2008)
        #expect(TLPHeader(try #require(request.header), .nonFlit)?.isRelaxed == true)
        #expect(request.lines[0].hasSuffix(" RO") && request.lines[1].contains("Attr=2"))
        request.mode = .flit
        #expect(request.header?[0] == 0x6002_0808)
        #expect(TLPHeader(try #require(request.header), .flit)?.isRelaxed == true)
        request.isRelaxed = false
        #expect(TLPHeader(try #require(request.header), .flit)?.isRelaxed == false)
    }

    /// BARs of every size, each function's in the order of the bench: none reaches into another's addresses.
    @Test func largeBARsDoNotOverlap() throws {
        var topology = Topology(name: "large")
        for (index, size) in [1 << 37, 1 << 20, 1 << 43, 96 << 30, 1 << 46, 1 << 36].enumerated()
            as EnumeratedSequence<[UInt64]>
        {
            topology.devices.append(
                Topology.Device(
                    address: "0000:0\(index + 1):00.0", vendor: 0x1af4, device: 0x1110, classCode: 0x050000,
                    group: index,
                    bars: [
                        Topology.BAR(0, size: 1 << 24), Topology.BAR(2, size: size, is64Bit: true, prefetchable: true),
                        Topology.BAR(4, size: 4096, is64Bit: true),
                    ]))
        }
        let bench = Bench(topology)
        var ranges: [ClosedRange<UInt64>] = []
        for device in topology.devices {
            for line in bench.text("/sys/bus/pci/devices/\(device.address)/resource").split(separator: "\n") {
                let words = line.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) }
                if words[1] > 0 { ranges.append(words[0]...words[1]) }
            }
        }
        #expect(ranges.count == 18)
        for (index, range) in ranges.enumerated() {
            #expect(!ranges[..<index].contains { $0.overlaps(range) }, "\(range)")
        }
    }

    @Test(arguments: rows)
    func headers(_ row: Row) {
        var request = row.request
        #expect(request.header == row.header)
        #expect(TLPHeader(row.header, .nonFlit)?.hint == request.hint)
        request.mode = .flit
        #expect(request.header == row.flit)
        if let flit = row.flit { #expect(TLPHeader(flit, .flit)?.hint == request.hint) }
    }

    @Test func textHasEachDoubleWordAndItsBytesInWireOrder() {
        var request = Self.request(Self.long, 32, TLP.Hint(tag: 0x42, ph: 2))
        request.mode = .flit
        request.time = 1_500
        request.target = TLP.Target(function: "0000:01:00.0", region: 2, offset: 0x7000)
        #expect(
            request.lines == [
                "0.000001500 03:02.0 > 0000:01:00.0 BAR2+0x7000 MWr(64) 32 bytes PH=target ST=0x42",
                "    60020008 08000260  Type=0x60 TC=0 OHC=B TS=0 Attr=0 Length=8",
                "    03100000 00001003  Requester=03:02.0 EP=0 Tag=0x0", "    00000012 12000000  Address[63:32]=0x12",
                "    34567000 00705634  Address[31:2]=0x34567000 AT=0",
                "    00004290 90420000  ST=0x42 PH=2 (target) HV=1 AMA=0 AV=0",
            ])
    }

    @Test(arguments: [[], [0x6000_0008], [0x6000_0008, 0, 0], [0x4400_0001, 0, 0], [0x9012_0000, 0x4000_0001, 0, 0]])
    func whatIsNoRequestIsNotDecoded(_ words: [UInt32]) {
        #expect(TLPHeader(words, .nonFlit) == nil)
        #expect(TLPHeader(words, .flit) == nil)
    }
}
