import Batch
import Glibc
import Kernel
import Testing

/// Which runs a batch is made of.
@Suite struct PlanTests {
    @Test(arguments: [
        ("tph", ["tph"], true), ("tph", [], false), ("not slow", ["tph"], true),
        ("tph and not slow", ["tph", "slow"], false),
        ("a or b and c", ["a"], true), ("(a or b) and c", ["a"], false), ("not (a or b)", ["c"], true),
        ("not a or b", ["b"], true), ("not not a", ["a"], true), ("a and b or c and d", ["c", "d"], true),
    ])
    func tagsAreChosenByAnExpression(_ text: String, _ tags: [String], _ expected: Bool) throws {
        #expect(try TagExpression(text).matches(tags) == expected)
    }

    @Test(arguments: ["", "and", "a and", "(a", "a)", "a b", "not", "()", "a or or b"])
    func whatIsNoExpressionIsRefused(_ text: String) {
        #expect(throws: TagExpression.Invalid.self) { _ = try TagExpression(text) }
    }

    @Test func cellsAreEveryCombinationAndNamedAlike() {
        let cells = Cell.all(3, "a.lua", [("size", ["64", "4K"]), ("st", ["1", "2"])], repeats: 2)
        #expect(
            cells.map(\.id) == [
                "a.lua[size=64,st=1]#1", "a.lua[size=64,st=1]#2", "a.lua[size=64,st=2]#1", "a.lua[size=64,st=2]#2",
                "a.lua[size=4K,st=1]#1", "a.lua[size=4K,st=1]#2", "a.lua[size=4K,st=2]#1", "a.lua[size=4K,st=2]#2",
            ])
        #expect(cells[4].settings.map(\.value) == ["4K", "1"] && cells.allSatisfy { $0.file == 3 })
        #expect(Cell.all(0, "b.lua", [], repeats: 1) == [Cell(id: "b.lua", file: 0, settings: [])])
    }

    @Test func partsAreAWholeWithoutOverlap() throws {
        let cells = (0..<17).map { Cell(id: "\($0)", file: 0, settings: []) }
        for count in [1, 2, 5, 17, 20] {
            let parts = try (1...count).map { try #require(Shard($0, of: count)).part(of: cells) }
            #expect(parts.flatMap(\.self).map(\.id).sorted() == cells.map(\.id).sorted())
            #expect(parts.map(\.count).max()! - parts.map(\.count).min()! <= 1)
        }
    }

    @Test(arguments: ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/3"])
    func whatIsNoPartIsRefused(_ text: String) { #expect(Shard(text) == nil) }

    @Test func aSeedGivesTheSameOrderAgain() {
        var one = SeededGenerator(seed: 7)
        var other = SeededGenerator(seed: 7)
        var third = SeededGenerator(seed: 8)
        let list = Array(0..<50)
        let first = list.shuffled(using: &one)
        #expect(first == list.shuffled(using: &other) && first != list.shuffled(using: &third))
    }

    @Test func foldersStandForWhatIsBelow() throws {
        let folder = try #require(mkdtemp(strdup("/tmp/selection.XXXXXX")).map { String(cString: $0) })
        defer { _ = system("rm -rf '\(folder)'") }
        for path in ["b", "b/.hidden", "c"] { mkdir("\(folder)/\(path)", 0o700) }
        for path in ["z.lua", "b/a.lua", "b/a.txt", "b/.hidden/x.lua", ".y.lua", "c/long name.lua"] {
            fclose(fopen("\(folder)/\(path)", "w"))
        }
        symlink(folder, "\(folder)/b/loop")
        // A stranger's folder may have links out of it.
        symlink("/etc/passwd", "\(folder)/b/link.lua")
        func names(_ paths: [String]) throws -> [String] {
            try Selection(paths.map { "\(folder)/\($0)" }).files.map { String($0.path.dropFirst(folder.count + 1)) }
        }
        #expect(try names([""]) == ["b/a.lua", "c/long name.lua", "z.lua"])
        #expect(try Selection(["\(folder)/b"]).links == 1)
        #expect(try names(["z.lua", "", "z.lua"]) == ["z.lua", "b/a.lua", "c/long name.lua"])
        // A pattern names what it matches.
        #expect(try names(["*/*.lua"]) == ["b/a.lua", "b/link.lua", "c/long name.lua"])
        #expect(try Selection(["\(folder)/z.lua"]).files[0].isFound == false)
        #expect(throws: Failure.self) { _ = try names(["none.lua"]) }
        #expect(throws: Failure.self) { _ = try names(["*.none"]) }
    }
}
