import Glibc
public import Kernel

extension BatchJournal {
    /// Writes several journals' runs into a new one. It is complete where all of them are, and no part is missing.
    /// EINVAL where simulated and real benches are mixed.
    public static func merge(_ readers: [JournalReader], into journal: BatchJournal) throws(Failure) {
        guard let first = readers.first?.header else { return }
        guard readers.allSatisfy({ $0.header.simulated == first.simulated }) else {
            throw Failure(
                "merge", Errno(EINVAL), object: journal.path,
                hint: "some parts are of a simulated bench and some are not: they are no parts of one batch")
        }
        let header = BatchHeader(
            version: first.version, arguments: first.arguments, directory: first.directory,
            started: readers.map(\.header.started).min() ?? first.started, bench: first.bench,
            simulated: first.simulated, label: Set(readers.map(\.header.label)).count == 1 ? first.label : nil,
            command: first.command,
            parts: readers.prefix(mostShownParts).map { reader in
                let (header, shard) = (reader.header, reader.header.shard.map { "part \($0) " } ?? "")
                return "\(shard)of \(header.started), \(header.bench), in \(header.directory): \(reader.totals.text)"
            })
        try journal.begin(header)
        var failure: Failure?
        for reader in readers {
            reader.each { record in
                guard failure == nil else { return }
                do throws(Failure) { try journal.add(record) } catch { failure = error }
            }
        }
        if let failure { throw failure }
        let isComplete = readers.allSatisfy { $0.isEnded && $0.unread.count == 0 } && missingParts(readers).isEmpty
        if isComplete { try journal.end(at: timestamp()) } else { try journal.flush() }
    }

    /// Most parts that a merged journal describes.
    private static let mostShownParts = 100

    /// Most parts of a batch: the tasks of Slurm's largest array.
    private static let mostParts = 4_000_000

    /// Parts of the batch that are in none of the journals: "3/5".
    public static func missingParts(_ readers: [JournalReader]) -> [String] {
        let shards = Set(readers.compactMap(\.header.shard))
        guard let count = shards.first?.split(separator: "/").last.flatMap({ Int($0) }),
            (1...mostParts).contains(count)
        else { return [] }
        return (1...count).map { "\($0)/\(count)" }.filter { !shards.contains($0) }
    }
}
