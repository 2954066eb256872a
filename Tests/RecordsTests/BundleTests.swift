import Testing

@testable import Records

@Suite struct BundleTests {
    private let bundle = Bundle(
        header: [(key: "scenario", value: "a.lua")],
        files: [
            .init(name: "a.lua", text: "return 1  \n\n--- end\nFrom here\n"),
            .init(name: "b/c.lua", text: String(repeating: "\u{e4}x", count: 3000) + "\nlast"),
        ])

    @Test func aBundleReadIsTheBundleWritten() throws {
        let read = try Bundle(parsing: bundle.text)
        #expect(read.file("a.lua") == bundle.file("a.lua"))
        #expect(read.file("b/c.lua") == bundle.file("b/c.lua").map { $0 + "\n" })
        #expect(bundle.text.split(separator: "\n").allSatisfy { $0.utf8.count < 998 })
    }

    @Test func whatMailersDoToLineEndsDoesNoHarm() throws {
        let text = bundle.text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in
                var line = line
                while line.last == " " { line.removeLast() }
                return String(line)
            }.joined(separator: "\r\n")
        #expect(try Bundle(parsing: text).file("a.lua")?.hasPrefix("return 1") == true)
    }

    @Test func whatWasChangedOnTheWayIsRefused() {
        let text = bundle.text.split(separator: "return 1").joined(separator: "return 2")
        let error = #expect(throws: RecordError.self) { try Bundle(parsing: text) }
        #expect(error?.message.contains("changed on its way") == true)
    }

    @Test func aPartThatIsMissingIsMissed() {
        let lines = bundle.text.split(separator: "\n", omittingEmptySubsequences: false)
        for count in 1..<(lines.count - 1) {
            #expect(throws: RecordError.self) { try Bundle(parsing: lines.prefix(count).joined(separator: "\n")) }
        }
    }

    @Test(arguments: ["../a.lua", "/etc/passwd", "a//b", ".hidden", "a/../b", "", "a\\b"])
    func noFileLeavesItsFolder(_ name: String) {
        let text = Bundle(header: [], files: [.init(name: name, text: "x\n")]).text
        #expect(throws: RecordError.self) { try Bundle(parsing: text) }
    }

    /// What would not be read as it was written is refused while it is made.
    @Test func whatCannotBeReadBackIsKnown() {
        for name in ["a\nb.lua", "a b.lua", "\u{e4}.lua", ".a.lua", "--- end"] { #expect(!Bundle.isName(name)) }
        for value in ["a\nb", "\u{1b}[2J", " a"] { #expect(!Bundle.isValue(value)) }
        #expect(Bundle.isName("a/b-c_1.lua") && Bundle.isValue("size=64, \u{e4}"))
    }

    @Test func whoAndWhereIsTakenOut() {
        var redaction = Redaction(hosts: ["badger"], users: ["ann"], folders: ["/home/ann"])
        let text = redaction.apply(
            "badger 02:42:ac:11:00:02 at 10.1.2.3, /home/ann/x, fe80::1, 0011:2233:4455:6677, again badger\n"
                + "device 0000:01:00.0 libibverbs 1.14.44.0, 127.0.0.1")
        #expect(
            text == "host-1 macaddress-1 at ipaddress-1, folder-1/x, ipaddress-2, guid-1, again host-1\n"
                + "device 0000:01:00.0 libibverbs 1.14.44.0, 127.0.0.1")
        #expect(redaction.taken == ["folder: 1", "guid: 1", "host: 1", "ip address: 2", "mac address: 1"])
    }

    /// With a port, at the end of a sentence, before a colon, and in the form of IPv6.
    @Test(arguments: [
        ("10.1.2.3:7471 and 10.1.2.3.", "ipaddress-1:7471 and ipaddress-1."), ("to 10.1.2.4: no", "to ipaddress-1: no"),
        ("mac aa:bb:cc:dd:ee:ff: end", "mac macaddress-1: end"), ("gid ::ffff:10.9.8.7", "gid ipaddress-1"),
        ("gid 0:0:0:0:0:ffff:10.9.8.7.", "gid ipaddress-1."), ("fe80::1: no", "ipaddress-1: no"),
        ("(fe80::1).", "(ipaddress-1)."), ("fe80::", "ipaddress-1"), ("2001:db8:: and", "ipaddress-1 and"),
        ("guid 0011:2233:4455:6677.", "guid guid-1."), ("0000:01:00.0: 1.2.3.", "0000:01:00.0: 1.2.3."),
        ("at 12:34:56", "at 12:34:56"), ("::", "::"), ("127.0.0.1:80", "127.0.0.1:80"), ("1.2.3.4.5", "1.2.3.4.5"),
    ])
    func anAddressInASentenceIsTakenOut(_ text: String, _ redacted: String) {
        var redaction = Redaction(hosts: [], users: [], folders: [])
        #expect(redaction.apply(text) == redacted)
    }
}
