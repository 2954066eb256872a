import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// A driver of the kernel that imports dma-bufs: scripts/lab/edu-importer. What the lab's kernel answers to the same is in
/// Tests/Conformance/modules, compared by Tests/Lab/test.
@Suite struct EduImporterTests {
    static let attach = 0x4008_ed00
    static let map = 0x8208_ed01
    static let copy = 0x4018_ed02
    static let unmap = 0xed03
    static let detach = 0xed04
    static let state = 0x8008_ed05
    static let hint = 0xc008_ed06
    static let bar: UInt64 = 1 << 40

    /// The standard bench with the engine in the hands of the importer.
    static func topology(_ change: (inout Topology) -> Void = { _ in }) -> Topology {
        var topology = Topology.standard
        topology.devices[1].driver = "edu_importer"
        topology.devices[1].kind = .edu(dmaMask: .max)
        change(&topology)
        return topology
    }

    /// Both below one switch.
    static func belowSwitch(_ topology: inout Topology, acs: Topology.ACS = []) {
        topology.ports = [
            Topology.Port(address: "root"), Topology.Port(address: "up", parent: "root"),
            Topology.Port(address: "left", parent: "up", acs: acs), Topology.Port(address: "right", parent: "up"),
        ]
        topology.devices[0].parent = "left"
        topology.devices[1].parent = "right"
    }

    let bench: Bench
    let device: Int32
    let importer: Int32

    init() throws { try self.init(EduImporterTests.topology()) }

    init(_ topology: Topology) throws {
        bench = Bench(topology)
        device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        importer = bench.open("/dev/edu-importer")
        try #require(importer >= 0)
    }

    func export(_ ranges: (UInt64, UInt64)...) throws -> Int32 {
        let buffer = Int32(bench.export(device, ranges))
        try #require(buffer >= 0)
        return buffer
    }

    func attach(_ buffer: Int32, flags: UInt32 = 3, _ file: Int32? = nil) -> Int {
        bench.ioctl(file ?? importer, Self.attach, bytes: Bench.bytes(buffer) + Bench.bytes(flags))
    }

    /// The pieces as address and length, or an errno.
    func map(_ file: Int32? = nil) -> (result: Int, count: UInt32, pieces: [[UInt64]]) {
        var words = [UInt64](repeating: 0, count: 65)
        let result = words.withUnsafeMutableBytes { bench.kernel.ioctl(file ?? importer, UInt(Self.map), .memory($0)) }
        let count = UInt32(words[0])
        return (result, count, (0..<Int(min(count, 32))).map { [words[1 + 2 * $0], words[2 + 2 * $0]] })
    }

    func copy(_ from: UInt64, _ to: UInt64, _ length: UInt64) -> Int {
        bench.ioctl(importer, Self.copy, bytes: [from, to, length].flatMap { Bench.bytes($0) })
    }

    /// How often the exporter has called, and whether it is mapped.
    func state(_ file: Int32? = nil) -> [UInt32] {
        var words: [UInt32] = [99, 99]
        let result = words.withUnsafeMutableBytes {
            bench.kernel.ioctl(file ?? importer, UInt(Self.state), .memory($0))
        }
        return result == 0 ? words : []
    }

    /// Tag and hint, or an errno.
    func hint(_ extended: UInt32) -> [Int] {
        var words: [UInt32] = [extended, 0xff00_0000]
        let result = words.withUnsafeMutableBytes { bench.kernel.ioctl(importer, UInt(Self.hint), .memory($0)) }
        #expect(words[0] == extended)
        return result < 0 ? [result] : [Int(words[1] & 0xffff), Int(words[1] >> 16)]
    }

    func heap(_ length: UInt64) throws -> Int32 {
        var bytes = Bench.bytes(length) + Bench.bytes(UInt64(0x80002) << 32) + Bench.bytes(UInt64(0))
        let file = bench.open("/dev/dma_heap/system")
        let result = bytes.withUnsafeMutableBytes { bench.kernel.ioctl(file, 0xc018_4800, .memory($0)) }
        try #require(result == 0)
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: Int32.self) }
    }

    // MARK: The file

    @Test func isThereWithItsDriver() {
        #expect(Bench().open("/dev/edu-importer") == -ENOENT)
        var topology = Self.topology()
        topology.devices[1].kind = .memory
        #expect(Bench(topology).open("/dev/edu-importer") == -ENOENT)
    }

    @Test func refusesInTheModulesOrder() throws {
        let buffer = try export((0, 4096))
        for request in [Self.map, Self.copy, Self.unmap, Self.detach, Self.state, Self.hint, 0xed07] {
            #expect(bench.ioctl(importer, request) == Int(-EBADFD))
        }
        #expect(bench.ioctl(importer, Self.attach, bytes: Bench.bytes(buffer)) == Int(-EFAULT))
        #expect(attach(99, flags: 4) == Int(-EINVAL))
        #expect(attach(99) == Int(-EBADF))
        #expect(attach(device) == Int(-EINVAL))
        #expect(attach(buffer) == 0)
        #expect(bench.ioctl(importer, Self.attach) == Int(-EBADFD))
        #expect(bench.ioctl(importer, 0xed07) == Int(-ENOTTY))
        #expect(bench.ioctl(importer, Self.copy) == Int(-EFAULT))
        #expect(bench.ioctl(importer, Self.detach) == 0)
        #expect(bench.ioctl(importer, Self.detach) == Int(-EBADFD))
    }

    @Test func asksForBothAbilities() throws {
        let buffer = try export((0, 4096))
        let answers = (0..<4).map { attach(buffer, flags: UInt32($0)) }
        #expect(answers == [Int(-EOPNOTSUPP), Int(-EOPNOTSUPP), Int(-EOPNOTSUPP), 0])
        bench.put(device, 7, 4, UInt16(0))
        #expect(bench.ioctl(importer, Self.detach) == 0)
        let revoked = (0..<4).map { attach(buffer, flags: UInt32($0)) }
        #expect(revoked == [-EOPNOTSUPP, -ENODEV, -EOPNOTSUPP, -ENODEV].map { Int($0) })
    }

    @Test func countsAsAUserOfTheBuffer() throws {
        let buffer = try export((0, 4096))
        func count() -> Bool { bench.text("/proc/self/fdinfo/\(buffer)").contains("count:\t2\n") }
        #expect(!count())
        #expect(attach(buffer) == 0)
        #expect(count())
        #expect(bench.kernel.close(importer) == 0)
        #expect(!count())
    }

    // MARK: Routes

    @Test func throughAHostBridgeOneRangeIsTranslated() throws {
        #expect(attach(try export((0x4000, 0x10000))) == 0)
        let (result, count, pieces) = map()
        #expect(result == 0 && count == 1)
        #expect(pieces[0][0] < Self.bar && pieces[0][0] & 4095 == 0 && pieces[0][1] == 0x10000)
        #expect(map().result == Int(-EBUSY))
        #expect(bench.ioctl(importer, Self.detach) == 0)
        #expect(attach(try export((0, 4096), (8192, 4096))) == 0)
        #expect(map().result == Int(-EADDRINUSE))
        #expect(state() == [0, 0])
    }

    @Test func twoMappingsDoNotShareAddresses() throws {
        let buffer = try export((0, 0x10000))
        let other = bench.open("/dev/edu-importer")
        #expect(attach(buffer) == 0 && attach(buffer, other) == 0)
        let first = map().pieces[0][0]
        #expect(map(other).pieces[0][0] != first)
        #expect(bench.ioctl(importer, Self.unmap) == 0)
        #expect(map().pieces[0][0] == first)
    }

    @Test(arguments: [Topology.ACS(), .requestRedirect])
    func belowASwitch(_ acs: Topology.ACS) throws {
        let tests = try EduImporterTests(Self.topology { Self.belowSwitch(&$0, acs: acs) })
        #expect(tests.attach(try tests.export((0x2000, 0x1000), (0, 0x1000))) == 0)
        let (result, count, pieces) = tests.map()
        guard acs.isEmpty else {
            #expect(result == Int(-EADDRINUSE))
            return
        }
        #expect(result == 0 && count == 2)
        #expect(pieces == [[Self.bar + 0x2000, 0x1000], [Self.bar, 0x1000]])
        // From the end of one range into the other.
        tests.bench.put(tests.device, 2, 0x2ff8, UInt64(0x1122_3344_5566_7788))
        #expect(tests.copy(0xff8, 0x1000, 8) == 0)
        #expect(tests.bench.get(tests.device, 2, 0, UInt64.self) == 0x1122_3344_5566_7788)
        let requests = try #require(tests.bench.kernel.tlps).requests
        #expect(requests.map(\.address) == [Self.bar + 0x2ff8, Self.bar])
        #expect(requests.map(\.isWrite) == [false, true])
        #expect(requests.allSatisfy { $0.requester == 0x0200 })
    }

    /// A switch looks at addresses when requests come, the kernel looked at the switch when it mapped.
    @Test func redirectionAfterTheMap() throws {
        let tests = try EduImporterTests(Self.topology { Self.belowSwitch(&$0) })
        #expect(tests.attach(try tests.export((0, 0x10000))) == 0)
        #expect(tests.map().result == 0)
        tests.bench.kernel.setACS(.requestRedirect, of: "left")
        tests.bench.put(tests.device, 2, 0, UInt64(7))
        #expect(tests.copy(0, 4096, 8) == 0)
        #expect(tests.bench.get(tests.device, 2, 4096, UInt64.self) == 0)
        #expect(tests.bench.kernel.iommuFaults.count == 2)
        #expect(tests.bench.kernel.tlps?.requests.isEmpty == true)
    }

    @Test func withoutAListedBridge() throws {
        let tests = try EduImporterTests(
            Self.topology { $0.hostBridges = [Topology.HostBridge(name: "pci0000:00", listing: .none)] })
        #expect(tests.attach(try tests.export((0, 4096))) == 0)
        #expect(tests.map().result == Int(-EINVAL))
        #expect(tests.copy(0, 8, 8) == Int(-ENXIO))
    }

    @Test func withoutTranslation() throws {
        let tests = try EduImporterTests(Self.topology { $0.iommuTranslates = false })
        #expect(tests.attach(try tests.export((0x3000, 4096), (0, 4096))) == 0)
        #expect(tests.map().pieces == [[Self.bar + 0x3000, 4096], [Self.bar, 4096]])
        tests.bench.put(tests.device, 2, 0x3000, UInt64(0x5a5a))
        #expect(tests.copy(0, 4096, 8) == 0)
        #expect(tests.bench.get(tests.device, 2, 0, UInt64.self) == 0x5a5a)
    }

    @Test func tellsThirtyTwoPiecesAndCountsAll() throws {
        let tests = try EduImporterTests(Self.topology { Self.belowSwitch(&$0) })
        let ranges = (0..<40).map { (UInt64($0) * 8192, UInt64(4096)) }
        let buffer = Int32(tests.bench.export(tests.device, ranges))
        #expect(tests.attach(buffer) == 0)
        let (result, count, pieces) = tests.map()
        #expect(result == 0 && count == 40 && pieces.last == [Self.bar + 31 * 8192, 4096])
        tests.bench.put(tests.device, 2, 39 * 8192, UInt64(0x77))
        #expect(tests.copy(39 * 4096, 0, 8) == 0)
        #expect(tests.bench.get(tests.device, 2, 0, UInt64.self) == 0x77)
    }

    // MARK: DMA

    @Test func copiesInParts() throws {
        #expect(attach(try export((0x1000, 0x20000))) == 0)
        #expect(copy(0, 4096, 1) == Int(-ENXIO))
        #expect(map().result == 0)
        let sent = (0..<10000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        _ = sent.withUnsafeBytes { bench.kernel.pwrite(device, $0, at: 2 << 40 + 0x1003) }
        #expect(copy(3, 0x10005, 10000) == 0)
        var found = [UInt8](repeating: 0, count: 10001)
        _ = found.withUnsafeMutableBytes { bench.kernel.pread(device, $0, at: 2 << 40 + 0x11005) }
        #expect(found.elementsEqual(sent + [0]))
        // Through the IOMMU to the BAR; a read is at most 512 bytes, a write 128.
        let requests = try #require(bench.kernel.tlps).requests
        #expect(requests.first?.address == Self.bar + 0x1003 && requests.first?.isWrite == false)
        #expect(requests.filter(\.isWrite).reduce(0) { $0 + $1.length } == 10000)
        #expect(bench.kernel.iommuFaults.isEmpty)
    }

    @Test func copiesNothingBeyondTheBuffer() throws {
        #expect(attach(try export((0, 8192))) == 0)
        #expect(copy(8192, 8192, 0) == 0)
        for (from, to, length) in [(0, 0, 8193), (1, 0, 8192), (0, 8185, 8), (.max, 0, 1), (0, .max, 2)]
            as [(
                UInt64, UInt64, UInt64
            )]
        {
            #expect(copy(from, to, length) == Int(-ERANGE))
        }
    }

    @Test func hostMemory() throws {
        let buffer = try heap(0x21000)
        #expect(attach(buffer, flags: 0) == 0)
        #expect(map().pieces.map { $0[1] } == [0x10000, 0x10000, 0x1000])
        let memory = try bench.kernel.mmap(
            length: 0x21000, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, buffer, at: 0)
        memory.storeBytes(of: 0x1234_5678, as: UInt32.self)
        #expect(copy(0, 0x20000, 4) == 0)
        #expect(memory.load(fromByteOffset: 0x20000, as: UInt32.self) == 0x1234_5678)
        #expect(bench.kernel.tlps?.requests.map(\.target) == [nil, nil])
    }

    @Test func givesUpOnAnEngineThatDoesNotFinish() throws {
        #expect(attach(try export((0, 8192))) == 0)
        #expect(map().result == 0)
        _ = bench.kernel.sleep(nanoseconds: .max)
        #expect(copy(0, 4096, 8) == Int(-ETIMEDOUT))
    }

    // MARK: Revocation

    @Test func bothEdgesAreCounted() throws {
        #expect(attach(try export((0, 0x10000))) == 0)
        #expect(map().result == 0)
        bench.put(device, 7, 4, UInt16(0))
        #expect(state() == [1, 0])
        #expect(map().result == Int(-ENODEV))
        bench.put(device, 7, 4, UInt16(2))
        #expect(state() == [2, 0])
        #expect(copy(0, 4096, 8) == Int(-ENXIO))
        #expect(map().result == 0)
        #expect(bench.ioctl(device, VFIO_DEVICE_RESET) == 0)
        #expect(state() == [4, 0])
        #expect(map().result == 0)
        #expect(bench.kernel.close(device) == 0)
        #expect(state() == [5, 0])
        #expect(map().result == Int(-ENODEV))
    }

    @Test func anImporterThatDetachedHearsNothing() throws {
        let buffer = try export((0, 4096))
        #expect(attach(buffer) == 0)
        #expect(bench.ioctl(device, VFIO_DEVICE_RESET) == 0)
        #expect(bench.ioctl(importer, Self.detach) == 0)
        #expect(bench.ioctl(device, VFIO_DEVICE_RESET) == 0)
        #expect(attach(buffer) == 0)
        #expect(state() == [0, 0])
    }

    @Test func aMapThatCannotBeToldStays() throws {
        #expect(attach(try export((0, 4096))) == 0)
        #expect(bench.ioctl(importer, Self.map, bytes: [0, 0, 0, 0]) == Int(-EFAULT))
        #expect(state() == [0, 1])
    }

    // MARK: Hints

    func set(_ data: [UInt8], number: Int = 13, _ on: Int32? = nil) -> Int {
        bench.ioctl(on ?? device, VFIO_DEVICE_FEATURE, bytes: Bench.feature(VFIO_DEVICE_FEATURE_SET | number, data))
    }

    func v2(_ buffer: Int32, tag: UInt16, ph: UInt8) -> Int {
        set(Bench.bytes(buffer) + Bench.bytes(tag) + [ph, 0])
    }

    func v6(_ buffer: Int32, flags: UInt32, tag: UInt8, extended: UInt16, ph: UInt8) -> Int {
        set(Bench.bytes(buffer) + Bench.bytes(flags) + Bench.bytes(extended) + [tag, ph])
    }

    @Test func v2LooksAtTheWidth() throws {
        let buffer = try export((0, 4096))
        #expect(attach(buffer) == 0)
        #expect(hint(0) == [Int(-EOPNOTSUPP)] && hint(1) == [Int(-EOPNOTSUPP)])
        #expect(v2(buffer, tag: 0xff, ph: 2) == 0)
        #expect(hint(0) == [0xff, 2] && hint(1) == [0xff, 2])
        // Of the series' answer it takes any hint, also one that no request can carry.
        #expect(v2(buffer, tag: 0x100, ph: 0xfe) == 0)
        #expect(hint(0) == [Int(-EINVAL)] && hint(0xffff_ffff) == [0x100, 0xfe])
    }

    @Test func v6LooksAtTheNamespace() throws {
        let tests = try EduImporterTests(Self.topology { $0.tph = .v6 })
        let buffer = try tests.export((0, 4096))
        #expect(tests.attach(buffer) == 0)
        #expect(tests.v6(buffer, flags: 1, tag: 0x42, extended: 0x1234, ph: 1) == 0)
        #expect(tests.hint(0) == [0x42, 1] && tests.hint(1) == [Int(-EOPNOTSUPP)])
        #expect(tests.v6(buffer, flags: 2, tag: 0x42, extended: 0x1234, ph: 3) == 0)
        #expect(tests.hint(0) == [Int(-EOPNOTSUPP)] && tests.hint(1) == [0x1234, 3])
        #expect(tests.v6(buffer, flags: 0, tag: 0, extended: 0, ph: 0) == 0)
        #expect(tests.hint(1) == [Int(-EOPNOTSUPP)])
    }

    @Test func withoutTheSeries() throws {
        let tests = try EduImporterTests(Self.topology { $0.tph = nil })
        #expect(tests.attach(try tests.export((0, 4096))) == 0)
        #expect(tests.hint(0) == [Int(-ENOENT)])
    }

    // MARK: The module

    static let debugfs = "/sys/kernel/debug/vfio_tph/dmabufs"

    static func module(_ revision: TPHRevision) -> Topology {
        topology {
            $0.tph = revision
            $0.devices[0].driver = "vfio_tph"
            // Its parameter `requester` makes up for what the device lacks.
            $0.devices[0].tphRequester = false
        }
    }

    @Test func debugfsShowsWhatIsStored() throws {
        let tests = try EduImporterTests(Self.module(.v6))
        func inode(_ buffer: Int32) -> Substring {
            let lines = tests.bench.text("/proc/self/fdinfo/\(buffer)").split(separator: "\n")
            return lines.first { $0.hasPrefix("ino:\t") }?.dropFirst(5) ?? ""
        }
        #expect(tests.bench.text(Self.debugfs).isEmpty)
        let one = try tests.export((0, 4096))
        let two = try tests.export((0, 8192))
        #expect(tests.v6(two, flags: 2, tag: 7, extended: 0x1234, ph: 3) == 0)
        #expect(tests.v6(one, flags: 1, tag: 66, extended: 0, ph: 2) == 0)
        let (first, second) = ("\(inode(two)) 8192 2 7 4660 3\n", "\(inode(one)) 4096 1 66 0 2\n")
        #expect(tests.bench.text(Self.debugfs) == first + second)
        #expect(tests.v6(two, flags: 2, tag: 7, extended: 0x1234, ph: 3) == 0)
        #expect(tests.bench.text(Self.debugfs) == first + second)
        #expect(tests.v6(two, flags: 0, tag: 0, extended: 0, ph: 0) == 0)
        #expect(tests.bench.text(Self.debugfs) == second)
        #expect(tests.v6(two, flags: 2, tag: 7, extended: 0x1234, ph: 3) == 0)
        #expect(tests.bench.text(Self.debugfs) == second + first)
        #expect(tests.bench.kernel.close(one) == 0)
        #expect(tests.bench.text(Self.debugfs) == first)
        #expect(tests.attach(two) == 0 && tests.hint(1) == [0x1234, 3])
        #expect(tests.bench.kernel.close(tests.device) == 0)
        #expect(tests.bench.text(Self.debugfs).isEmpty)
        #expect(tests.hint(1) == [Int(-EOPNOTSUPP)])
    }

    /// The series keeps a hint as long as its dma-buf, and shows none.
    @Test func theSeriesDiffers() throws {
        let buffer = try export((0, 4096))
        #expect(attach(buffer) == 0)
        #expect(v2(buffer, tag: 9, ph: 1) == 0)
        #expect(bench.open(Self.debugfs, O_RDONLY) == -ENOENT)
        #expect(bench.kernel.close(device) == 0)
        #expect(hint(0) == [9, 1])
    }

    /// A parameter of the module stands in for the capability that v6 wants.
    @Test func v6WantsARequester() throws {
        let tests = try EduImporterTests(Self.module(.v6))
        let buffer = try tests.export((0, 4096))
        let parameter = tests.bench.open("/sys/module/vfio_tph/parameters/requester")
        func write(_ text: String) -> Int {
            Array(text.utf8).withUnsafeBytes { tests.bench.kernel.write(parameter, $0) }
        }
        #expect(tests.v6(buffer, flags: 1, tag: 1, extended: 0, ph: 0) == 0)
        #expect(write("N\n") == 2)
        #expect(tests.v6(buffer, flags: 1, tag: 1, extended: 0, ph: 0) == Int(-EOPNOTSUPP))
        #expect(write("maybe") == Int(-EINVAL))
        #expect(tests.bench.text("/sys/module/vfio_tph/parameters/requester") == "N\n")
        #expect(write("on") == 2)
        #expect(tests.v6(buffer, flags: 1, tag: 1, extended: 0, ph: 0) == 0)
    }

    @Test func onlyBoundFunctionsHaveTheFeature() throws {
        var topology = Self.module(.v2)
        topology.devices[1].driver = "vfio-pci"
        let bench = Bench(topology)
        let iommufd = bench.open("/dev/iommu")
        let probe = Bench.feature(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | 13, [])
        let served = try bench.bound(Bench.exporter, to: iommufd)
        let other = try bench.bound(Bench.engine, to: iommufd)
        #expect(bench.ioctl(served, VFIO_DEVICE_FEATURE, bytes: probe) == 0)
        #expect(bench.ioctl(other, VFIO_DEVICE_FEATURE, bytes: probe) == Int(-ENOTTY))
        #expect(bench.text("/proc/kallsyms").contains("vfio_pci_core_feature_dma_buf_tph\t[vfio_tph]\n"))
        #expect(!bench.text("/proc/kallsyms").contains("pcie_tph_supported"))
        #expect(Bench(Self.module(.v6)).text("/proc/kallsyms").contains("pcie_tph_supported\t[pcie_tph]\n"))
    }
}
