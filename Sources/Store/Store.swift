import FoundationEssentials
import GRDB
public import Kernel
public import Results
import Runner

/// Results of many batches, in a SQLite database.
public final class Store {
    private let queue: DatabaseQueue
    /// Where it is.
    public let path: String

    /// Opens a database, or makes one.
    public init(_ path: String) throws(Failure) {
        self.path = path
        do {
            var options = Configuration()
            options.label = "results"
            options.busyMode = .timeout(30)
            queue = try DatabaseQueue(path: path, configuration: options)
            try Store.versions.migrate(queue)
        } catch {
            throw Store.failure("open", error, path)
        }
    }

    private static func failure(_ operation: String, _ error: any Error, _ path: String) -> Failure {
        Failure(operation, Errno(5), object: path, hint: "\(error)")
    }

    private func asking<Value>(_ body: (Database) throws -> Value) throws(Failure) -> Value {
        do { return try queue.read(body) } catch { throw Store.failure("read", error, path) }
    }

    private static let versions: DatabaseMigrator = {
        var versions = DatabaseMigrator()
        versions.registerMigration("1") { db in
            try db.create(table: "batch") { table in
                table.autoIncrementedPrimaryKey("number")
                table.column("started", .text).notNull()
                table.column("bench", .text).notNull()
                table.column("simulated", .boolean).notNull()
                table.column("directory", .text).notNull()
                table.column("arguments", .text).notNull()
                table.column("complete", .boolean).notNull()
                table.column("totals", .text).notNull()
                table.column("version", .text).notNull()
            }
            try db.create(table: "run") { table in
                table.column("batch", .integer).notNull().indexed().references("batch", onDelete: .cascade)
                table.column("id", .text).notNull().indexed()
                table.column("outcome", .text).notNull()
                table.column("flaky", .boolean).notNull()
                table.column("started", .text).notNull()
                table.column("wall_ns", .integer).notNull()
                table.column("record", .text).notNull()
                table.primaryKey(["batch", "id"])
            }
        }
        return versions
    }()

    /// A batch in short.
    public struct Batch: Sendable {
        /// Its number in this store, from 1.
        public let number: Int64
        /// What was run.
        public let header: BatchHeader
        /// Whether all of it was run.
        public let isComplete: Bool
        /// How it ended.
        public let totals: Totals
    }

    /// Keeps a batch; returns its number.
    public func add(_ journal: JournalReader) throws(Failure) -> Int64 {
        do {
            return try queue.write { db in
                let header = journal.header
                let encoder = Results.Record.encoder
                func text(_ value: some Encodable) throws -> String {
                    String(decoding: try encoder.encode(value), as: UTF8.self)
                }
                try db.execute(
                    sql: """
                        INSERT INTO batch (started, bench, simulated, directory, arguments, complete, totals, version)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        header.started, header.bench, header.simulated, header.directory, try text(header.arguments),
                        journal.isEnded, try text(journal.totals), header.version,
                    ])
                let number = db.lastInsertedRowID
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
                            Int64(clamping: record.wall), try text(record),
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

    /// All batches, oldest first.
    public func batches() throws(Failure) -> [Batch] {
        try asking { db in
            try Row.fetchAll(db, sql: "SELECT * FROM batch ORDER BY number").map(Store.batch)
        }
    }

    private static func batch(_ row: Row) throws -> Batch {
        let decoder = JSONDecoder()
        func decoded<Value: Decodable>(_ type: Value.Type, _ column: String) throws -> Value {
            try decoder.decode(type, from: Data((row[column] as String).utf8))
        }
        return Batch(
            number: row["number"],
            header: BatchHeader(
                version: row["version"], arguments: try decoded([String].self, "arguments"),
                directory: row["directory"], started: row["started"], bench: row["bench"], simulated: row["simulated"]),
            isComplete: row["complete"], totals: try decoded(Totals.self, "totals"))
    }

    /// A batch by its number, its runs sorted by their ids; nil where there is none.
    public func batch(_ number: Int64) throws(Failure) -> StoredBatch? {
        try asking { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT * FROM batch WHERE number = ?", arguments: [number])
            else {
                return nil
            }
            let decoder = JSONDecoder()
            let records = try String.fetchAll(
                db, sql: "SELECT record FROM run WHERE batch = ?", arguments: [number]
            ).map { try decoder.decode(Results.Record.self, from: Data($0.utf8)) }
            return StoredBatch(
                try Store.batch(row), records.sorted { NaturalOrder.precedes($0.id, $1.id) })
        }
    }

    /// What became of a batch's runs before it, at most the last 20 of each, oldest first. A simulated bench's are not mixed
    /// with a real one's.
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
                let past = rows.reversed().compactMap { row in
                    Outcome(rawValue: row["outcome"]).map {
                        PastRun(
                            started: row["started"], outcome: $0, wall_ns: UInt64(clamping: row["wall_ns"] as Int64))
                    }
                }
                if !past.isEmpty { history[id] = past }
            }
            return history
        }
    }
}

/// A batch of a store.
public struct StoredBatch: RecordSource {
    /// See ``RecordSource``.
    public let header: BatchHeader
    /// See ``RecordSource``.
    public let totals: Totals
    /// See ``RecordSource``.
    public let isEnded: Bool
    private let records: [Results.Record]

    init(_ batch: Store.Batch, _ records: [Results.Record]) {
        header = batch.header
        totals = batch.totals
        isEnded = batch.isComplete
        self.records = records
    }

    /// See ``RecordSource``.
    public var count: Int { records.count }
    /// See ``RecordSource``.
    public func each(_ body: (Results.Record) -> Void) { records.forEach(body) }
}
