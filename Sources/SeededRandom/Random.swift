import Kernel

/// Draws of a fuzzer: a seed gives the same inputs everywhere.
package struct Random {
    private var generator: SeededGenerator

    /// A sequence that the seed names.
    package init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// A number below `limit`.
    package mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

    /// Any number of 64 bits.
    package mutating func next() -> UInt64 { generator.next() }

    /// True once in `times`.
    package mutating func once(in times: Int) -> Bool { below(times) == 0 }

    /// One of them.
    package mutating func one<Element>(of list: [Element]) -> Element { list[below(list.count)] }
}
