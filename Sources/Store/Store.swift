import FoundationEssentials
import GRDB
import Glibc
public import Kernel
public import Results
import Runner

/// Results of many batches, in a SQLite database.
public final class Store {
    private let queue: DatabaseQueue
    /// Whether it has a table of labels.
    private let hasLabels: Bool
    /// Its path.
    public let path: String

    /// Opens a database for writing, or creates it. Throws for a database of another program, and for files beside it
    /// that other users may have left.
    public init(_ path: String) throws(Failure) {
        self.path = path
        let file = try StoreFile(path)
        try file.checkWriting()
        do throws(Failure) {
            // This read-only check finds damage first: a DatabaseQueue that fails to open is released, which traps in a
            // confined process (see ``kept(_:)``).
            if !file.isEmpty { _ = try Store(reading: path) }
        } catch  where error.errno == Errno(EROFS) {}
        do {
            queue = Store.kept(try DatabaseQueue(path: file.path, configuration: Store.configuration(isWriting: true)))
            _ = try queue.read { try StoreSchema.check($0, "main") }
            try StoreSchema.versions.migrate(queue)
            hasLabels = true
        } catch {
            throw Store.failure("open", error, path)
        }
    }

    /// Opens a database of any origin for reading: nothing is created, changed or removed. A missing one is empty.
    public init(reading path: String) throws(Failure) {
        self.path = path
        let file = try StoreFile(path)
        do {
            if !file.isEmpty {
                // Attached to an in-memory database, whose opening cannot fail.
                let queue = Store.kept(try DatabaseQueue(configuration: Store.configuration(isWriting: false)))
                let (isMade, hasLabels) = try queue.inDatabase { db in
                    try db.execute(sql: "ATTACH ? AS store", arguments: [file.path])
                    return (try StoreSchema.check(db, "store"), try StoreSchema.hasLabels(db, "store"))
                }
                if isMade {
                    self.queue = queue
                    self.hasLabels = hasLabels
                    return
                }
            }
            queue = StoreSchema.empty
            hasLabels = true
        } catch {
            throw Store.failure("open", error, path)
        }
    }

    /// Keeps a queue until the process ends. A DispatchQueue that is released starts threads of libdispatch, which trap
    /// in a process that may not read /proc.
    /// https://github.com/swiftlang/swift-corelibs-libdispatch/blob/main/src/event/workqueue.c
    static func kept(_ queue: DatabaseQueue) -> DatabaseQueue { Unmanaged.passRetained(queue).takeUnretainedValue() }

    deinit { if queue !== StoreSchema.empty { try? queue.close() } }

    /// The folder that a process needs for an open store: SQLite keeps files beside the database.
    public static func folder(of path: String) throws(Failure) -> String { try StoreFile(path).folder }

    private static func configuration(isWriting: Bool) -> Configuration {
        var options = Configuration()
        options.label = "results"
        options.busyMode = .timeout(30)
        options.readonly = !isWriting
        options.prepareDatabase { db in
            // The schema is untrusted until it is checked, and no other file may be used.
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
            try db.execute(sql: "PRAGMA temp_store = MEMORY")
            try db.execute(sql: "PRAGMA cell_size_check = ON")
            db.add(collation: order)
            if !isWriting { try db.execute(sql: "PRAGMA query_only = ON") }
        }
        return options
    }

    /// Sorts ids, with sizes compared as numbers.
    private static let order = DatabaseCollation("sizes") { one, other in
        if one == other { return .orderedSame }
        return NaturalOrder.precedes(one, other) ? .orderedAscending : .orderedDescending
    }

    private static func failure(_ operation: String, _ error: any Error, _ path: String) -> Failure {
        if let error = error as? Failure { return error }
        if let error = error as? DatabaseError, error.extendedResultCode == .SQLITE_READONLY_ROLLBACK {
            return Failure(
                operation, Errno(EROFS), object: path,
                hint: "a batch was cut off while it was kept there; the next one that is kept there puts it right")
        }
        return Failure(operation, Errno(EIO), object: path, hint: "\(error)")
    }

    private func asking<Value>(_ body: (Database) throws -> Value) throws(Failure) -> Value {
        do { return try queue.read(body) } catch { throw Store.failure("read", error, path) }
    }

    /// The summary of a batch.
    public struct Batch: Sendable {
        /// Its number in this store, from 1.
        public let number: Int64
        /// Its command line and bench.
        public let header: BatchHeader
        /// Whether it was completed.
        public let isComplete: Bool
        /// Its runs by outcome.
        public let totals: Totals
    }

    /// Stores a batch; returns its number. One that the store has already, such as a batch that was gone on with, keeps
    /// its number and its label, and gets the runs and the totals of now.
    public func add(_ journal: JournalReader) throws(Failure) -> Int64 {
        do {
            return try queue.write { db in
                let known = try Store.number(of: journal, in: db)
                if let known { try db.execute(sql: "DELETE FROM run WHERE batch = ?", arguments: [known]) }
                let number = try Store.put(journal, over: known, in: db)
                let insert = try db.makeStatement(
                    sql: """
                        INSERT INTO run (batch, id, outcome, flaky, started, wall_ns, record) VALUES (?, ?, ?, ?, ?, ?, ?)
                        """)
                var failure: (any Error)?
                journal.each { record in
                    guard failure == nil else { return }
                    do {
                        try insert.execute(arguments: [
                            number, record.id, record.outcome.rawValue, record.flaky, record.started,
                            Int64(clamping: record.wall), try Store.json(record),
                        ])
                    } catch { failure = error }
                }
                if let failure { throw failure }
                return number
            }
        } catch {
            throw Store.failure("write", error, path)
        }
    }

    private static func json(_ value: some Encodable) throws -> String {
        String(decoding: try Results.RunRecord.encoder.encode(value), as: UTF8.self)
    }

    /// Writes the row of a batch, in place of that of `known`; returns its number.
    private static func put(_ journal: JournalReader, over known: Int64?, in db: Database) throws -> Int64 {
        let header = journal.header
        let isComplete = journal.isEnded && journal.complaint == nil, totals = try json(journal.totals)
        if let known {
            try db.execute(
                sql: "UPDATE batch SET complete = ?, totals = ? WHERE number = ?",
                arguments: [isComplete, totals, known])
            return known
        }
        try db.execute(
            sql: """
                INSERT INTO batch (started, bench, simulated, directory, arguments, complete, totals, version)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                header.started, header.bench, header.simulated, header.directory, try json(header.arguments),
                isComplete, totals, header.version,
            ])
        let number = db.lastInsertedRowID
        try db.execute(
            sql: "INSERT INTO about (batch, label, command, parts) VALUES (?, ?, ?, ?)",
            arguments: [number, header.label, header.command, try header.parts.map(json)])
        return number
    }

    /// The number of a journal's batch, where the store has it: one with the same command line, that was begun in the same
    /// second and shares a run. Batches of one second alone may be several.
    private static func number(of journal: JournalReader, in db: Database) throws -> Int64? {
        let header = journal.header
        let numbers = try Int64.fetchAll(
            db,
            sql: """
                SELECT number FROM batch LEFT JOIN about ON about.batch = batch.number
                WHERE started = ? AND directory = ? AND arguments = ? AND parts IS ?
                """,
            arguments: [
                header.started, header.directory, try json(header.arguments), try header.parts.map(json),
            ])
        guard !numbers.isEmpty else { return nil }
        let statement = try db.makeStatement(
            sql: "SELECT 1 FROM run WHERE batch = ? AND id = ? AND started = ? AND wall_ns = ?")
        var known: Int64?
        var failure: (any Error)?
        journal.each { record in
            // A run of which no process was started has no times of its own.
            guard known == nil, failure == nil, !record.attempts.isEmpty else { return }
            do {
                known = try numbers.first { number in
                    try Int.fetchOne(
                        statement, arguments: [number, record.id, record.started, Int64(clamping: record.wall)]) != nil
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return known
    }

    /// All batches, oldest first, one by one.
    public func batches(_ body: (Batch) throws -> Void) throws(Failure) {
        try asking { db in
            let rows = try Row.fetchCursor(db, sql: "SELECT * FROM \(table) ORDER BY number")
            while let row = try rows.next() { try body(Store.batch(row)) }
        }
    }

    /// The batches, with what is known about each.
    private var table: String {
        hasLabels
            ? "batch LEFT JOIN about ON about.batch = batch.number"
            : "(SELECT *, NULL AS label, NULL AS command, NULL AS parts FROM batch)"
    }

    /// Gives a batch a label, or none. False where there is no such batch.
    public func label(_ number: Int64, _ label: String?) throws(Failure) -> Bool {
        do {
            return try queue.write { db in
                let count = try Int.fetchOne(
                    db, sql: "SELECT count(*) FROM batch WHERE number = ?", arguments: [number])
                guard count == 1 else { return false }
                try db.execute(
                    sql: """
                        INSERT INTO about (batch, label) VALUES (?, ?)
                        ON CONFLICT (batch) DO UPDATE SET label = excluded.label
                        """, arguments: [number, label])
                return true
            }
        } catch { throw Store.failure("write", error, path) }
    }

    /// Numbers of the batches with a label, ascending.
    public func numbers(of label: String) throws(Failure) -> [Int64] {
        guard hasLabels else { return [] }
        return try asking { db in
            try Int64.fetchAll(db, sql: "SELECT batch FROM about WHERE label = ? ORDER BY batch", arguments: [label])
        }
    }

    /// All labels, sorted.
    public func labels() throws(Failure) -> [String] {
        guard hasLabels else { return [] }
        return try asking { db in
            try String.fetchAll(db, sql: "SELECT DISTINCT label FROM about WHERE label IS NOT NULL ORDER BY label")
        }
    }

    /// Runs whose record has a text, whatever its case; the latest batch first, and of each the latest run. `body` returns false to end.
    public func search(_ text: String, _ body: (Int64, Results.RunRecord) -> Bool) throws(Failure) {
        try asking { db in
            let decoder = JSONDecoder()
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT batch, record FROM run WHERE instr(lower(record), lower(?)) > 0
                    ORDER BY batch DESC, started DESC, id COLLATE sizes DESC
                    """, arguments: [text])
            while let row = try rows.next() {
                let record: String = try row.value("record")
                guard let run = try? decoder.decode(Results.RunRecord.self, from: Data(record.utf8)) else {
                    throw DamagedRow(column: "record")
                }
                guard body(try row.value("batch"), run) else { return }
            }
        }
    }

    private static func batch(_ row: Row) throws -> Batch {
        let decoder = JSONDecoder()
        func decoded<Value: Decodable>(_ type: Value.Type, _ column: String) throws -> Value {
            let text: String = try row.value(column)
            guard let value = try? decoder.decode(type, from: Data(text.utf8)) else { throw DamagedRow(column: column) }
            return value
        }
        return Batch(
            number: try row.value("number"),
            header: BatchHeader(
                version: try row.value("version"), arguments: try decoded([String].self, "arguments"),
                directory: try row.value("directory"), started: try row.value("started"),
                bench: try row.value("bench"), simulated: try row.value("simulated"),
                label: String.fromDatabaseValue(row["label"]), command: String.fromDatabaseValue(row["command"]),
                parts: String.fromDatabaseValue(row["parts"]).flatMap {
                    try? decoder.decode([String].self, from: Data($0.utf8))
                }),
            isComplete: try row.value("complete"), totals: try decoded(Totals.self, "totals"))
    }

    /// A batch by its number, its runs sorted by their ids; nil where there is none.
    public func batch(_ number: Int64) throws(Failure) -> StoredBatch? {
        let batch: Batch? = try asking { db in
            try Row.fetchOne(db, sql: "SELECT * FROM \(table) WHERE number = ?", arguments: [number]).map(Store.batch)
        }
        guard let batch else { return nil }
        var (totals, count) = (Totals(), 0)
        // Read once before any run is shown, so that damage is reported.
        try records(of: number) {
            totals.add($0)
            count += 1
        }
        return StoredBatch(self, batch, totals, count)
    }

    /// A batch's runs one by one, sorted by their ids.
    fileprivate func records(of number: Int64, _ body: (Results.RunRecord) -> Void) throws(Failure) {
        try asking { db in
            let decoder = JSONDecoder()
            let rows = try Row.fetchCursor(
                db, sql: "SELECT record FROM run WHERE batch = ? ORDER BY id COLLATE sizes", arguments: [number])
            while let row = try rows.next() {
                let text: String = try row.value("record")
                guard let record = try? decoder.decode(Results.RunRecord.self, from: Data(text.utf8)) else {
                    throw DamagedRow(column: "record")
                }
                body(record)
            }
        }
    }

    /// For each run of a batch, at most the last 20 earlier runs, oldest first. Simulated and real benches are not
    /// mixed.
    public func history(of source: any RecordSource) throws(Failure) -> [String: [PastRun]] {
        var ids: [String] = []
        source.each { ids.append($0.id) }
        return try asking { [header = source.header] db in
            let statement = try db.makeStatement(
                sql: """
                    SELECT run.started, run.outcome, run.wall_ns FROM run JOIN batch ON batch.number = run.batch
                    WHERE run.id = ? AND batch.simulated = ? AND batch.started < ? ORDER BY batch.number DESC LIMIT 20
                    """)
            var history: [String: [PastRun]] = [:]
            for id in ids {
                let rows = try Row.fetchAll(statement, arguments: [id, header.simulated, header.started])
                let past = try rows.reversed().compactMap { row in
                    let wall: Int64 = try row.value("wall_ns")
                    return try Outcome(rawValue: row.value("outcome")).map {
                        PastRun(started: try row.value("started"), outcome: $0, wall_ns: UInt64(clamping: wall))
                    }
                }
                if !past.isEmpty { history[id] = past }
            }
            return history
        }
    }
}

/// A batch of a store, with one of its runs in memory at a time.
public struct StoredBatch: RecordSource {
    private let store: Store
    private let number: Int64
    /// See ``RecordSource``.
    public let header: BatchHeader
    /// See ``RecordSource``.
    public let totals: Totals
    /// See ``RecordSource``.
    public let isEnded: Bool
    /// See ``RecordSource``.
    public let count: Int

    init(_ store: Store, _ batch: Store.Batch, _ totals: Totals, _ count: Int) {
        self.store = store
        number = batch.number
        header = batch.header
        isEnded = batch.isComplete
        self.totals = totals
        self.count = count
    }

    /// See ``RecordSource``.
    public func each(_ body: (Results.RunRecord) -> Void) { try? store.records(of: number, body) }
}
