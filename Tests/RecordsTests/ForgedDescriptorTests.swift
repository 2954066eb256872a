import Kernel
import SimKernel
import TestBench
import Testing

@testable import Records

/// Records are untrusted: a replay, and C made of a record, use the descriptors that the record's own calls gave, and none
/// that the program has from whoever runs it.
@Suite struct ForgedDescriptorTests {
    @Test(arguments: [
        ("lseek(memfd1, 0, 0) = file1", "file1"), ("fcntl(memfd1, 0, 7) = file1", "file1"),
        ("read(memfd1, <00>, 1) = memfd2", "memfd2"), ("open(\"/dev/iommu\", 2) = context1", "context1"),
        ("open(\"/dev/iommu\", 2) = iommufd1+0x1", "iommufd1+0x1"), ("ibv_alloc_pd(context=context1) = mr1", "mr1"),
        ("mmap(0x1000, 3, 0x22, -1, 0) = device1", "device1"), ("eventfd(0) = map1", "map1"),
        ("ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=file1}) = 0", "file1"),
        ("ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=pd1}) = 0", "pd1"),
        ("ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0}) = file1", "file1"),
        ("ioctl(memfd1, 0x5401, <00>) = file1", "file1"),
        ("ioctl(device1, VFIO_DEVICE_GET_INFO, {argsz=24} => {flags=dmabuf1}) = 0", "dmabuf1"),
        ("ibv_alloc_pd(context=context1) = pd1 {handle=map1}", "map1"),
        ("ibv_reg_mr(pd=pd1, addr=map1, length=1, access=0) = mr1 {lkey=file1, rkey=mr1.rkey}", "file1"),
        ("ibv_query_gid_table(context=context1) = 0 {gids=[{gid=file1, index=0, port=1}]}", "file1"),
        ("close(memfd1) = ioas1", "ioas1"),
    ])
    func aNameIsOneOfWhatTheCallGives(_ call: String, _ name: String) throws {
        let known = Signature.all[String(call.prefix { $0 != "(" })] != nil
        let error = #expect(throws: RecordError.self) { try Record(parsing: recordText("nanosleep(1) = 0", call)) }
        #expect(error?.line == 4)
        if known {
            #expect(error?.message.contains("gives nothing that is called '\(name)'") == true, "\(error?.text ?? "")")
        }
    }

    @Test func anEventNamesAnyObject() throws {
        let event =
            "ibv_get_async_event(context=context1, milliseconds=50) = 1 {event_type=SRQ_LIMIT_REACHED, element=srq3}"
        #expect(try Record(parsing: recordText(event)).operations.count == 1)
    }

    @Test(arguments: [
        ("ioctl(0, 0x5412, <65>) = 0", 0), ("write(1, <1b 5b 33>, 3) = 3", 1), ("ftruncate(1, 0) = 0", 1),
        ("close(2) = 0", 2), ("fcntl(0, 3, 0) = 0", 0), ("lseek(999, 0, 0) = -1 EBADF", 999), ("poll(7, 1) = 0", 7),
        ("read(0, <00>, 1) = 1", 0), ("mmap(0x1000, 1, 1, 3, 0) = map1", 3),
        ("ioctl(0, VFIO_DEVICE_GET_INFO, {argsz=24}) = 0", 0), ("ioctl(0, VFIO_DEVICE_RESET, 0) = 0", 0),
    ])
    func cUsesANumberOnlyWhereNothingHasIt(_ call: String, _ number: Int) throws {
        let c = try exportedC(recordText(call))
        #expect(c.contains("\tif (fcntl(\(number), F_GETFD) < 0) {\n"), "\(c)")
        #expect(c.contains("not done, as descriptor \(number) is not the record's"))
    }

    /// Numbers of requests have several meanings, and each its own members that are checked.
    @Test(arguments: [
        (["open(\"/dev/vfio/vfio\", O_RDWR) = device1"], "device1 is called so, but is a container"),
        (["open(\"/dev/vfio/devices/vfio0\", O_RDWR) = file1"], "file1 is called so, but is a device"),
        (["memfd_create(\"peerlab\", 0) = dmabuf1"], "dmabuf1 is called so, but is a memfd"),
        (
            [
                "open(\"/dev/vfio/vfio\", O_RDWR) = container1",
                "ioctl(container1, VFIO_DEVICE_FEATURE, {argsz=8, flags=0}) = 0",
            ], "VFIO_DEVICE_FEATURE is VFIO_IOMMU_DIRTY_PAGES on container1"
        ),
    ])
    func aDescriptorIsWhatItsCallOpens(_ calls: [String], _ reason: String) throws {
        let c = try exportedC(recordText(calls.joined(separator: " <0.000001>\n")))
        #expect(c.contains("is not made: \(reason)"), "\(c)")
    }

    @Test func theBitmapOfALogIsMemoryOfTheRecord() throws {
        let device = "open(\"/dev/vfio/devices/vfio0\", O_RDWR) = device1 <0.000001>\n"
        func report(_ bitmap: String, argsz: Int = 40) -> String {
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=\(argsz), feature=DMA_LOGGING_REPORT, operation=GET, iova=0, "
                + "length=0x8000, page_size=0x1000, bitmap=\(bitmap)}) = 0"
        }
        let own = "mmap(0x1000, 3, 0x22, -1, 0) = map1 <0.000001>\n"
        #expect(!(try exportedC(recordText(device + own + report("map1")))).contains("is not made"))
        #expect(try exportedC(recordText(device + report("0x7fff00000000"))).contains("is not made"))
        #expect(throws: RecordError.self) {
            try Record(parsing: recordText("feature MINE number=8 size=32 at=0:8", device + report("map1")))
        }
    }

    @Test func cUsesANumberInAStructureOnlyWhereNothingHasIt() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/devices/vfio0\", O_RDWR) = device1",
                "ioctl(device1, VFIO_DEVICE_SET_IRQS, {argsz=28, flags=0x24, index=0, start=0, count=2, data=[{fd=1}, {fd=2}]}) = 0"
            ))
        #expect(c.contains("\tif (fcntl(1, F_GETFD) < 0 && fcntl(2, F_GETFD) < 0) {\n"), "\(c)")
        let none = try exportedC(recordText("close(-1) = -1 EBADF"))
        #expect(!none.contains("F_GETFD"))
    }

    @Test(arguments: [
        ("close(mr1) = 0", "close is not made: mr1 is no descriptor"),
        ("close(eventfd1+0x1) = 0", "close is not made: "),
        ("ibv_dereg_mr(mr=pd1) = 0", "ibv_dereg_mr is not made: pd1 is no mr"),
        ("ibv_dereg_mr(mr=0x1000) = 0", "ibv_dereg_mr is not made: "),
        ("write(&<00*8>, <00>, 1) = 1", "write is not made: "),
        ("fcntl(eventfd1, 8, 1) = 0", "fcntl is not made: "), ("fcntl(eventfd1, 10, 9) = 0", "fcntl is not made: "),
        (
            "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=DMA_BUF_TPH, operation=SET, at8=<01 00 00 00>}) = 0",
            "at8 is where dmabuf_fd is"
        ),
        (
            "ioctl(iommufd1, IOMMU_IOAS_MAP, {size=40, flags=READABLE, ioas_id=ioas1, user_va=map1, length=0x1000, iova=0, "
                + "at26=<01>}) = 0", "at26 is where length is"
        ),
        (
            "ioctl(device1, VFIO_DEVICE_SET_IRQS, {argsz=24, flags=0x24, index=0, start=0, count=1, bytes=24, "
                + "at20=<01 00 00 00>}) = 0", "at20 is where data is"
        ),
        ("ioctl(iommufd1, 0x3b85, <28 00*39>) = 0", "0x3b85 stands for IOMMU_IOAS_MAP"),
        ("ioctl(iommufd1, IOMMU_IOAS_MAP, <28 00*39>) = 0", "its argument is a structure"),
        ("ioctl(device1, VFIO_DEVICE_FEATURE, <10 00*15>) = 0", "its argument is a structure"),
    ])
    func whatIsNotTheRecordsIsNotUsed(_ call: String, _ reason: String) throws {
        let record = try Record(parsing: HostileNumberTests.text(endingWith: call))
        let c = CExport(record).text
        let last = try #require(record.entries.last)
        let number = record.operations.count
        #expect(c.contains("/* call \(number): "))
        #expect(c.contains(reason), "\(c.split(separator: "\n").filter { $0.contains("call \(number):") })")
        let replay = Replay(on: SimKernel(.standard), isReal: false)
        for entry in record.entries.dropLast() { _ = try? replay.step(entry) }
        // A simulated kernel has no descriptors but the record's.
        if !reason.contains("dmabuf_fd"), !reason.contains("where data") {
            #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        }
    }

    /// A record's name of a closed descriptor is a number that anything of this program's may have by now.
    @Test func aClosedDescriptorIsNotUsedWhereAnotherHasItsNumber() throws {
        let record = try Record(
            parsing: recordText(
                "eventfd(0) = eventfd1", "close(eventfd1) = 0", "close(eventfd1) = -1 EBADF",
                "close(eventfd1) = -1 EBADF"))
        let kernel = SimKernel(.standard)
        let replay = Replay(on: kernel, isReal: true)
        for entry in record.entries.dropLast() { #expect(try replay.step(entry) == nil) }
        let other = kernel.eventfd(0)
        #expect(UInt64(other) == replay.symbols.value(of: "eventfd1"))
        let last = try #require(record.entries.last)
        let error = #expect(throws: Replay.Impossible.self) { try replay.step(last) }
        #expect(error?.message == "eventfd1 was closed, and its number is another descriptor's")
    }
}
