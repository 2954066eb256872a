import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// mlx5's steering tags: drivers/net/ethernet/mellanox/mlx5/core/lib/st.c, drivers/pci/tph.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelRDMA.md.
@Suite struct SteeringTests {
    /// An exporter and a NIC; regions of new dma-bufs that carry a tag.
    struct Setup {
        let verbs: VerbsTests
        let revision: TPHRevision
        var kernel: SimKernel { verbs.bench.kernel }

        init(
            _ revision: TPHRevision, table: Int, requester: TPHSupport = .tph,
            _ change: (inout Topology) -> Void = { _ in }
        ) throws {
            var topology = Topology.standard
            topology.tph = revision
            topology.nics[0].steeringTable = table
            topology.nics[0].requester = requester
            change(&topology)
            verbs = try VerbsTests(topology)
            self.revision = revision
        }

        func set(_ buffer: Int32, _ tag: UInt16, extended: UInt16? = nil) -> Int {
            let data = TPHTests.data(
                revision, buffer, flags: extended == nil ? 1 : 3, tag: tag, extended: extended ?? 0, hint: 2)
            return verbs.bench.ioctl(verbs.device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(0x2000d, data))
        }

        func region(tag: UInt16, extended: UInt16? = nil) throws -> UnsafeMutablePointer<ibv_mr> {
            let buffer = Int32(verbs.bench.export(verbs.device, [(0, 4096)]))
            #expect(set(buffer, tag, extended: extended) == 0)
            return try kernel.call(Verbs.ibv_reg_dmabuf_mr, verbs.pd, 0, 4096, 0, buffer, 1)
        }

        /// Bytes 60 and 61 of the memory key: flag and hint, index.
        func hint(_ mr: UnsafeMutablePointer<ibv_mr>) throws -> [UInt8] {
            try Array(kernel.call(Verbs.mkeyContext, mr)[60...61])
        }

        func hint(tag: UInt16, extended: UInt16? = nil) throws -> [UInt8] {
            try hint(try region(tag: tag, extended: extended))
        }

        func config(_ place: Int, _ count: Int) -> [UInt8] {
            let file = verbs.bench.open("/sys/bus/pci/devices/0000:03:00.0/config", O_RDONLY)
            defer { _ = kernel.close(file) }
            var bytes = [UInt8](repeating: 0, count: count)
            _ = bytes.withUnsafeMutableBytes { kernel.pread(file, $0, at: UInt64(place)) }
            return bytes
        }

        func handle(cpu: UInt32, type: UInt8 = 0) throws(Errno) -> UnsafeMutableRawPointer {
            let attributes = DMAHInitAttributes(comp_mask: 7, cpu_id: cpu, ph: 1, tph_mem_type: type)
            return try kernel.call(Verbs.ibv_alloc_dmah, verbs.context, attributes)
        }

        func refusal(cpu: UInt32, type: UInt8 = 0) -> Int32 {
            errno { () throws(Errno) in try kernel.call(Verbs.ibv_dealloc_dmah, try handle(cpu: cpu, type: type)) }
        }
    }

    static let none: [UInt8] = [0, 0]

    @Test func tableIsInConfigurationSpace() throws {
        let setup = try Setup(.v11, table: 4)
        #expect(setup.config(0x104, 8) == [0x05, 0x03, 3, 0, 0x02, 0x01, 0, 0])
        #expect(try setup.hint(tag: 0x42) == [0x06, 1])
        #expect(try setup.hint(tag: 0) == [0x06, 2])
        #expect(try setup.hint(tag: 0x42) == [0x06, 1])
        #expect(try setup.hint(tag: 0x43) == [0x06, 3])
        #expect(setup.config(0x10c, 10) == [0, 0, 0x42, 0, 0, 0, 0x43, 0, 0, 0])
        let direct = try Setup(.v11, table: 0)
        #expect(direct.config(0x104, 8) == [0x05, 0x01, 0, 0, 0x02, 0x01, 0, 0])
        #expect(try direct.hint(tag: 0x42) == [0x06, 0x42])
        #expect(direct.config(0x10c, 10) == [UInt8](repeating: 0, count: 10))
    }

    /// Revisions, and whether their table's entries come back when regions go.
    @Test(arguments: TPHRevision.allCases)
    func fullTableIsSilent(_ revision: TPHRevision) throws {
        let setup = try Setup(revision, table: 3)
        let first = try setup.region(tag: 1)
        let again = try setup.region(tag: 1)
        #expect(try setup.hint(tag: 2) == [0x06, 2])
        let without = try setup.region(tag: 3)
        #expect(try setup.hint(without) == SteeringTests.none)
        try setup.kernel.call(Verbs.ibv_dereg_mr, first)
        #expect(try setup.hint(again) == [0x06, 1])
        #expect(try setup.hint(tag: 3) == SteeringTests.none)
        try setup.kernel.call(Verbs.ibv_dereg_mr, again)
        #expect(setup.config(0x10e, 2) == [1, 0])
        let isKept = revision == .v2 || revision == .v7
        #expect(try setup.hint(tag: 3) == (isKept ? SteeringTests.none : [0x06, 1]))
        #expect(setup.config(0x10e, 2) == [isKept ? 1 : 3, 0])
        #expect(try setup.hint(without) == SteeringTests.none)
    }

    @Test func refusedRegistrationGivesItsEntryBack() throws {
        for (revision, expected) in [(TPHRevision.v11, [UInt8(0x06), 1]), (.v2, SteeringTests.none)] {
            let setup = try Setup(revision, table: 2)
            let two = Int32(setup.verbs.bench.export(setup.verbs.device, [(0, 4096), (0x8000, 4096)]))
            #expect(setup.set(two, 7) == 0)
            #expect(setup.verbs.register(0, 4096, 0, two) == EADDRINUSE)
            #expect(try setup.hint(tag: 8) == expected)
        }
    }

    @Test func closingTheDeviceGivesEntriesBack() throws {
        let setup = try Setup(.v11, table: 2)
        #expect(try setup.hint(tag: 7) == [0x06, 1])
        try setup.kernel.call(Verbs.ibv_close_device, setup.verbs.context)
        let context = try setup.kernel.call(
            Verbs.ibv_open_device, try #require(try setup.kernel.call(Verbs.ibv_get_device_list).first))
        let pd = try setup.kernel.call(Verbs.ibv_alloc_pd, context)
        let buffer = Int32(setup.verbs.bench.export(setup.verbs.device, [(0, 4096)]))
        #expect(setup.set(buffer, 9) == 0)
        #expect(try setup.hint(try setup.kernel.call(Verbs.ibv_reg_dmabuf_mr, pd, 0, 4096, 0, buffer, 1)) == [0x06, 1])
        #expect(setup.config(0x10e, 2) == [9, 0])
    }

    @Test func namespaceIsTheRequesters() throws {
        let extended = try Setup(.v11, table: 4, requester: .extended)
        #expect(try extended.hint(tag: 0x42) == SteeringTests.none)
        #expect(try extended.hint(tag: 0x42, extended: 0x1234) == [0x06, 1])
        #expect(extended.config(0x10e, 2) == [0x34, 0x12])
        // Direct mode keeps eight bits.
        let direct = try Setup(.v11, table: 0, requester: .extended)
        #expect(try direct.hint(tag: 0x42, extended: 0x1234) == [0x06, 0x34])
        #expect(try direct.hint(tag: 0x42, extended: 0x1200) == [0x06, 0])
        // v3 takes a tag of 16 bits as one of eight.
        #expect(try Setup(.v3, table: 0).hint(tag: 0x142) == [0x06, 0x42])
    }

    @Test func rootPortLimitsTheRequester() throws {
        let rows: [(TPHSupport, [UInt8], UInt8)] = [
            (.none, SteeringTests.none, 0), (.tph, [0x06, 0x42], 1), (.extended, [0x06, 0x77], 3),
        ]
        for (completer, expected, control) in rows {
            let setup = try Setup(.v11, table: 0, requester: .extended) { topology in
                topology.ports = [Topology.Port(address: "root", completer: completer)]
                topology.devices[2].parent = "root"
            }
            #expect(try setup.hint(tag: 0x42, extended: 0x77) == expected)
            #expect(setup.config(0x109, 1) == [control])
            #expect(setup.refusal(cpu: 0) == (completer == .none ? EPROTONOSUPPORT : EINVAL))
        }
    }

    @Test func deviceWithoutTheCapability() throws {
        for table in [0, 1] {
            let setup = try Setup(.v11, table: table) { $0.devices[2].tphRequester = table == 1 }
            #expect(try setup.hint(tag: 0x42) == SteeringTests.none)
            #expect(setup.refusal(cpu: 0) == EPROTONOSUPPORT)
        }
    }

    @Test func hintIsReadOnce() throws {
        let setup = try Setup(.v11, table: 0)
        let buffer = Int32(setup.verbs.bench.export(setup.verbs.device, [(0, 4096)]))
        func register() throws -> UnsafeMutablePointer<ibv_mr> {
            try setup.kernel.call(Verbs.ibv_reg_dmabuf_mr, setup.verbs.pd, 0, 4096, 0, buffer, 1)
        }
        #expect(setup.set(buffer, 1) == 0)
        let mr = try register()
        #expect(setup.set(buffer, 2) == 0)
        #expect(try setup.hint(mr) == [0x06, 1])
        #expect(setup.verbs.bench.ioctl(setup.verbs.device, VFIO_DEVICE_RESET) == 0)
        #expect(try setup.kernel.reaches(mr))
        #expect(try setup.hint(mr) == [0x06, 1])
        #expect(try setup.hint(try register()) == [0x06, 2])
    }

    @Test func handlesOfCPUs() throws {
        let setup = try Setup(.v11, table: 2) { topology in
            topology.platform.cpuTags = [0x10, 0x1ff]
            topology.platform.allowedCPUs = 3
        }
        #expect(setup.refusal(cpu: 0, type: 2) == EOPNOTSUPP)
        #expect(setup.refusal(cpu: 4) == EINVAL)
        #expect(setup.refusal(cpu: 3) == EPERM)
        #expect(setup.refusal(cpu: 2) == 0)
        let handle = try setup.handle(cpu: 1)
        #expect(setup.config(0x10e, 2) == [0xff, 0])
        #expect(setup.refusal(cpu: 1) == 0)
        #expect(setup.refusal(cpu: 0) == EBUSY)
        #expect(try setup.hint(tag: 0x20) == SteeringTests.none)
        try setup.kernel.call(Verbs.ibv_dealloc_dmah, handle)
        #expect(setup.refusal(cpu: 0) == 0)
        #expect(try Setup(.v11, table: 2).refusal(cpu: 0) == EINVAL)
        let integrated = try Setup(.v11, table: 2) { topology in
            topology.hostBridges = [Topology.HostBridge(name: "pci0000:00")]
            topology.devices[2].parent = "pci0000:00"
        }
        #expect(integrated.refusal(cpu: 0) == ENODEV)
    }

    @Test func handleOutlivesItsRegions() throws {
        let setup = try Setup(.v11, table: 2) { $0.platform.cpuTags = [0x10] }
        let handle = try setup.handle(cpu: 0)
        var attributes = MRInitAttributes()
        attributes.length = 4096
        attributes.access = 1
        attributes.comp_mask = 0x1d
        attributes.fd = setup.verbs.buffer
        attributes.dmah = handle
        #expect(setup.set(setup.verbs.buffer, 0x55) == 0)
        let mr = try setup.kernel.call(Verbs.ibv_reg_mr_ex, setup.verbs.pd, attributes)
        #expect(try setup.hint(mr) == [0x05, 1])
        #expect(errno { () throws(Errno) in try setup.kernel.call(Verbs.ibv_dealloc_dmah, handle) } == EBUSY)
        try setup.kernel.call(Verbs.ibv_dereg_mr, mr)
        #expect(try setup.hint(tag: 0x55) == SteeringTests.none)
        try setup.kernel.call(Verbs.ibv_dealloc_dmah, handle)
        #expect(try setup.hint(tag: 0x55) == [0x06, 1])
    }
}
