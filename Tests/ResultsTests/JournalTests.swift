import FoundationEssentials
import Glibc
import Kernel
import Results
import Runner
import Testing

/// What a batch has written is read again, whatever happened to it.
@Suite struct JournalTests {
    static func record(_ id: String, _ outcome: Outcome = .pass, reason: String? = nil) -> RunRecord {
        var record = RunRecord(id: id, file: id, outcome: outcome, started: "2026-01-31T00:00:00Z", limits: Limits())
        record.reason = reason
        record.attempts = [Attempt(outcome: outcome, reason: reason, exit: 0, signal: nil, wall_ns: 1_234_567)]
        return record
    }

    static let header = BatchHeader(
        version: "1", arguments: ["--jobs", "2", "x"], directory: "/", started: "2026-01-31T00:00:00Z",
        bench: "bench: sim", simulated: true)

    static func withFile<Value>(_ body: (String) throws -> Value) throws -> Value {
        let path = "/tmp/journal.\(getpid()).\(UInt64.random(in: 0...UInt64.max))"
        defer { unlink(path) }
        return try body(path)
    }

    static func text(of path: String) throws -> String {
        let file: UnsafeMutablePointer<FILE> = fopen(path, "r")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var byte = fgetc(file)
        while byte >= 0 {
            bytes.append(UInt8(byte))
            byte = fgetc(file)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func runsAreReadSortedAndCounted() throws {
        try Self.withFile { path in
            let journal = try BatchJournal(path, header: Self.header)
            for record in [Self.record("c", .fail), Self.record("a"), Self.record("b", .interrupted)] {
                try journal.add(record)
            }
            let before = try JournalReader(path)
            #expect(!before.isEnded && before.ids == ["a", "b", "c"])
            try journal.add(Self.record("b"))
            try journal.end(at: "2026-01-31T00:00:01Z")
            let reader = try JournalReader(path)
            #expect(reader.isEnded && reader.ids == ["a", "b", "c"])
            #expect(before.hasFinished("a") && !before.hasFinished("b") && !before.hasFinished("bb"))
            #expect(reader.hasFinished("b"), "what was run again counts")
            #expect(reader.totals.count(.pass) == 2 && reader.totals.bad == 1)
            #expect(reader.header.arguments == ["--jobs", "2", "x"])
            var seen: [String] = []
            reader.each { seen.append("\($0.id) \($0.outcome)") }
            #expect(seen == ["a pass", "b pass", "c fail"])
        }
    }

    @Test func aLineThatWasCutIsNone() throws {
        try Self.withFile { path in
            do {
                let journal = try BatchJournal(path, header: Self.header)
                try journal.add(Self.record("a"))
                try journal.add(Self.record("b"))
            }
            var status = stat()
            stat(path, &status)
            truncate(path, status.st_size - 10)
            #expect(try JournalReader(path).ids == ["a"])
            let again = try BatchJournal(path, header: nil)
            try again.add(Self.record("c"))
            #expect(try JournalReader(path).ids == ["a", "c"])
            #expect(try Self.text(of: path).split(separator: "\n").count == 3)
        }
    }

    /// What is between the first line and the last is a run's; a run that cannot be read is not there, and that is told.
    @Test func linesThatCannotBeReadAreTold() throws {
        try Self.withFile { path in
            let journal = try BatchJournal(path, header: Self.header)
            for id in ["a", "b", "c"] { try journal.add(Self.record(id)) }
            try journal.end(at: "2026-01-31T00:00:01Z")
            #expect(try JournalReader(path).complaint == nil)
            // What says how the run ended can be read, and the rest cannot.
            let damaged = try Self.text(of: path).split(separator: "\n").map { line in
                line.contains("\"id\":\"b\"")
                    ? line.replacing("\"attempts\":", with: "\"attempts\":7,\"x\":")
                    : line.replacing("\"id\":\"c\"", with: "\"id\":c")
            }
            try ResultFile(path).write(Array((damaged.joined(separator: "\n") + "\n").utf8))
            let reader = try JournalReader(path)
            #expect(reader.ids == ["a"] && reader.totals.count(.pass) == 1 && !reader.hasFinished("b"))
            #expect(reader.complaint == "2 lines of it cannot be read and are left out: 3, 4")
            try Self.withFile { whole in
                try BatchJournal.merge([reader], into: try BatchJournal(opening: whole))
                #expect(try !JournalReader(whole).isEnded, "what is lost is no whole")
            }
        }
    }

    @Test func whatOthersCanWriteIsNotTheUsersWord() throws {
        try Self.withFile { path in
            _ = try BatchJournal(path, header: Self.header)
            try JournalReader(path).checkOwnership()
            for mode: mode_t in [0o646, 0o602] {
                chmod(path, mode)
                let failure = #expect(throws: Failure.self) { try JournalReader(path).checkOwnership() }
                #expect(failure?.errno.name == "EPERM")
            }
            chmod(path, 0o644)
            // Only root can give it away.
            guard chown(path, 12345, 12345) == 0 else { return }
            #expect(throws: Failure.self) { try JournalReader(path).checkOwnership() }
        }
    }

    @Test func onlyAJournalIsGoneOnWith() throws {
        try Self.withFile { path in
            try ResultFile(path).write(Array("a letter\nwithout its en".utf8))
            #expect(throws: Failure.self) { try BatchJournal(path, header: nil) }
            #expect(try Self.text(of: path) == "a letter\nwithout its en")
        }
    }

    @Test func partsOfAModelAndOfAMachineAreNotMerged() throws {
        let real = BatchHeader(
            version: "1", arguments: [], directory: "/", started: "2026-01-31T00:00:00Z", bench: "bench: host",
            simulated: false)
        try Self.withFile { one in
            try Self.withFile { other in
                _ = (try BatchJournal(one, header: Self.header), try BatchJournal(other, header: real))
                for parts in [[one, other], [other, one]] {
                    try Self.withFile { whole in
                        let readers = try parts.map { try JournalReader($0) }
                        #expect(throws: Failure.self) {
                            try BatchJournal.merge(readers, into: try BatchJournal(opening: whole))
                        }
                        #expect(access(whole, F_OK) != 0, "nothing is left of what was not begun")
                    }
                }
            }
        }
    }

    @Test func twoWritersAreOneTooMany() throws {
        try Self.withFile { path in
            let first = try BatchJournal(path, header: Self.header)
            #expect(throws: Failure.self) { _ = try BatchJournal(path, header: nil) }
            try first.add(Self.record("a"))
        }
    }

    @Test func whatIsNoJournalIsRefused() throws {
        try Self.withFile { path in
            let file: UnsafeMutablePointer<FILE> = fopen(path, "w")
            fputs("{\"journal\":\"of a captain\"}\n", file)
            fclose(file)
            let error = #expect(throws: Failure.self) { _ = try JournalReader(path) }
            #expect(error?.hint == "it is no journal of peerlab batch")
        }
    }

    @Test func whatWasPlannedIsKnownWhereAllOfItIs() throws {
        try Self.withFile { path in
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "", bench: "bench: sim", simulated: true, runs: 3)
            let journal = try BatchJournal(path, header: header)
            try journal.add([
                PlannedFile("a", hash: "1", ids: ["a"]), PlannedFile("b", hash: "2", ids: ["b#1", "b#2"]),
            ])
            var lost = Self.record("b#2", .notRun, reason: "b is gone")
            lost.attempts = []
            for record in [Self.record("a"), lost] { try journal.add(record) }
            let reader = try JournalReader(path, keepsPlan: true)
            #expect(reader.planned.flatMap(\.ids) == ["a", "b#1", "b#2"])
            #expect(reader.hasFinished("a") && !reader.hasFinished("b#2"), "what was not run may be run yet")
            #expect(reader.totals.text == "1 passed, 0 failed, 1 not run" && reader.totals.bad == 1)
            // A kill between two lines of the plan.
            let lines = try Self.text(of: path).split(separator: "\n")
            try ResultFile(path).write(
                Array((lines.filter { !$0.contains("b#1") }.joined(separator: "\n") + "\n").utf8))
            #expect(try JournalReader(path, keepsPlan: true).planned.isEmpty)
        }
    }

    /// Journals that somebody wrote to do harm.
    @Test func aJournalOfAnybodysIsReadWithinLimits() throws {
        try Self.withFile { path in
            do { _ = try BatchJournal(path, header: Self.header) }
            let file: UnsafeMutablePointer<FILE> = fopen(path, "a")
            let record = String(decoding: try RunRecord.encoder.encode(Self.record("a")), as: UTF8.self)
            fputs(record.replacing("1234567", with: "18446744073709551615") + "\n", file)
            fputs(record.replacing("\"id\":\"a\"", with: "\"id\":\"b\"").replacing("1234567", with: "-1") + "\n", file)
            fputs(String(repeating: "[", count: 100_000) + "\n{\"id\":\"c\",\"outcome\":\"frog\"}\n\n", file)
            fclose(file)
            let reader = try JournalReader(path)
            #expect(reader.ids == ["a"])
            #expect(reader.complaint == "3 lines of it cannot be read and are left out: 3, 4, 5")
            for form in ResultForm.allCases {
                let output = path + "." + form.rawValue
                defer { unlink(output) }
                try form.write(reader, to: ResultFile(output))
            }
            truncate(path, 200 << 20)
            #expect(throws: Failure.self) { _ = try JournalReader(path) }
        }
    }

    @Test func whatIsNoFileIsNotReadAtAll() throws {
        try Self.withFile { path in
            mkfifo(path, 0o600)
            #expect(throws: Failure.self) { _ = try BatchJournal(path, header: Self.header) }
            for place in [path, "/dev/zero", "/", path + "/none"] {
                #expect(throws: Failure.self) { _ = try JournalReader(place) }
            }
        }
    }

    @Test func noNumberOfPartsIsTooLarge() throws {
        try Self.withFile { path in
            let header = BatchHeader(
                version: "1", arguments: [], directory: "/", started: "", bench: "", simulated: true,
                shard: "1/9223372036854775807")
            do { _ = try BatchJournal(path, header: header) }
            #expect(BatchJournal.missingParts([try JournalReader(path)]).isEmpty)
        }
    }

    @Test func numbersAtTheEndOfTheScaleAreCompared() {
        let huge = [Double](repeating: .greatestFiniteMagnitude, count: 6)
        let comparison = Comparison(huge, huge.map { -$0 })
        #expect(comparison?.medians.0 == .greatestFiniteMagnitude)
        #expect(Comparison([0, .leastNonzeroMagnitude, 0, 0, 0], huge) != nil)
    }

    @Test func whatFormsCannotHoldIsReplaced() throws {
        try Self.withFile { path in
            let journal = try BatchJournal(path, header: Self.header)
            try journal.add(
                Self.record("a # SKIP \n<&\">\u{1}", .fail, reason: "odd \u{0}\u{ffff} ]]> </script> # \n two"))
            let reader = try JournalReader(path)
            for form in ResultForm.allCases {
                let output = path + "." + form.rawValue
                defer { unlink(output) }
                try form.write(reader, to: ResultFile(output))
                let text = try Self.text(of: output)
                #expect(!text.isEmpty)
                switch form {
                case .tap, .ktap:
                    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("not ok") }, "\(text)")
                    #expect(!line.contains("#"), "a name is no directive: \(line)")
                case .junit:
                    #expect(
                        !text.unicodeScalars.contains { $0.value < 32 && $0 != "\n" }
                            && text.contains("&lt;&amp;&quot;&gt;"))
                case .csv: #expect(text.components(separatedBy: "\r\n").count == 3, "a heading, and a line for the run")
                case .html: #expect(!text.contains("</script> #"))
                case .json, .jsonl: break
                }
            }
        }
    }
}
