import Kernel
import Testing
import VFIOUser

@Suite struct ConfigSpaceTests {
    private static func space(
        _ capabilities: [Capability] = [
            .express(completer: .extended), .power(), .msix(vectors: 16, table: (0, 0x2000), pending: (0, 0x3000)),
            .tphRequester(extended: true, table: .capability(8)),
        ]
    ) -> ConfigSpace {
        ConfigSpace(
            ConfigSpace.Identity(vendor: 0x15b3, device: 0x101d, classCode: 0x020700),
            bars: [ConfigSpace.BAR(0, size: 32 << 20)], capabilities: capabilities)
    }

    /// As software finds it: through the links.
    private func find(_ id: UInt32, in space: ConfigSpace, isExtended: Bool = false) -> Int? {
        var place = isExtended ? 0x100 : Int(space.get(0x34, 1))
        for _ in 0..<64 where place >= 0x40 {
            let header = space.get(place, 4)
            if header & (isExtended ? 0xffff : 0xff) == id { return place }
            place = Int(isExtended ? header >> 20 : header >> 8 & 0xff)
        }
        return nil
    }

    @Test func capabilitiesAreFoundThroughTheirLinks() throws {
        let space = ConfigSpaceTests.space()
        let express = try #require(find(0x10, in: space))
        #expect(space.get(0, 4) == 0x101d_15b3)
        #expect(space.get(8, 4) == 0x0207_0000)
        #expect(space.get(6, 2) & 0x10 != 0)
        #expect(space.get(express + 4, 4) & 1 << 28 != 0)
        #expect(space.get(express + 0x24, 4) >> 12 & 3 == 3)
        let msix = try #require(find(0x11, in: space))
        #expect(space.get(msix + 2, 2) == 15)
        #expect(space.get(msix + 4, 4) == 0x2000)
        #expect(find(0x01, in: space) != nil)
        let tph = try #require(find(0x17, in: space, isExtended: true))
        #expect(tph == 0x100)
        #expect(space.get(tph + 4, 4) == 0x0007_0305)
        #expect(find(0x18, in: space, isExtended: true) == nil)
    }

    @Test func severalExtendedCapabilitiesAreLinked() throws {
        let space = ConfigSpaceTests.space([
            .tphRequester(extended: false, table: .none), Capability(id: 0x0b, isExtended: true, size: 8),
        ])
        let other = try #require(find(0x0b, in: space, isExtended: true))
        #expect(other == 0x10c)
    }

    @Test func onlyWritableBitsKeepWhatIsWritten() {
        let space = ConfigSpaceTests.space()
        for offset in stride(from: 0, to: 0x40, by: 4) { space.set(offset, 4, 0xffff_ffff) }
        #expect(space.get(0, 4) == 0x101d_15b3)
        #expect(space.get(4, 2) == 0x0546)
        #expect(space.get(0x10, 4) == 0xfe00_000c)
        #expect(space.get(0x14, 4) == 0xffff_ffff)
        #expect(space.get(0x18, 4) == 0)
    }

    @Test func aBARHasItsAddressAfterItWasSized() {
        let space = ConfigSpaceTests.space()
        #expect(space.address(ofBAR: 0) == nil)
        space.set(0x10, 4, 0xffff_ffff)
        space.set(0x14, 4, 0xffff_ffff)
        #expect(space.address(ofBAR: 0) == nil)
        space.set(0x10, 4, 0xfc00_0000)
        space.set(0x14, 4, 0x38)
        #expect(space.address(ofBAR: 0) == 0x38_fc00_0000)
        #expect(space.address(ofBAR: 2) == nil)
        #expect(!space.isDecoding)
        space.set(4, 2, 6)
        #expect(space.isDecoding && space.isBusMaster)
    }

    @Test func functionLevelResetIsAskedForAndReadsZero() throws {
        let space = ConfigSpaceTests.space()
        let express = try #require(find(0x10, in: space))
        space.set(0x10, 4, 0xfc00_0000)
        space.set(4, 2, 6)
        space.set(express + 8, 2, 0xa810)
        #expect(space.needsReset)
        #expect(space.get(express + 8, 2) == 0x2810)
        space.reset()
        #expect(!space.needsReset && !space.isBusMaster)
        #expect(space.address(ofBAR: 0) == 0xfc00_0000)
    }

    @Test func powerStatesAreD0AndD3hot() throws {
        let space = ConfigSpaceTests.space()
        let power = try #require(find(0x01, in: space))
        space.set(4, 2, 6)
        for (written, state) in [(1, 0), (3, 3), (2, 3), (0, 0)] as [(UInt32, UInt8)] {
            space.set(power + 4, 2, written)
            #expect(space.powerState == state)
            #expect(space.isDecoding == (state == 0))
            #expect(!space.needsReset)
        }
        let forgetful = ConfigSpaceTests.space([.power(keepsState: false)])
        let other = try #require(find(0x01, in: forgetful))
        forgetful.set(other + 4, 2, 1)
        forgetful.set(other + 4, 2, 3)
        #expect(!forgetful.needsReset)
        forgetful.set(other + 4, 2, 0)
        #expect(forgetful.needsReset)
    }

    @Test(arguments: [(true, 2, UInt16(0xbeef)), (false, 64, 0x00ef)])
    func steeringTagsLieInTheCapability(extended: Bool, count: Int, tag: UInt16) {
        let space = ConfigSpaceTests.space([.tphRequester(extended: extended, table: .capability(count))])
        space.set(0x100 + 12 + 2 * (count - 1), 2, 0xbeef)
        #expect(space.steeringTag(count - 1) == tag)
        #expect(space.steeringTag(count) == nil)
        #expect(space.steeringTag(-1) == nil)
        space.set(0x108, 4, 0xffff_ffff)
        #expect(space.enabledTPH == (extended ? .extended : .tph))
        #expect(space.steeringMode == 7)
        space.set(0x108, 4, 2)
        #expect(space.enabledTPH == .none)
    }

    @Test func aTableElsewhereHasNoTagsHere() {
        for table in [Capability.SteeringTable.none, .msix(16)] {
            let space = ConfigSpaceTests.space([.tphRequester(extended: true, table: table)])
            #expect(space.steeringTag(0) == nil)
        }
        #expect(ConfigSpaceTests.space([.power()]).steeringMode == nil)
    }

    @Test func accessesBehindTheEndReadOnesAndKeepNothing() {
        let space = ConfigSpaceTests.space()
        #expect(space.get(4094, 4) == 0xffff_0000)
        space.set(4094, 4, 0xffff_ffff)
        #expect(space.get(4092, 4) == 0)
    }
}

extension ConfigSpace {
    func get(_ offset: Int, _ size: Int) -> UInt32 {
        var value: UInt32 = 0
        withUnsafeMutableBytes(of: &value) {
            read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<size]))
        }
        return value
    }

    func set(_ offset: Int, _ size: Int, _ value: UInt32) {
        withUnsafeBytes(of: value) { write(at: offset, UnsafeRawBufferPointer(rebasing: $0[..<size])) }
    }
}
