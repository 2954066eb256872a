import ConnectX
import Testing

@Suite struct OptionTests {
    @Test func aTextSaysWhatIsDifferent() throws {
        let options = try HCAOptions("tph=tph,table=8,odp=off,vectors=4,lid=0x10,log_max_qp=10")
        #expect(options.tph == .table(8) && !options.hasExtendedTPH && !options.hasOnDemandPaging)
        #expect(options.vectorCount == 4 && options.lid == 16 && options.capabilities == ["log_max_qp": 10])
        #expect(try HCAOptions("tph=none").tph == .none && HCAOptions("table=msix").tph == .vectors)
        #expect(try HCAOptions("table=none").tph == .direct)
        let next = options.next(1)
        #expect(next.lid == 17 && next.guid != options.guid)
    }

    @Test(arguments: [
        "", "tph", "tph=", "tph=8", "table=1", "table=65", "odp=maybe", "vectors=1", "vectors=257", "lid=0",
        "lid=0xc000", "log_max_qp=32", "log_max_qp=-1", "log_max_qp=99999999999999999999", "nothing=1", "tph=none,,",
        "=1", "lid=1=2",
    ])
    func whatCannotBeIsRefused(_ text: String) {
        #expect(throws: HCAOptions.Invalid.self) { try HCAOptions(text) }
    }
}
