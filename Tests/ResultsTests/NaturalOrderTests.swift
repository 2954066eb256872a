import Results
import Testing

@Suite struct NaturalOrderTests {
    @Test func sizesAreNumbers() {
        let sorted = [
            "a.lua", "a.lua[size=64]", "a.lua[size=512]#2", "a.lua[size=512]#10", "a.lua[size=1K]", "a.lua[size=1025]",
            "a.lua[size=64KiB]", "a.lua[size=1M]", "b.lua[size=8]", "b2.lua", "b10.lua",
        ]
        #expect(sorted.reversed().sorted(by: NaturalOrder.precedes) == sorted)
    }

    /// A binary search needs an order without two texts that are the same place.
    @Test func differentTextsHaveAnOrder() {
        let texts = [
            "1K", "1024", "01024", "1KiB", "0x10", "0x1", "", "4Kernel", "4", "99999999999999999999999",
            "99999999999999999999998",
        ]
        for one in texts {
            for other in texts {
                let both = [NaturalOrder.precedes(one, other), NaturalOrder.precedes(other, one)]
                #expect(one == other ? both == [false, false] : both.count { $0 } == 1, "\(one), \(other)")
            }
        }
    }
}
