import Commands
import ArgumentParser
import Batch
import FoundationEssentials
import Glibc
import Kernel
import LuaKit
import Results
import Runner

/// The plan of a batch: files, their declarations, and the cells made of them.
struct BatchPlan {
    /// Declarations of a file, read in a process of its own.
    struct Metadata: Codable {
        let file: Int
        var tags: [String] = []
        var options: [String] = []
        /// Names of its cases; empty unless some are to be selected.
        var cases: [String] = []
        var limits = Limits()
        var matrix: [MatrixRow] = []
        /// Whether it returns a table without any key of a scenario.
        var isModule = false
        /// Whether it cannot be loaded, so that its declarations are unknown.
        var isBroken = false
    }

    /// A file. Small, as a batch may have very many.
    struct File {
        let path: String
        /// nil where it declares nothing that is needed later.
        var metadata: DeclaredLimits?
        var hash = SHA256Text()
    }

    /// The part of a file's declarations that is kept.
    final class DeclaredLimits {
        let tags: [String]
        let limits: Limits

        init(tags: [String], limits: Limits) {
            self.tags = tags
            self.limits = limits
        }
    }

    private(set) var cells: [Cell] = []
    private(set) var files: [File] = []
    /// Number of files in folders that are not scenarios.
    private(set) var leftOut = 0
    /// Number of names in folders that are not UTF-8.
    private(set) var unreadableNames = 0
    private(set) var links = 0
    /// Tags of all scenarios, selected or not.
    private(set) var tags: Set<String> = []

    /// Seconds for loading a file; where it takes longer, it counts as declaring nothing.
    private static let timeout = 3.0
    private static let chunk = 32

    /// Planned runs that cannot be run, with the reason.
    private(set) var lost: [(id: String, file: String, reason: String)] = []

    /// `planned`: the files of a resumed batch when it was begun; empty for a new one.
    init(_ command: BatchCommand, planned: [PlannedFile] = []) throws {
        let paths = try ShippedScenarios.paths(command.paths, takesKinds: true)
        let selection = try Selection(planned.isEmpty ? paths : BatchPlan.present(planned, named: paths))
        let selected = selection.files
        unreadableNames = selection.unreadableNames
        links = selection.links
        files = selected.map { File(path: $0.path) }
        var found: [Metadata?] = Array(repeating: nil, count: files.count)
        try BatchPlan.read(files, command, into: &found)
        guard !Workers.isInterrupted else { return }
        try readHashes(jobs: command.running.workers)
        let expression = try command.selection.tags.map(command.selection.expression)
        let rows = try command.selection.rows()
        let set = Set(try command.on.pairs().map(\.name))
        var used: Set<String> = []
        // The first file without an option that is set.
        var without: (file: String, option: String)?
        // Options of all files together; nil where one file could not be loaded.
        var options: Set<String>? = []
        // And their cases.
        var names: Set<String>? = []
        for (index, file) in selected.enumerated() {
            let known = found[index] ?? Metadata(file: index)
            if file.isFound, known.isModule {
                leftOut += 1
                continue
            }
            tags.formUnion(known.tags)
            if let expression, !expression.matches(known.tags) { continue }
            let isKnown = found[index] != nil && !known.isBroken
            if isKnown, let option = set.subtracting(known.options).min() { without = without ?? (file.path, option) }
            options = isKnown ? options?.union(known.options) : nil
            names = isKnown ? names?.union(known.cases) : nil
            if !known.tags.isEmpty || known.limits != Limits() {
                files[index].metadata = DeclaredLimits(tags: known.tags, limits: known.limits)
            }
            let matrix = BatchPlan.matrix(known, rows, without: set)
            used.formUnion(matrix.map(\.option))
            if let count = MatrixRow.combinations(matrix.map(\.values.count)) {
                throw ValidationError(
                    "\(file.path): the matrix has \(count) combinations; at most \(MatrixRow.most) are run")
            }
            cells += Cell.all(index, file.path, matrix, repeats: command.selection.repeats)
        }
        for row in rows where !used.contains(row.option) && !cells.isEmpty {
            throw ValidationError("--matrix: no scenario that is selected has an option '\(row.option)'")
        }
        if let options, !cells.isEmpty, let unknown = set.subtracting(options).min() {
            throw ValidationError("--set: no scenario that is selected has an option '\(unknown)'")
        }
        // A resumed batch was accepted when it was begun.
        if planned.isEmpty, let without {
            throw ValidationError(
                "--set: \(without.file) has no option '\(without.option)', which --set sets for every scenario; "
                    + "--matrix \(without.option)=VALUE sets it for those that have it")
        }
        let chosen = command.selection.cases.selection(isOneOfMany: true)
        if let names, !cells.isEmpty, let refusal = chosen?.refusal(of: names.sorted(by: NaturalOrder.precedes)) {
            throw ValidationError(refusal.line)
        }
        guard planned.isEmpty else {
            keep(planned)
            return
        }
        if let part = try command.selection.part() { cells = part.part(of: cells) }
        if let only = command.selection.only {
            let list = try InputFile.bytes(of: only, limit: InputFile.Limit.list)
            let ids = Set(list.split(separator: 0).map { String(decoding: $0, as: UTF8.self) })
            cells.removeAll { !ids.contains($0.id) }
        }
    }

    /// Planned files that the command still selects: the user agreed to the command, not to other paths in the journal.
    private static func present(_ planned: [PlannedFile], named paths: [String]) -> [String] {
        // Each path alone, so that one that selects nothing any more does not affect the others.
        let selected = Set(paths.flatMap { path in (try? Selection([path]).files.map(\.path)) ?? [] })
        return planned.map(\.planned).filter(selected.contains)
    }

    /// Keeps the planned runs of files that are unchanged; the others are lost.
    private mutating func keep(_ planned: [PlannedFile]) {
        var hashes: [String: String] = [:]
        for file in files { hashes[file.path] = file.hash.text }
        var wanted: Set<String> = []
        var refused: [String: String] = [:]
        for file in planned {
            let now = hashes[file.planned]
            let isChanged = now.map { !$0.isEmpty && !file.hash.isEmpty && $0 != file.hash } ?? false
            if now == nil || isChanged {
                let isThere = access(file.planned, F_OK) == 0
                refused[file.planned] =
                    now == nil && isThere
                    ? "\(file.planned) is not what the batch's command names"
                    : "\(file.planned) \(now == nil ? "is gone" : "has changed") since the batch was begun"
            } else {
                wanted.formUnion(file.ids)
            }
        }
        cells.removeAll { !wanted.contains($0.id) }
        let found = Set(cells.map(\.id))
        for file in planned {
            for id in file.ids where !found.contains(id) {
                let reason = refused[file.planned] ?? "\(file.planned) has no such run any more"
                lost.append((id, file.planned, reason))
            }
        }
    }

    /// Writes the files and their runs, in portions, as there may be very many.
    func write(to journal: BatchJournal) throws(Failure) {
        let order = cells.indices.sorted { (cells[$0].file, $0) < (cells[$1].file, $1) }
        var next = 0
        while next < order.count {
            var some: [PlannedFile] = []
            while next < order.count, some.count < 64 {
                let file = cells[order[next]].file
                var ids: [String] = []
                while next < order.count, cells[order[next]].file == file {
                    ids.append(cells[order[next]].id)
                    next += 1
                }
                some.append(PlannedFile(files[file].path, hash: files[file].hash.text, ids: ids))
            }
            try journal.add(some)
        }
    }

    /// The rows of one scenario: rows of the command line replace its own with the same option, and are ignored where
    /// it has no such option. Options that `--set` sets are not rows any more.
    private static func matrix(
        _ known: Metadata, _ rows: [(option: String, values: [String])], without set: Set<String>
    ) -> [(option: String, values: [String])] {
        var matrix = known.matrix.filter { !set.contains($0.option) }.map { (option: $0.option, values: $0.values) }
        for row in rows where known.options.contains(row.option) {
            if let index = matrix.firstIndex(where: { $0.option == row.option }) {
                matrix[index] = row
            } else {
                matrix.append(row)
            }
        }
        return matrix.sorted { $0.option < $1.option }
    }

    mutating func shuffle(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        cells.shuffle(using: &generator)
    }

    /// Loads all files, many in one process; a file that ends its process is skipped.
    private static func read(_ files: [File], _ command: BatchCommand, into found: inout [Metadata?]) throws {
        // Ranges of files still to be read.
        var ranges = stride(from: 0, to: files.count, by: chunk).map { $0..<min($0 + chunk, files.count) }
        let library = command.on.library, isSimulated = command.on.isSimulated
        let hasSelection = !command.selection.cases.names.isEmpty
        var current: [Int: Range<Int>] = [:]
        var number = 0
        let workers = Workers(jobs: command.running.workers) { task in
            describe(
                files, task.index & 0xffff_ffff, task.index >> 32, library, isSimulated: isSimulated,
                cases: hasSelection)
            return 0
        }
        var results = found
        try workers.run(
            next: {
                guard !ranges.isEmpty else { return nil }
                let range = ranges.removeFirst()
                number += 1
                current[number] = range
                return BatchTask(
                    id: String(number), index: range.lowerBound | range.upperBound << 32, timeout: timeout,
                    memory: 1 << 30)
            },
            finished: { task, ending in
                guard let range = current[Int(task.id) ?? 0] else { return }
                var next = range.lowerBound
                for line in ending.result.split(separator: 0x0a) {
                    // Untrusted: a script may have taken over the process.
                    guard let one = try? JSONDecoder().decode(Metadata.self, from: Data(line)),
                        range.contains(one.file), one.limits.areUsable
                    else { continue }
                    results[one.file] = one
                    next = one.file + 1
                }
                // The child died on the file after the last one it reported; give each remaining file its own process.
                guard ending.exit != 0, next + 1 < range.upperBound else { return }
                ranges += ((next + 1)..<range.upperBound).map { $0..<($0 + 1) }
            })
        found = results
    }

    /// In a process of its own: what each file says, a line each.
    private static func describe(
        _ files: [File], _ first: Int, _ end: Int, _ library: Library, isSimulated: Bool, cases: Bool
    ) {
        let encoder = RunRecord.encoder
        _ = Confinement(simulated: files[first..<end].map(\.path), library, memory: 0).apply()
        for index in first..<end {
            var one = Metadata(file: index)
            if let description = try? ScenarioDescription(files[index].path, library, isSimulated: isSimulated) {
                if let scenario = description.scenario {
                    one.tags = scenario.tags
                    one.options = scenario.options.map(\.name)
                    if cases { one.cases = scenario.cases.map(\.name) }
                    one.limits = scenario.limits
                    one.matrix = scenario.matrix
                }
                // Mistakes in the file are reported when it is run.
                one.isModule = description.isModule
                one.isBroken = description.error.map { $0.kind != .usage } ?? false
            }
            guard var line = try? encoder.encode(one) else { continue }
            line.append(0x0a)
            _ = writeAll(line, to: 3)
        }
    }

    /// Whether a file can be a script. A larger one, or one that is not regular, is not read here; it is refused when
    /// it is run.
    private static func isScript(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && status.st_size <= InputFile.Limit.script
    }

    /// SHA-256 of each file, by sha256sum(1) of coreutils.
    private mutating func readHashes(jobs: Int) throws {
        var next = 0
        var ranges: [Range<Int>] = []
        let files = files
        let scripts = files.indices.filter { BatchPlan.isScript(files[$0].path) }
        let workers = Workers(jobs: jobs) { task in
            dup2(3, 1)
            let paths = scripts[ranges[task.index]].map { files[$0].path }
            var words: [UnsafeMutablePointer<CChar>?] = (["sha256sum", "-z", "--"] + paths).map { strdup($0) }
            words.append(nil)
            execvp("sha256sum", words)
            return 127
        }
        var found = files
        try workers.run(
            next: {
                guard next < scripts.count else { return nil }
                ranges.append(next..<min(next + 500, scripts.count))
                next += 500
                return BatchTask(id: "sha256sum", index: ranges.count - 1, timeout: 600)
            },
            finished: { task, ending in
                // Lines come in the order given; there is none for an unreadable file.
                var next = ranges[task.index].lowerBound
                for line in ending.result.split(separator: 0) where line.count > 66 {
                    let path = String(decoding: line.dropFirst(66), as: UTF8.self)
                    while next < scripts.count, files[scripts[next]].path != path { next += 1 }
                    guard next < scripts.count else { return }
                    found[scripts[next]].hash = SHA256Text(line.prefix(64))
                }
            })
        self.files = found
    }
}

/// A SHA-256 digest, stored in binary.
struct SHA256Text {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    /// From 64 hexadecimal digits.
    init(_ digits: ArraySlice<UInt8>) {
        func word(_ index: Int) -> UInt64 {
            UInt64(String(decoding: digits.dropFirst(16 * index).prefix(16), as: UTF8.self), radix: 16) ?? 0
        }
        words = (word(0), word(1), word(2), word(3))
    }

    /// 64 hexadecimal digits; empty where there is no digest.
    var text: String {
        let all = [words.0, words.1, words.2, words.3]
        guard all != [0, 0, 0, 0] else { return "" }
        return all.map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
