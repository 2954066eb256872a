import Kernel
import Testing

@testable import Records

/// Records that were written to put something else into C than calls.
@Suite struct HostileRecordTests {
    private static func record(_ lines: String...) -> String {
        "peerlab record 1\n\n" + lines.joined(separator: "\n") + "\n"
    }

    @Test(arguments: [
        "open(\"/etc/passwd\", O_RDWR|O_TRUNC)", "open(\"/dev/sda\", O_RDWR)", "open(\"/dev/vfio/../sda\", O_RDWR)",
        "open(\"/dev/vfio/new\", O_RDWR|O_CREAT)",
    ])
    func theCOfARecordOpensDevicesAlone(call: String) throws {
        let c = try CExport(Record(parsing: "peerlab record 1\n\n\(call) = iommufd1 <0.000001>\n")).text
        #expect(!c.contains("open(paths["))
        #expect(c.contains("is no device"))
    }

    @Test func aRecordDoesNotBecomeMuchMoreC() throws {
        let text =
            "peerlab record 1\n\nopen(\"/dev/iommu\", O_RDWR) = iommufd1 <0.000001>\n"
            + "pwrite(iommufd1, <01*20000000>, 20000000, 0) = 1 <0.000001>\n"
        let c = try CExport(Record(parsing: text)).text
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
        "close(device1.a.b) = 0", "close(device1.int) = 0",
    ])
    func whatIsNoNameInCIsRefusedWithItsLine(_ line: String) {
        let error = #expect(throws: RecordError.self) { try Record(parsing: Self.record(line)) }
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
        let c = try CExport(Record(parsing: text)).text
        let code = c.split(separator: "\n").filter { $0.contains("int x") || $0.contains("int y") }
        #expect(code.count == 2 && code.allSatisfy { !$0.contains("*/ int") }, "\(code)")
        #expect(!c.contains("\\\n") && !c.contains("??/"))
    }

    @Test func nothingOutsideOfWhatIsMappedIsTouched() throws {
        let c = try CExport(
            Record(
                parsing: Self.record(
                    "open(\"/dev/vfio/devices/vfio0\", O_RDWR) = device1 <0.000001>",
                    "mmap(4096, 3, 1, device1, 0) = map1 <0.000001>",
                    "store(map1+0xff8, <01 02 03 04>, 4) = 0 <0.000001>",
                    "store(map1+0xffe, <01 02 03 04>, 4) = 0 <0.000001>",
                    "store(map1+0x7fff0000, <01 02 03 04>, 4) = 0 <0.000001>",
                    "store(0x401000, <01 02 03 04>, 4) = 0 <0.000001>",
                    "load(map1, <01 02 03 04 05 06 07 08>, 4) = 0 <0.000001>"))
        ).text
        #expect(c.split(separator: "\n").count { $0.contains("outside of what is mapped") } == 3)
        #expect(c.contains("a load of 8 bytes does not have the count 4"))
        #expect(c.split(separator: "\n").count { $0.contains("got = copy(") } == 1)
    }

    @Test func bytesBehindAnArgumentAreLeftOut() throws {
        let c = try CExport(
            Record(parsing: Self.record("ioctl(1, IOMMU_DESTROY, {size=8, id=7, at40=<41*64>, at4096=<41*64>}) = 0"))
        ).text
        #expect(!c.contains("memcpy((uint8_t *)&arg"))
    }
}
