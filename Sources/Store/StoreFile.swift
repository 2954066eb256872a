import GRDB
import Glibc
import Kernel
import Runner

/// Checks a store's file before SQLite opens it. SQLite trusts files beside a database: it plays back FILE-journal, and
/// then removes the file that is named in it.
struct StoreFile {
    /// The path as the user gave it.
    private let name: String
    /// The path with links followed.
    let path: String
    /// Whether the file is empty or missing.
    let isEmpty: Bool

    /// The file must be regular or missing. EPROTO where it is not a database in our format.
    init(_ name: String) throws(Failure) {
        self.name = name
        var status = stat()
        if lstat(name, &status) != 0, errno == ENOENT {
            isEmpty = true
            let slash = name.lastIndex(of: "/")
            let folder = try StoreFile.resolved(slash.map { String(name[...$0]) } ?? ".")
            path = "\(folder)/\(slash.map { String(name[name.index(after: $0)...]) } ?? name)"
            return
        }
        let descriptor = try InputFile.open(name)
        defer { close(descriptor) }
        path = try StoreFile.resolved(name)
        var header = [UInt8](repeating: 0, count: 20)
        let count = pread(descriptor, &header, header.count, 0)
        isEmpty = count == 0
        guard isEmpty || (count == 20 && header.starts(with: Array("SQLite format 3\0".utf8))) else {
            throw Failure("open", Errno(EPROTO), object: name, hint: "it is no store of results")
        }
        // File format versions (bytes 18 and 19): 1 for a database with a rollback journal, which ours have.
        // https://www.sqlite.org/fileformat2.html
        guard isEmpty || header[18...] == [1, 1] else {
            throw Failure(
                "open", Errno(EPROTO), object: name, hint: "it has a write-ahead log, as no store of ours has")
        }
        for log in ["\(path)-wal", "\(path)-shm"] where lstat(log, &status) == 0 {
            throw Failure("open", Errno(EPROTO), object: log, hint: "no store of ours has such a file: remove it")
        }
    }

    /// The file's folder.
    var folder: String {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func resolved(_ path: String) throws(Failure) -> String {
        guard let resolved = realpath(path, nil) else { throw Failure("open", Errno(errno), object: path) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Throws for a folder or journal through which another user could make SQLite change files.
    func checkWriting() throws(Failure) {
        try Ownership.check(folder, or: "keep the results in a folder that is the user's alone")
        let journal = "\(path)-journal"
        var status = stat()
        guard lstat(journal, &status) == 0 else { return }
        let remedy = "remove it, if it was not left by a batch that was cut off"
        try Ownership.check(status, journal, or: remedy)
        let descriptor = try InputFile.open(journal)
        defer { close(descriptor) }
        // A journal that ends with this magic number names a file, which SQLite removes after playing the journal back.
        // https://www.sqlite.org/fileformat2.html
        let mark: [UInt8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]
        var end = [UInt8](repeating: 0, count: mark.count)
        guard fstat(descriptor, &status) == 0,
            pread(descriptor, &end, end.count, max(0, status.st_size - off_t(end.count))) < end.count || end != mark
        else {
            throw Failure("open", Errno(EPROTO), object: journal, hint: "it is no journal of ours: remove it")
        }
    }
}

/// Tables and indices of a store.
enum StoreSchema {
    static let versions: DatabaseMigrator = {
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
        versions.registerMigration("2") { db in
            try db.create(table: "about") { table in
                table.primaryKey("batch", .integer).references("batch", onDelete: .cascade)
                table.column("label", .text).indexed()
                table.column("command", .text)
                table.column("parts", .text)
            }
        }
        return versions
    }()

    /// An empty database in memory, never changed.
    static let empty = make(upTo: "2")
    /// The same in the first version, which may still be read.
    private static let first = make(upTo: "1")

    private static func make(upTo version: String) -> DatabaseQueue {
        guard let queue = try? DatabaseQueue(), (try? versions.migrate(queue, upTo: version)) != nil else {
            fatalError("SQLite cannot make a database in memory")
        }
        return queue
    }

    /// Throws for a database with other objects, such as a view, a trigger or another program's table; false where its
    /// creation was not completed. `schema`: its name in the connection.
    static func check(_ db: Database, _ schema: String) throws -> Bool {
        let ours = try empty.read { try objects($0, "main") }
        let found = try objects(db, schema)
        guard found.isSubset(of: ours) else { throw ForeignSchema() }
        return try first.read { try objects($0, "main") }.isSubset(of: found)
    }

    /// Whether a checked database has the table with labels, which those of the first version lack.
    static func hasLabels(_ db: Database, _ schema: String) throws -> Bool {
        try objects(db, schema).contains { $0.first == "table" && $0[1] == "about" }
    }

    /// The declarations of all tables and indices.
    private static func objects(_ db: Database, _ schema: String) throws -> Set<[String?]> {
        var objects: Set<[String?]> = []
        let rows = try Row.fetchCursor(db, sql: "SELECT type, name, tbl_name, sql FROM \(schema).sqlite_master")
        while let row = try rows.next() {
            objects.insert(row.databaseValues.map { String.fromDatabaseValue($0) })
            guard objects.count < 64 else { throw ForeignSchema() }
        }
        return objects
    }
}

struct ForeignSchema: Error, CustomStringConvertible {
    let description = "it has other tables than a store of results: it is another program's, or was changed"
}

struct DamagedRow: Error, CustomStringConvertible {
    let description: String

    init(column: String) { description = "a row of it is damaged: its '\(column)' is none" }
}

extension Row {
    /// A column's value, checked for its type: SQLite stores any type, whatever the declaration says.
    func value<Value: DatabaseValueConvertible>(_ column: String) throws -> Value {
        guard let value = Value.fromDatabaseValue(self[column]) else { throw DamagedRow(column: column) }
        return value
    }
}
