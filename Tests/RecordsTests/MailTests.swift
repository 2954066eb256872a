import Kernel
import Testing

@testable import Records

/// What a mail to a kernel list is made of.
@Suite struct MailTests {
    private static let maintainers = Maintainers(
        parsing: """
            List of maintainers
            -------------------

            VFIO DRIVER
            M:\tAlex Example <alex@example.org>
            R:\tRob Example <rob@example.org>
            L:\tkvm@vger.example.org (moderated for non-subscribers)
            F:\tdrivers/vfio/
            F:\tinclude/uapi/linux/vfio.h
            X:\tdrivers/vfio/cdx/

            VFIO PCI FILES ALONE
            M:\tPeter Example <peter@example.org>
            F:\tdrivers/vfio/pci/*

            BAD
            M:\tno address
            M:\tEvil <evil@example.org>\u{1b}[2J
            F:\tdrivers/evil/

            THE REST
            M:\tNobody <nobody@example.org>
            F:\t*
            F:\t*/
            """)

    @Test func mailGoesToThoseWhoMaintainAFile() {
        let pci = Self.maintainers.addressees(of: ["drivers/vfio/pci/vfio_pci_core.c"])
        #expect(pci.to == ["Alex Example <alex@example.org>", "Peter Example <peter@example.org>"])
        #expect(
            pci.cc == ["kvm@vger.example.org", "linux-kernel@vger.kernel.org", "Rob Example <rob@example.org>"])
        let deeper = Self.maintainers.addressees(of: ["drivers/vfio/pci/mlx5/main.c"])
        #expect(deeper.to == ["Alex Example <alex@example.org>"])
        #expect(Self.maintainers.addressees(of: ["drivers/vfio/cdx/main.c"]).to == [])
        #expect(Self.maintainers.addressees(of: ["drivers/net/dummy.c"]).to == [])
    }

    @Test func anAddressIsOneAndNoMore() {
        #expect(Self.maintainers.addressees(of: ["drivers/evil/a.c"]).to == ["Evil <evil@example.org>"])
        let many = "X\n" + (0..<1000).map { "M:\ta\($0)@example.org\n" }.joined() + "L:\tlist@example.org\nF:\ta/\n"
        let found = Maintainers(parsing: many).addressees(of: ["a/b.c"])
        #expect(found.to.count == 22 && found.cc == ["list@example.org", "linux-kernel@vger.kernel.org"])
        #expect(Maintainers(parsing: String(repeating: "F:\t*\n", count: 100_000)).addressees(of: ["a"]).to == [])
    }

    @Test(arguments: [
        ("drivers/vfio/", "drivers/vfio/vfio_main.c", true), ("drivers/vfio/", "drivers/vfio", false),
        ("drivers/vfio/", "drivers/vfio2/a.c", false), ("drivers/*/pci.c", "drivers/a/pci.c", true),
        ("drivers/*/pci.c", "drivers/a/b/pci.c", false), ("a/*x*y", "a/1x2y", true), ("a/*x*y", "a/1x2", false),
        ("a/?.c", "a/b.c", true), ("a/?.c", "a/bb.c", false), ("lib/dma", "lib/dma/a.c", true),
    ])
    func patternsAreThoseOfTheKernel(_ pattern: String, _ path: String, _ fits: Bool) {
        #expect(Maintainers.matches(pattern, path) == fits)
    }

    @Test func everyRequestHasASentence() {
        for request in Request.all {
            #expect(!request.about.hasPrefix("makes the request"), "\(request.name)")
            #expect(request.about.utf8.count <= 80 && !request.about.hasSuffix("."), "\(request.name)")
        }
    }

    @Test func aCallIsToldInASentence() throws {
        let record = try Record(
            parsing: recordText(
                "open(\"/dev/vfio/devices/vfio0\", 2) = device1",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=40, feature=DMA_BUF, operation=GET, region_index=2, open_flags=0, "
                    + "flags=0, nr_ranges=1, dma_ranges=[{offset=1, length=0x1000}]}) = -1 EINVAL",
                "ioctl(device1, VFIO_DEVICE_FEATURE, {argsz=8, feature=MIGRATION, operation=GET|PROBE}) = -1 ENOTTY"))
        #expect(
            record.operations.map(\.operation.sentence) == [
                "Opens /dev/vfio/devices/vfio0.",
                "Exports ranges of a BAR as a dma-buf: EINVAL, invalid argument.",
                "Asks the device's feature MIGRATION to GET and PROBE: ENOTTY, inappropriate ioctl for device.",
            ])
        #expect(Subsystem(try #require(record.operations.last).operation)?.prefix == "vfio/pci")
    }

    @Test func aLineHas72CharactersUnlessAWordIsLonger() {
        let lines = Wrapped.lines(
            String(repeating: "word ", count: 60) + "\n\u{1b}[8m" + String(repeating: "x", count: 90), first: "- ")
        #expect(lines.dropLast().allSatisfy { $0.count <= 72 }, "\(lines)")
        #expect(lines.allSatisfy { $0.unicodeScalars.allSatisfy { $0.value >= 0x20 } })
        #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("  ") })
    }

    @Test func filesThatATextNamesAreThoseOfTheKernel() {
        #expect(
            Subsystem.paths(in: "Linux 7.3.4, drivers/dma-buf/dma-buf-mapping.c; and drivers/../etc/passwd.c, ./a.c")
                == ["drivers/dma-buf/dma-buf-mapping.c"])
        #expect(Subsystem(path: "drivers/infiniband/sw/rxe/rxe_mw.c").prefix == "RDMA/rxe")
    }
}
