import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// VFIO_DEVICE_FEATURE_DMA_BUF_TPH, as each revision of the series answers it.
/// The answers: Sources/Documentation.docc/TPHHistory.md.
@Suite struct TPHTests {
    static func topology(
        _ revision: TPHRevision, completer: TPHSupport = .extended, requester: Bool = true,
        nic: TPHSupport = .tph
    ) -> Topology {
        var topology = Topology.standard
        topology.tph = revision
        topology.devices[0].completer = completer
        topology.devices[0].tphRequester = requester
        topology.nics[0].requester = nic
        return topology
    }

    struct Exporter {
        let bench: Bench
        let device: Int32
        init(_ topology: Topology) throws {
            bench = Bench(topology)
            device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        }
        func call(_ flags: Int, _ data: [UInt8]) -> Int {
            bench.ioctl(device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(flags, data))
        }
        func set(_ data: [UInt8]) -> Int { call(0x2000d, data) }
        func buffer() -> Int32 { Int32(bench.export(device, [(0, 4096)])) }
    }

    /// Layouts transcribed from the history, apart from the simulator's own table.
    static func data(
        _ revision: TPHRevision, _ descriptor: Int32, flags: UInt32 = 1, tag: UInt16 = 0, extended: UInt16 = 0,
        hint: UInt8 = 0
    ) -> [UInt8] {
        let head = Bench.bytes(descriptor)
        switch revision {
        case .v2: return head + Bench.bytes(tag) + [hint, 0]
        case .v3: return head + Bench.bytes(flags) + Bench.bytes(tag) + Bench.bytes(extended) + [hint, 0, 0, 0]
        case .v4, .v5: return head + Bench.bytes(flags) + [UInt8(tag & 0xff), hint] + Bench.bytes(extended)
        default: return head + Bench.bytes(flags) + Bench.bytes(extended) + [UInt8(tag & 0xff), hint]
        }
    }

    /// Errno of a SET with fd -1 and 1 at offset 4, for payloads of 0, 8, 12 and 16 bytes; then of three probes.
    static let bySize: [(TPHRevision, [Int32], [Int32])] = [
        (.v2, [EINVAL, EBADF, EBADF, EBADF], [0, 0, EINVAL]), (.v3, [EINVAL, EINVAL, EINVAL, EBADF], [0, 0, EINVAL]),
        (.v4, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]), (.v5, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]),
        (.v6, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]), (.v7, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]),
        (.v9, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]), (.v10, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]),
        (.v11, [EINVAL, EINVAL, EBADF, EBADF], [0, 0, EINVAL]),
    ]

    @Test(arguments: bySize)
    func matrixA(_ row: (revision: TPHRevision, sizes: [Int32], probes: [Int32])) throws {
        let exporter = try Exporter(TPHTests.topology(row.revision))
        let payload = Bench.bytes(Int32(-1)) + [1, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
        for (size, errno) in zip([0, 8, 12, 16], row.sizes) {
            #expect(exporter.set(Array(payload.prefix(size))) == -Int(errno), "payload of \(size)")
        }
        for (flags, errno) in zip([0x6000d, 0x4000d, 0x5000d], row.probes) {
            #expect(exporter.call(flags, []) == -Int(errno), "flags \(flags)")
        }
    }

    @Test(arguments: [TPHRevision.v9, .v10, .v11])
    func noCompleterWinsOverEverything(revision: TPHRevision) throws {
        let exporter = try Exporter(TPHTests.topology(revision, completer: .none))
        for flags in [0x2000d, 0x6000d, 0x4000d, 0x5000d, 0x1000d] {
            #expect(exporter.call(flags, []) == -Int(EOPNOTSUPP))
        }
    }

    @Test func v6WantsTheRequesterCapability() throws {
        let exporter = try Exporter(TPHTests.topology(.v6, completer: .none, requester: false))
        #expect(exporter.call(0x6000d, []) == -Int(EOPNOTSUPP))
        #expect(exporter.call(0x1000d, []) == -Int(EOPNOTSUPP))
    }

    @Test func v7ReportsValuesBeforeTheCompleter() throws {
        let exporter = try Exporter(TPHTests.topology(.v7, completer: .none))
        #expect(exporter.call(0x6000d, []) == 0)
        #expect(exporter.set(TPHTests.data(.v7, -1, flags: 4)) == -Int(EINVAL))
        #expect(exporter.set(TPHTests.data(.v7, -1, hint: 4)) == -Int(EINVAL))
        #expect(exporter.set(TPHTests.data(.v7, -1, flags: 0)) == -Int(EOPNOTSUPP))
    }

    /// Payload of 12 bytes with fd -1: flags, byte 9, byte 11, errno for layout A, for layout B.
    static let byLayout: [(flags: UInt32, byte9: UInt8, byte11: UInt8, layoutA: Int32, layoutB: Int32)] = [
        (1, 0, 4, EBADF, EINVAL), (1, 4, 0, EINVAL, EBADF), (0, 0, 0, EINVAL, EBADF), (4, 0, 0, EINVAL, EINVAL),
    ]

    @Test(arguments: byLayout)
    func matrixB(_ row: (flags: UInt32, byte9: UInt8, byte11: UInt8, layoutA: Int32, layoutB: Int32)) throws {
        var payload = Bench.bytes(Int32(-1)) + Bench.bytes(row.flags) + [0, 0, 0, 0]
        payload[9] = row.byte9
        payload[11] = row.byte11
        for revision in TPHRevision.allCases where revision != .v2 && revision != .v3 {
            let exporter = try Exporter(TPHTests.topology(revision))
            let errno = revision == .v4 || revision == .v5 ? row.layoutA : row.layoutB
            #expect(exporter.set(payload) == -Int(errno), "\(revision)")
        }
    }

    @Test(arguments: TPHRevision.allCases)
    func commonBehaviour(revision: TPHRevision) throws {
        let exporter = try Exporter(TPHTests.topology(revision))
        let bench = exporter.bench
        let buffer = exporter.buffer()
        let isOld = [.v2, .v3, .v4, .v5].contains(revision)
        func set(_ descriptor: Int32, _ flags: UInt32 = 1, hint: UInt8 = 0) -> Int {
            exporter.set(TPHTests.data(revision, descriptor, flags: flags, tag: 5, hint: hint))
        }
        #expect(exporter.call(0x1000d, TPHTests.data(revision, buffer)) == -Int(EINVAL))
        #expect(set(99) == -Int(EBADF))
        #expect(set(exporter.device) == -Int(EINVAL))
        let other = try bench.bound(Bench.engine, to: bench.open("/dev/iommu"))
        let foreign = Int32(bench.export(other, region: 0, [(0, 4096)]))
        #expect(set(foreign) == -Int(EINVAL))
        #expect(set(-1, hint: 4) == -Int(revision == .v2 ? EBADF : EINVAL))
        if revision != .v2 {
            #expect(set(-1, 4) == -Int(EINVAL))
            #expect(set(buffer, 0) == (isOld ? -Int(EINVAL) : 0))
        }
        let tail = TPHTests.data(revision, buffer, tag: 5) + [0xff, 0xff]
        if revision != .v4 { #expect(exporter.set(tail) == 0) }
        let first = exporter.buffer()
        #expect(set(first) == 0)
        #expect(set(first) == (revision == .v4 ? -Int(EBUSY) : 0))
        #expect(
            bench.ioctl(exporter.device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(0x2000d, argsz: 24, [])) == -Int(
                EFAULT))
    }

    @Test func reservedBytesMustBeZero() throws {
        for (revision, place) in [(TPHRevision.v2, 7), (.v3, 13), (.v3, 15)] {
            let exporter = try Exporter(TPHTests.topology(revision))
            var data = TPHTests.data(revision, exporter.buffer())
            data[place] = 1
            #expect(exporter.set(data) == -Int(EINVAL))
        }
    }

    @Test(arguments: TPHRevision.allCases)
    func wideTagNeedsAnExtendedCompleter(revision: TPHRevision) throws {
        guard revision != .v2 else { return }
        let exporter = try Exporter(TPHTests.topology(revision, completer: .tph))
        let result = exporter.set(TPHTests.data(revision, exporter.buffer(), flags: 2, extended: 5))
        #expect(result == ([.v3, .v4, .v5, .v6].contains(revision) ? 0 : -Int(EOPNOTSUPP)))
    }

    struct Key: Sendable {
        var flags: UInt32 = 1
        var tag: UInt16 = 0
        var extended: UInt16 = 0
        let nic: TPHSupport
        /// Bytes 60 and 61 of the memory key context.
        let v2: [UInt8]
        let later: [UInt8]
    }

    static let keys: [Key] = [
        Key(tag: 0x25, nic: .tph, v2: [0x06, 0x25], later: [0x06, 0x25]),
        Key(tag: 0, nic: .tph, v2: [0x06, 0], later: [0x06, 0]),
        Key(tag: 0x25, nic: .extended, v2: [0x06, 0x25], later: [0, 0]),
        Key(flags: 3, tag: 0x25, extended: 0x37, nic: .extended, v2: [0x06, 0x25], later: [0x06, 0x37]),
        Key(flags: 3, tag: 0x25, extended: 0x37, nic: .tph, v2: [0x06, 0x25], later: [0x06, 0x25]),
        Key(flags: 2, extended: 0x37, nic: .tph, v2: [0x06, 0], later: [0, 0]),
        Key(tag: 0x25, nic: .none, v2: [0, 0], later: [0, 0]),
    ]

    @Test(arguments: keys)
    func memoryKeyCarriesTheTag(_ key: Key) throws {
        for revision in TPHRevision.allCases {
            let exporter = try Exporter(TPHTests.topology(revision, nic: key.nic))
            let buffer = exporter.buffer()
            let kernel = exporter.bench.kernel
            let context = try kernel.call(
                Verbs.ibv_open_device, try #require(try kernel.call(Verbs.ibv_get_device_list).first))
            let pd = try kernel.call(Verbs.ibv_alloc_pd, context)
            let before = try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0, 4096, 0, buffer, 1)
            #expect(
                exporter.set(
                    TPHTests.data(
                        revision, buffer, flags: key.flags, tag: key.tag, extended: key.extended, hint: 2)) == 0)
            let after = try kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0, 4096, 0, buffer, 1)
            #expect(try Array(kernel.call(Verbs.mkeyContext, before)[60...61]) == [0, 0])
            #expect(
                try Array(kernel.call(Verbs.mkeyContext, after)[60...61]) == (revision == .v2 ? key.v2 : key.later),
                "\(revision)")
        }
    }

    @Test func v2TagWiderThanTheRequesterIsDropped() throws {
        let rows: [(TPHSupport, [UInt8])] = [(.tph, [0, 0]), (.extended, [0x04, 0x23])]
        for (nic, expected) in rows {
            let exporter = try Exporter(TPHTests.topology(.v2, nic: nic))
            let buffer = exporter.buffer()
            #expect(exporter.set(TPHTests.data(.v2, buffer, tag: 0x123)) == 0)
            let kernel = exporter.bench.kernel
            let context = try kernel.call(
                Verbs.ibv_open_device, try #require(try kernel.call(Verbs.ibv_get_device_list).first))
            let mr = try kernel.call(
                Verbs.ibv_reg_dmabuf_mr, try kernel.call(Verbs.ibv_alloc_pd, context), 0, 4096, 0, buffer, 1)
            #expect(try Array(kernel.call(Verbs.mkeyContext, mr)[60...61]) == expected)
        }
    }
}
