/// SplitMix64: a seed gives the same inputs everywhere.
package struct Random {
    private var state: UInt64

    /// A sequence that the seed names.
    package init(seed: UInt64) { state = seed }

    /// A number below `limit`.
    package mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

    /// Any number of 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// True once in `times`.
    package mutating func once(in times: Int) -> Bool { below(times) == 0 }

    /// One of them.
    package mutating func one<Element>(of list: [Element]) -> Element { list[below(list.count)] }
}
