import Kernel
import Testing

@testable import Records

/// Records that were written to put something else into C than calls.
@Suite struct HostileRecordTests {
    @Test(arguments: [
        "open(\"/etc/passwd\", O_RDWR|O_TRUNC) = file1", "open(\"/dev/sda\", O_RDWR) = file1",
        "open(\"/dev/vfio/../sda\", O_RDWR) = group1", "open(\"/dev/vfio/new\", O_RDWR|O_CREAT) = group1",
    ])
    func theCOfARecordOpensDevicesAlone(call: String) throws {
        let c = try exportedC(recordText(call))
        #expect(!c.contains("open(paths["))
        #expect(c.contains("is no device"))
    }

    @Test func aRecordDoesNotBecomeMuchMoreC() throws {
        let text =
            "peerlab record 1\n\nopen(\"/dev/iommu\", O_RDWR) = iommufd1 <0.000001>\n"
            + "pwrite(iommufd1, <01*20000000>, 20000000, 0) = 1 <0.000001>\n"
        let c = try exportedC(text)
        #expect(c.utf8.count < 100_000)
        #expect(c.contains("its data are 20000000 bytes"))
    }

    @Test(arguments: [
        "feature DMA_BUF_TPH number=13 size=8 x;};__attribute__((constructor))static\tvoid\tp(void){}struct\tq{int\ty=0:4",
        "feature DMA_BUF_TPH number=13 size=8 9st=0:4", "feature DMA_BUF_TPH number=13 size=8 int=0:4",
        "feature DMA_BUF_TPH number=13 size=8 st=0:4 st=4:4", "feature A*/B number=13 size=8 st=0:4",
        "feature DMA_BUF_TPH number=13 size=8 revision=*/x st=0:4",
        "feature DMA_BUF_TPH number=13 size=8 st=0:4:names(a*/b=1)",
        "feature DMA_BUF_TPH number=13 size=8 st=0:4:flags(a\"b=1)",
        "ioctl(1, IOMMU_DESTROY, {a|b=&<00>}) = 0", "ioctl(1, IOMMU_DESTROY, {while=1}) = 0",
        "ioctl(1, IOMMU_DESTROY, {a-b=1}) = 0", "close(uint8_t) = 0", "close(main1x) = 0", "close(strtok1) = 0",
        "close(device1.a.b) = 0", "close(device1.int) = 0", "feature FOO number=77 size=16 a=0:8 b=4:4 c=8:8",
        "feature FOO number=77 size=8 argsz=4:4", "feature FOO number=77 size=8 feature=4:4",
        "feature FOO number=77 size=8 operation=4:4",
    ])
    func whatIsNoNameInCIsRefusedWithItsLine(_ line: String) {
        let error = #expect(throws: RecordError.self) { try Record(parsing: recordText(line)) }
        #expect(error?.line == 3, "\(error?.text ?? "nothing")")
    }

    @Test(arguments: [
        ("*/ int x; /*", "* / int x; / *"), ("a*", "a*"), ("**//", "** //"), ("/*/", "/ * /"), ("????/", "? ? ? ?/"),
        ("ends in \\", "ends in \\."), ("\u{1b}[8m\r", "\\x1b[8m\\r"), ("gr\u{fc}\u{fc}\u{fc}/", "gr? ? ?/"),
        ("a\nb", "a\\nb"),
    ])
    func aCommentDoesNotEndEarly(_ text: String, _ comment: String) { #expect(CText.comment(text) == comment) }

    @Test func aStringDoesNotEndEarly() {
        #expect(CText.quoted("a\"; system(\"id\"); \\") == #""a\"; system(\"id\"); \\""#)
        #expect(CText.quoted("??/\n\u{0}7\u{e9}") == #""\?\?/\012\0007\303\251""#)
    }

    @Test func textOfTheHeaderStaysInComments() throws {
        let text = "peerlab record 1\nscript: */ int x; /* \\\nset: ??/\n\n# */ int y; \\\nclose(1) = 0 <0.000001>\n"
        let c = try exportedC(text)
        let code = c.split(separator: "\n").filter { $0.contains("int x") || $0.contains("int y") }
        #expect(code.count == 2 && code.allSatisfy { !$0.contains("*/ int") }, "\(code)")
        #expect(!c.contains("\\\n") && !c.contains("??/"))
    }

    @Test func nothingOutsideOfWhatIsMappedIsTouched() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/devices/vfio0\", O_RDWR) = device1",
                "mmap(4096, 3, 1, device1, 0) = map1",
                "store(map1+0xff8, <01 02 03 04>, 4) = 0",
                "store(map1+0xffe, <01 02 03 04>, 4) = 0",
                "store(map1+0x7fff0000, <01 02 03 04>, 4) = 0",
                "store(0x401000, <01 02 03 04>, 4) = 0",
                "load(map1, <01 02 03 04 05 06 07 08>, 4) = 0"))
        #expect(c.split(separator: "\n").count { $0.contains("outside of what is mapped") } == 3)
        #expect(c.contains("a load of 8 bytes does not have the count 4"))
        #expect(accesses(c).count == 1)
    }

    @Test func bytesBehindAnArgumentAreLeftOut() throws {
        let c = try exportedC(recordText("ioctl(1, IOMMU_DESTROY, {size=8, id=7, at40=<41*64>, at4096=<41*64>}) = 0"))
        #expect(!c.contains("memcpy((uint8_t *)&arg"))
    }

    @Test(arguments: ["errno", "stdin", "NULL", "EOF", "O_RDWR", "UNUSED", "si_pid", "gap_8", "__LINE__"])
    func aMemberIsNoMacroOfTheHeaders(name: String) throws {
        let c = try exportedC(
            recordText(
                "feature FOO number=77 size=8 \(name)=4:4",
                "open(\"/dev/vfio/devices/vfio0\", 2) = device1",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=77, operation=2, \(name)=1}) = 0"
            ))
        #expect(c.contains("uint32_t member_\(name);"))
        #expect(c.contains(".member_\(name) = 1"))
    }

    @Test func structuresOfOneNameAndOtherMembersAreTwo() throws {
        let c = try exportedC(
            recordText(
                "feature FOO number=77 size=8 a=0:8", "open(\"/dev/vfio/devices/vfio0\", 2) = device1",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=77, operation=2, a=1}) = 0",
                "feature FOO number=77 size=8 b=0:8",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=16, feature=77, operation=2, b=1}) = 0"))
        #expect(c.contains("struct local_vfio_device_feature_foo { "))
        #expect(c.contains("struct local_vfio_device_feature_foo_2 { "))
        #expect(c.contains("\t\t\tstruct local_vfio_device_feature_foo_2 data;"))
    }

    @Test func aCompletionIsComparedWithWhatTheRecordMade() throws {
        let c = try exportedC(
            recordText(
                "ibv_get_device_list() = 0 {devices=[{name=\"mlx5_0\", device=ibdev1}]}",
                "ibv_open_device(device=ibdev1) = context1",
                "ibv_create_cq(context=context1, cqe=16, channel=0) = cq1",
                "ibv_poll_cq(cq=cq1, num_entries=1) = 1 {wc=[{wr_id=0, status=SUCCESS, qp_num=qp1.qp_num, opcode=SEND}]}"
            ))
        #expect(c.contains("wc[0].status"))
        #expect(!c.contains(", qp1_qp_num);"))
    }

    @Test(arguments: [
        ("1000", "usleep(1);"), ("999999999", "usleep(999999);"), ("3500000000", "sleep(3);\n\tusleep(500000);"),
        ("18446744073709551615", "sleep(60);"),
    ])
    func cWaitsAsLongAsTheRecord(_ nanoseconds: String, _ code: String) throws {
        let c = try exportedC(recordText("nanosleep(\(nanoseconds)) = 0"))
        #expect(c.contains("\t\(code)\n}"), "\(c)")
    }

    @Test func aTextIsWritten() throws {
        let c = try exportedC(recordText("eventfd(0) = eventfd1", "write(eventfd1, \"text\", 4) = 4"))
        #expect(c.contains("data[4] = { 0x74, 0x65, 0x78, 0x74 };"))
    }

    /// A kernel that reads or writes more than the record has must get EFAULT.
    @Test func whatAMemberPointsToEndsWhereMemoryEnds() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/iommu\", O_RDWR) = iommufd1",
                "ioctl(iommufd1, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=ioas1}) = 0",
                "ioctl(iommufd1, IOMMU_IOAS_IOVA_RANGES, {size=32, ioas_id=ioas1, num_iovas=1, allowed_iovas=&<00*16>}) = 0"
            ))
        #expect(c.contains("allowed_iovas_memory = at_end_of_page("), "\(c)")
    }

    private static let objects = [
        "ibv_get_device_list() = 0 {devices=[{name=\"mlx5_0\", device=ibdev1}]}",
        "ibv_open_device(device=ibdev1) = context1", "ibv_alloc_pd(context=context1) = pd1",
        "mmap(0x10000, 3, 0x22, -1, 0) = map1",
        "ibv_reg_mr(pd=pd1, addr=map1, length=0x10000, access=LOCAL_WRITE) = mr1 {lkey=mr1.lkey, rkey=mr1.rkey}",
        "ibv_create_cq(context=context1, cqe=16, channel=0) = cq1",
    ]

    private static func c(_ calls: String...) throws -> String {
        try exportedC("peerlab record 1\n\n" + (objects + calls).map { "\($0) <0.000001>\n" }.joined())
    }

    /// libibverbs frees the structures of destroyed objects, and of what was made of a context.
    @Test func aDestroyedObjectIsNotUsedAgain() throws {
        let region = try Self.c("ibv_dereg_mr(mr=mr1) = 0")
        #expect(region.contains("\t\tif (got == 0) {\n\t\t\tmr1 = NULL;\n\t\t}\n"), "\(region)")
        let context = try Self.c("ibv_close_device(context=context1) = 0")
        for name in ["context1", "pd1", "mr1", "cq1"] {
            #expect(context.contains("\t\t\t\(name) = NULL;\n"), "\(context)")
        }
    }

    /// Whether the second call is made is known when the program runs.
    @Test func aNameThatIsGivenTwiceStandsForNothingBetween() throws {
        let again = try Self.c("mmap(0x40000000, 3, 1, 1, 0) = map1", "eventfd(0) = eventfd1", "eventfd(0) = eventfd1")
        #expect(again.contains("\tmap1 = NULL;\n\tif (fcntl(1, F_GETFD) < 0) {"), "\(again)")
        #expect(again.split(separator: "\n").count { $0.contains("event_fd = -1;") } == 1 + 1)
    }

    /// An element of a work request is an address of its region, which may begin at 0.
    @Test func aWorkRequestMayHaveAnAddressOfItsRegion() throws {
        let c = try Self.c(
            "ibv_post_recv(qp=qp1, wr=[{wr_id=1, sg_list=[{addr=0x10000, length=64, lkey=mr1.lkey}]}]) = 0")
        #expect(!c.contains("an address of the program that was recorded"), "\(c)")
    }

    /// As a pointer to memory that a request fills is among its outputs.
    @Test func anAddressThatComesBackIsComparedAsANumber() throws {
        let c = try exportedC(
            recordText(
                "open(\"/dev/vfio/vfio\", O_RDWR) = container1", "mmap(0x1000, 3, 0x22, -1, 0) = map1",
                "ioctl(container1, VFIO_IOMMU_DIRTY_PAGES, {argsz=48, flags=GET_BITMAP, iova=0, size=0x1000, "
                    + "bitmap_pgsize=0x1000, bitmap_size=64, bitmap_data=map1} => {bitmap_data=map1}) = 0"))
        #expect(c.contains("arg.bitmap_data, (uintptr_t)map1);"), "\(c)")
    }

    @Test func aRecordEndsOnce() throws {
        let text = recordText("nanosleep(1) = 0", "#! end 1 operations", "#! end 1 operations")
        let error = #expect(throws: RecordError.self) { try Record(parsing: text) }
        #expect(error?.text == "line 5: this stands behind the record's end")
    }
}
