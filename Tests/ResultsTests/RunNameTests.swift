import Results
import Testing

/// Runs are found by less than their whole name.
@Suite struct RunNameTests {
    private let runs = [
        "s/tph-set.lua[size=64]#1", "s/tph-set.lua[size=64]#2", "s/tph-set.lua[size=4K]#1", "s/tph-wire.lua",
        "other/tph-wire.lua", "s/set.lua",
    ].map { (id: $0, file: String($0.prefix { $0 != "[" })) }

    @Test(arguments: [
        ("s/tph-set.lua[size=64]#2", [1]), ("s/tph-set.lua[size=64]", [0, 1]), ("tph-set", [0, 1, 2]),
        ("tph-set.lua", [0, 1, 2]), ("tph-set.lua[size=4K]#1", [2]), ("set", [5]), ("s/tph-wire", [3]), ("4K", [2]),
    ])
    func aNameNeedNotBeWhole(_ name: String, _ found: [Int]) {
        #expect(RunNames.find(name, in: runs) == .runs(found.map { runs[$0].id }))
    }

    @Test func oneThatFitsSeveralFilesIsNotChosenByChance() {
        #expect(RunNames.find("tph-wire", in: runs) == .several(["other/tph-wire.lua", "s/tph-wire.lua"]))
        #expect(RunNames.find("tph", in: runs) == .several(["other/tph-wire.lua", "s/tph-set.lua", "s/tph-wire.lua"]))
    }

    @Test func whatIsAlikeIsSuggested() {
        guard case .none(let near) = RunNames.find("tph-sett.lua", in: runs) else { return #expect(Bool(false)) }
        #expect(near.first == "s/tph-set.lua")
        #expect(RunNames.find("something else", in: runs) == .none(near: []))
        #expect(RunNames.find("", in: runs) == .none(near: []))
    }
}
