import GRDB
import Glibc
import Kernel
import Results
import Runner
import Store
import Testing

/// A store may come from anybody: reading it changes and removes nothing, and what is wrong with it is said.
@Suite struct StoreTests {
    /// One of its own, with nothing left of it at the end.
    final class Folder {
        let path: String

        init() throws {
            var template = Array("/tmp/peerlab-store.XXXXXX".utf8CString)
            path = String(cString: try #require(mkdtemp(&template)))
        }

        deinit { _ = system("rm -r '\(path)'") }
    }

    /// A store of one batch with one run.
    private static func made(in folder: Folder) throws -> String {
        let path = folder.path + "/store"
        let journal = try BatchJournal(folder.path + "/journal", header: JournalTests.header)
        try journal.add(JournalTests.record("a"))
        try journal.end(at: "2026-01-31T00:00:01Z")
        #expect(try Store(path).add(try JournalReader(folder.path + "/journal")) == 1)
        return path
    }

    /// `batch --resume` of a batch that was kept, or of one that had ended: it is one batch.
    @Test func aBatchThatIsGoneOnWithIsKeptOnce() throws {
        let folder = try Folder()
        let (path, place) = (folder.path + "/store", folder.path + "/journal")
        func keep() throws -> Int64 { try Store(path).add(try JournalReader(place)) }
        func batches() throws -> [Store.Batch] {
            var found: [Store.Batch] = []
            try Store(reading: path).batches { found.append($0) }
            return found
        }
        do {
            let journal = try BatchJournal(place, header: JournalTests.header)
            try journal.add(JournalTests.record("a", .fail))
        }
        #expect(try keep() == 1)
        #expect(try Store(path).label(1, "night"))
        do {
            let journal = try BatchJournal(place, header: nil)
            try journal.add(JournalTests.record("b"))
            try journal.end(at: "2026-01-31T00:00:01Z")
        }
        for _ in 1...2 { #expect(try keep() == 1) }
        let kept = try batches()
        #expect(kept.count == 1 && kept[0].isComplete && kept[0].totals.all == 2 && kept[0].header.label == "night")
        #expect(try Store(reading: path).batch(1)?.count == 2)
        // Another batch of the same second and the same command line: its runs are other ones.
        unlink(place)
        let journal = try BatchJournal(place, header: JournalTests.header)
        var record = JournalTests.record("a", .fail)
        record.attempts[0].wall_ns += 1
        try journal.add(record)
        #expect(try keep() == 2)
        #expect(try batches().count == 2)
    }

    private static func change(_ path: String, _ statements: [String]) throws {
        var options = Configuration()
        options.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: path, configuration: options)
        try queue.writeWithoutTransaction { db in for one in statements { try db.execute(sql: one) } }
        try queue.close()
    }

    private static func bytes(_ path: String) throws -> [UInt8] { try InputFile.bytes(of: path, limit: 1 << 24) }

    private static func put(_ bytes: [UInt8], _ path: String) throws { try ResultFile(path).write(bytes) }

    /// SQLite's own form, as https://www.sqlite.org/fileformat2.html has it: no page, and the name of another file.
    private static func journal(naming target: String) -> [UInt8] {
        let mark: [UInt8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]
        func words(_ values: [Int]) -> [UInt8] {
            values.flatMap { value in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
        }
        let header = mark + words([0, 0x1234, 1, 512, 4096])
        let name = Array(target.utf8)
        return header + [UInt8](repeating: 0, count: 512 - header.count) + words([0x4000_0000 / 4096 + 1]) + name
            + words([name.count, name.reduce(0) { $0 + Int($1) }]) + mark
    }

    @Test func aJournalBesideItRemovesNoOtherFile() throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        let victim = folder.path + "/victim"
        try Self.put([1], victim)
        try Self.put(Self.journal(naming: victim), path + "-journal")
        #expect(throws: Failure.self) { try Store(reading: path).batches { _ in } }
        let failure = #expect(throws: Failure.self) { try Store(path) }
        #expect(failure?.errno.name == "EPROTO")
        #expect(access(victim, F_OK) == 0 && access(path + "-journal", F_OK) == 0)
    }

    @Test(arguments: ["-wal", "-shm"])
    func aLogBesideItIsNotPlayedBack(_ end: String) throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        try Self.put([1], path + end)
        #expect(throws: Failure.self) { try Store(reading: path) }
        #expect(throws: Failure.self) { try Store(path) }
        #expect(try Self.bytes(path + end) == [1])
    }

    @Test func whereOthersCanWriteNothingIsKept() throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        chmod(folder.path, 0o777)
        let failure = #expect(throws: Failure.self) { try Store(path) }
        #expect(failure?.errno.name == "EPERM")
        var count = 0
        try Store(reading: path).batches { _ in count += 1 }
        #expect(count == 1, "reading it is no harm")
    }

    @Test(arguments: [
        ["CREATE TABLE other (a)"], ["CREATE VIEW other AS SELECT 1"],
        ["CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM batch; END"],
        ["ALTER TABLE batch ADD COLUMN more"],
        [
            "DROP TABLE batch",
            """
            CREATE VIEW batch AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
            SELECT n AS number, 's' started FROM r WHERE n < 0
            """,
        ],
        ["PRAGMA journal_mode = WAL"],
    ])
    func otherTablesAreRefusedAndLeftAsTheyAre(_ statements: [String]) throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        try Self.change(path, statements)
        let before = try Self.bytes(path)
        #expect(throws: Failure.self) { try Store(reading: path).batches { _ in } }
        #expect(throws: Failure.self) { try Store(path) }
        #expect(try Self.bytes(path) == before)
    }

    @Test func anotherProgramsDatabaseGetsNoTables() throws {
        let folder = try Folder()
        let path = folder.path + "/mail"
        try Self.change(path, ["CREATE TABLE mail (a)"])
        let before = try Self.bytes(path)
        #expect(throws: Failure.self) { try Store(reading: path) }
        #expect(throws: Failure.self) { try Store(path) }
        #expect(try Self.bytes(path) == before)
    }

    @Test(arguments: [
        "UPDATE batch SET bench = x'ff00ff'", "UPDATE batch SET started = x'ff'", "UPDATE batch SET simulated = 'x'",
        "UPDATE batch SET complete = 'x'", "UPDATE batch SET totals = '[]'", "UPDATE batch SET arguments = '{'",
        #"UPDATE batch SET totals = '{"flaky":0,"outcomes":{"pass":9223372036854775807,"fail":9223372036854775807}}'"#,
        #"UPDATE batch SET totals = '{"flaky":0,"outcomes":{"pass":-1}}'"#,
    ])
    func aDamagedBatchIsSaid(_ statement: String) throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        try Self.change(path, [statement])
        let store = try Store(reading: path)
        let failure = #expect(throws: Failure.self) { try store.batches { _ in } }
        #expect(failure?.message.contains("damaged") == true)
        #expect(throws: Failure.self) { try store.batch(1) }
    }

    @Test(arguments: ["record = '{}'", "record = x'ff'", "wall_ns = 'abc'", "outcome = x'ff'"])
    func aDamagedRunIsSaid(_ change: String) throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        let source = try #require(try Store(reading: path).batch(1))
        #expect(source.count == 1 && source.totals.count(.pass) == 1)
        try Self.change(path, ["UPDATE run SET \(change)", "UPDATE batch SET started = '2000'"])
        let store = try Store(reading: path)
        #expect(throws: Failure.self) {
            _ = try store.history(of: source)
            _ = try store.batch(1)
        }
    }

    @Test func whatIsNoDatabaseIsNotOpened() throws {
        let folder = try Folder()
        try Self.put(Array("text".utf8), folder.path + "/text")
        mkfifo(folder.path + "/pipe", 0o600)
        for name in ["/dev/zero", folder.path + "/pipe", folder.path + "/text", folder.path] {
            #expect(throws: Failure.self) { try Store(reading: name) }
            #expect(throws: Failure.self) { try Store(name) }
        }
    }

    @Test func aBatchIsFoundByItsLabel() throws {
        let folder = try Folder()
        let path = folder.path + "/store"
        for (name, label) in [("1", "before"), ("2", nil), ("3", "before")] {
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "2026-01-31T00:00:00Z", bench: "bench: sim",
                simulated: true, label: label, command: name == "3" ? "ab" : nil)
            let journal = try BatchJournal(folder.path + "/" + name, header: header)
            var record = JournalTests.record("a.lua", .fail, reason: "No \"way\"")
            record.attempts[0].wall_ns += try #require(UInt64(name))
            try journal.add(record)
            try journal.end(at: "2026-01-31T00:00:01Z")
            _ = try Store(path).add(try JournalReader(folder.path + "/" + name))
        }
        let store = try Store(reading: path)
        #expect(try store.numbers(of: "before") == [1, 3] && store.numbers(of: "after").isEmpty)
        #expect(try store.batch(3)?.header.label == "before" && store.batch(3)?.header.command == "ab")
        #expect(try store.batch(2)?.header.label == nil)
        #expect(try Store(path).label(2, "after") && Store(path).label(1, nil) && !Store(path).label(9, "x"))
        #expect(try store.labels() == ["after", "before"] && store.numbers(of: "before") == [3])
        var found: [Int64] = []
        try store.search("A.LUA") { number, record in
            found.append(number)
            return record.reason == "No \"way\"" && found.count < 2
        }
        #expect(found == [3, 2], "the latest first, until it is enough")
    }

    @Test func theLatestRunsAreFoundFirst() throws {
        let folder = try Folder()
        let path = folder.path + "/store"
        for batch in ["1", "2"] {
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "2026-01-31T00:00:00Z", bench: "bench: sim",
                simulated: true)
            let journal = try BatchJournal(folder.path + "/" + batch, header: header)
            for (id, second) in [("a.lua#2", 1), ("a.lua#10", 1), ("b.lua#1", 2)] {
                var record = JournalTests.record("a.lua", .pass)
                record.id = id
                record.started = "2026-01-31T00:00:0\(second)Z"
                record.attempts[0].wall_ns += try #require(UInt64(batch))
                try journal.add(record)
            }
            try journal.end(at: "2026-01-31T00:00:03Z")
            _ = try Store(path).add(try JournalReader(folder.path + "/" + batch))
        }
        var found: [String] = []
        try Store(reading: path).search("lua") { number, record in
            found.append("\(number) \(record.id)")
            return true
        }
        let expected = ["b.lua#1", "a.lua#10", "a.lua#2"]
        #expect(found == expected.map { "2 \($0)" } + expected.map { "1 \($0)" })
    }

    /// As version 0.2 made them: without labels.
    @Test func aStoreOfTheFirstVersionIsReadAndWritten() throws {
        let folder = try Folder()
        let path = try Self.made(in: folder)
        try Self.change(path, ["DROP TABLE about", "DELETE FROM grdb_migrations WHERE identifier = '2'"])
        let old = try Store(reading: path)
        #expect(try old.batch(1)?.count == 1 && old.labels().isEmpty && old.numbers(of: "x").isEmpty)
        #expect(try Store(path).label(1, "x"))
        #expect(try Store(reading: path).numbers(of: "x") == [1])
    }

    @Test func oneThatIsNotThereIsEmpty() throws {
        let folder = try Folder()
        #expect(try Store(reading: folder.path + "/none").batch(1) == nil)
        #expect(access(folder.path + "/none", F_OK) != 0)
    }
}
