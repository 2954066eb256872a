import Devices
import Testing

@Suite struct TPHChoiceTests {
    @Test func words() throws {
        #expect(try TPHChoice("auto") == .auto)
        #expect(try TPHChoice("off") == .off)
    }

    @Test(arguments: TPHABI.all) func everyName(_ abi: TPHABI) throws {
        #expect(try TPHChoice(abi.name) == .named(abi))
        #expect(try TPHChoice("\(abi.name)@13") == .fixed(abi, number: 13))
        #expect(try TPHChoice("\(abi.name)@65535") == .fixed(abi, number: 65535))
    }

    @Test func names() {
        #expect(
            TPHABI.all.map(\.name) == ["v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11"])
        #expect(TPHABI.all.filter(\.presumed).map(\.name) == ["v8"])
        #expect(TPHABI.named("v12") == nil)
    }

    @Test(arguments: ["", "v12", "V9", "13", "@13", "rfc", "rfc-v2", "v1", "auto@13", " v9"])
    func unknownNames(_ text: String) {
        let name = text.split(separator: "@", omittingEmptySubsequences: false).first.map(String.init) ?? ""
        let error = #expect(throws: TPHChoiceError.self) { try TPHChoice(text) }
        let names = "auto, off, or one of v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, each with @NUMBER or without"
        #expect(error?.message.hasPrefix("\"\(name)\" is no TPH ABI: \(names)") == true)
        let earlier = error?.message.contains("RFC to v1 changed DMA_BUF itself")
        #expect(earlier == (text.hasPrefix("rfc") || text == "v1"))
    }

    @Test(arguments: ["", "x", "-1", "+13", "0x0d", "65536", "13@14", "4294967309"]) func notNumbers(_ text: String) {
        let error = #expect(throws: TPHChoiceError.self) { try TPHChoice("v9@\(text)") }
        #expect(error?.message == "\"\(text)\" is not a feature number: 13 to 65535, decimal")
    }

    @Test(arguments: 0...12) func takenNumbers(_ number: Int) {
        let error = #expect(throws: TPHChoiceError.self) { try TPHChoice("v9@\(number)") }
        #expect(
            error?.message
                == "feature \(number) of released kernels is another one (all below 13 are taken), so DMA_BUF_TPH "
                + "cannot have it")
    }
}
