import Testing
import VFIOUser

@Suite struct PCIFunctionTests {
    @Test func aRegionWithoutAFileIsNotMapped() { #expect(RegionDescription(size: 4096).file < 0) }
}
