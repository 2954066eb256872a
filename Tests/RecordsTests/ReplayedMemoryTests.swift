import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Records are untrusted: a replay, and C made of a record, touch the memory that the record mapped, and none of the program's
/// own beside it.
@Suite struct ReplayedMemoryTests {
    /// Makes the calls but the last one.
    private static func replay(_ text: String) throws -> (replay: Replay, last: Record.Entry) {
        let record = try Record(parsing: text)
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        for entry in record.entries.dropLast() { _ = try? replay.step(entry) }
        return (replay, try #require(record.entries.last))
    }

    /// Maps a page behind map1, where there is none yet; what lies there is this program's.
    private static func withMemoryBehind(_ replay: Replay, _ body: () throws -> Void) throws {
        let base = try #require(replay.symbols.value(of: "map1"))
        let behind = try #require(UnsafeMutableRawPointer(bitPattern: UInt(base) + 0x10000))
        let page = mmap(
            behind, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x10_0000 /* MAP_FIXED_NOREPLACE */, -1, 0)
        defer { if page != MAP_FAILED { munmap(page, 4096) } }
        try body()
    }

    @Test(arguments: [4, 6, 0])
    func aStoreHasTheBytesThatItCounts(count: Int) throws {
        let text = recordText("mmap(0x2000, 3, 0x22, -1, 0) = map1", "store(map1, <41 42 43 44 45>, \(count)) = 0")
        let (replay, store) = try Self.replay(text)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(store) }
        #expect(error?.message == "a store of 5 bytes does not have the count \(count)")
        let load = try Record(parsing: recordText("load(map1, <00*8>, 8) = 0")).entries[0]
        #expect(try replay.step(load) == nil, "nothing was stored")
        #expect(try accesses(exportedC(text)).isEmpty)
    }

    @Test(arguments: [
        "ibv_reg_mr(pd=pd1, addr=map1, length=0x10001, access=LOCAL_WRITE) = mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ibv_reg_mr(pd=pd1, addr=map1+0xf000, length=0x2000, access=LOCAL_WRITE) = mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ibv_reg_mr(pd=pd1, addr=map1, length=0x20000, access=ON_DEMAND) = mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ibv_reg_mr(pd=pd1, addr=0, length=0xffffffffffffffff, access=ON_DEMAND) = mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ibv_reg_mr_ex(pd=pd1, length=0x11000, access=LOCAL_WRITE, comp_mask=ADDR, iova=0, addr=map1, fd=-1, fd_offset=0, dmah=0) "
            + "= mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=map1, length=0x11000, iova=0}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=map1+0xfff8, length=0x1000, iova=0}) = 0",
        "ioctl(iommufd1, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=READ, vaddr=map1, iova=0, size=0x11000}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_IOVA_RANGES, {size=32, ioas_id=ioas1, num_iovas=2, allowed_iovas=map1+0xfff8}) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=SEND, send_flags=INLINE, sg_list=[{addr=map1+0xfff0, length=32, lkey=0}]}]) = 0",
        "ibv_post_send(qp=qp1, wr=[{wr_id=1, opcode=SEND, send_flags=INLINE, sg_list=[{addr=0x1000, length=32, lkey=0}]}]) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_ALLOC, map1+0x10000) = 0", "ioctl(iommufd1, 0x3bff, map1+0x10000) = 0",
    ])
    func whatACallMayReachIsMapped(_ call: String) throws {
        let text = HostileNumberTests.text(endingWith: call)
        let (replay, last) = try Self.replay(text)
        try Self.withMemoryBehind(replay) {
            #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        }
        #expect(try exportedC(text).contains("/* call \(Self.count(text)): \(Self.name(call)) is not made: "))
    }

    /// How many calls a record has.
    private static func count(_ text: String) throws -> Int { try Record(parsing: text).operations.count }

    private static func name(_ call: String) -> String {
        let words = call.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
        return String(call.hasPrefix("ioctl") ? (words[2] == "0x3bff" ? "ioctl" : words[2]) : words[0])
    }

    /// To the last page's end, and where the kernel finds nothing.
    @Test(arguments: [
        "ibv_reg_mr(pd=pd1, addr=map1+0xf000, length=0x1000, access=LOCAL_WRITE) = mr9 {lkey=mr9.lkey, rkey=mr9.rkey}",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=map1+0xff0, length=0xf010, iova=0}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=0xffff800000000000, length=0x1000, "
            + "iova=0}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=map1, length=0xffffffffffffffff, "
            + "iova=0}) = 0",
        "ioctl(iommufd1, IOMMU_IOAS_ALLOW_IOVAS, {size=24, ioas_id=ioas1, num_iovas=5000, allowed_iovas=map1}) = 0",
    ])
    func whatIsMappedMayBeReached(_ call: String) throws {
        let text = HostileNumberTests.text(endingWith: call)
        let (replay, last) = try Self.replay(text)
        _ = try replay.step(last)
        #expect(try !exportedC(text).contains("/* call \(Self.count(text)): "))
    }

    @Test(arguments: [
        "mmap(0x1000, 3, 0x32, -1, 0)", "mmap(0x1000, 0, 0x4032, -1, 0)", "mmap(0x1000, 3, 0x100022, -1, 0)",
        "mmap(0x1000, 3, 0x122, -1, 0)", "mmap(0x1000, 7, 0x22, -1, 0)", "mmap(0x1000, 0x1000003, 0x22, -1, 0)",
        "mmap(0x1000, 5, 1, memfd1, 0)",
    ])
    func memoryIsMappedWhereTheKernelChoosesAndIsNoCode(_ call: String) throws {
        let text = recordText("memfd_create(\"peerlab\", 0) = memfd1", call + " = map1")
        let (replay, last) = try Self.replay(text)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        #expect(error?.message.hasPrefix("mmap with ") == true, "\(error?.message ?? "")")
        let c = try exportedC(text)
        #expect(c.contains("mmap is not made: mmap with "))
        #expect(!c.contains("got = mmap("))
    }

    @Test(arguments: [
        "mmap(0x1000, 3, 0x22, -1, 0)", "mmap(0x200000, 3, 0x54040022, -1, 0)", "mmap(0x1000, 1, 1, memfd1, 0)",
        "mmap(0x1000, 3, 0x8002, memfd1, 0)", "mmap(0x1000, 5, 1, device1, 0)",
    ])
    func whatScenariosMapIsMapped(_ call: String) throws {
        let text = recordText(
            "open(\"/dev/vfio/devices/vfio0\", O_RDWR) = device1", "memfd_create(\"peerlab\", 0) = memfd1",
            call + " = map1")
        let (replay, last) = try Self.replay(text)
        _ = try replay.step(last)
        #expect(try exportedC(text).contains("got = mmap("))
    }

    @Test(arguments: ["1", "0xfff", "0x1000", "0x2000"])
    func whatIsUnmappedInPartIsNotTouched(length: String) throws {
        let text = recordText(
            "mmap(0x2000, 3, 0x22, -1, 0) = map1", "munmap(map1, \(length)) = 0", "load(map1, <00*4>, 4) = 0")
        let (replay, load) = try Self.replay(text)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(load) }
        #expect(error?.message == "map1 is not mapped there")
        #expect(try accesses(exportedC(text)).isEmpty)
    }

    @Test(arguments: [
        "munmap(map1, 0x3000)", "munmap(map1+0x1000, 0x1000)", "munmap(0x400000, 0x1000)",
        "munmap(&<00>, 0x7fffffff0000)",
        "munmap(0, 0x7fffffff0000)",
    ])
    func whatIsNotMappedIsNotUnmapped(_ call: String) throws {
        let text = recordText("mmap(0x2000, 3, 0x22, -1, 0) = map1", "\(call) = 0")
        let (replay, last) = try Self.replay(text)
        #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        #expect(try !exportedC(text).contains("result(munmap("))
        let twice = recordText(
            "mmap(0x2000, 3, 0x22, -1, 0) = map1", "munmap(map1, 0x2000) = 0", "munmap(map1, 0x2000) = 0")
        #expect(try exportedC(twice).split(separator: "\n").count { $0.contains("result(munmap(") } == 1)
    }

    @Test func cTouchesNothingWhereItsMmapFailed() throws {
        func lines(_ data: String, _ count: Int) throws -> [Substring] {
            let map = "mmap(0x7fffffffffff, 3, 0x22, -1, 0) = map1"
            return try exportedC(recordText(map, "store(map1+0x403000, <\(data)>, \(count)) = 0")).split(
                separator: "\n")
        }
        // Zeros at the end are left out of an array.
        for (lines, area, stop) in [
            (try lines("41*16", 16), "area", "stop(call, name);"),
            (try lines("00*64", 64), "map1", "stop(2, \"map1\");"),
        ] {
            let copy = try #require(lines.lastIndex { $0.contains(" copy(") })
            let check = try #require(lines[..<copy].lastIndex { $0.contains("if (") })
            #expect(lines[check].contains("if (!\(area))") && lines[check + 1].contains(stop), "\(lines)")
        }
    }
}
