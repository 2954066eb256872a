import ArgumentParser
import Batch
import Devices
import FoundationEssentials
import Glibc
import Kernel
import LuaKit
import Results
import Runner
import SimKernel

/// What a batch runs: files, what they say of themselves, and the cells made of them.
struct BatchPlan {
    /// What a file says of itself, found out in a process of its own.
    struct Metadata: Codable {
        let file: Int
        var tags: [String] = []
        var options: [String] = []
        var limits = Limits()
        var matrix: [MatrixRow] = []
        /// Whether it returns a table that has nothing of a scenario.
        var isModule = false
    }

    private(set) var cells: [Cell] = []
    private(set) var metadata: [String: Metadata] = [:]
    private(set) var hashes: [String: String] = [:]
    /// Files in folders that are no scenarios.
    private(set) var leftOut = 0

    /// How long a file may take to say what it is, seconds; one that takes longer has said nothing.
    private static let patience = 10.0
    private static let chunk = 64

    init(_ command: BatchCommand) throws {
        let files = try Selection(command.paths).files
        var found: [Metadata?] = Array(repeating: nil, count: files.count)
        try BatchPlan.read(files.map(\.path), command, into: &found)
        guard !Workers.isInterrupted else { return }
        hashes = try BatchPlan.hashes(of: files.map(\.path), jobs: command.running.workers)
        let expression = try command.selection.tags.map(command.selection.expression)
        let rows = try command.selection.rows()
        for (index, file) in files.enumerated() {
            let known = found[index] ?? Metadata(file: index)
            if file.isFound, known.isModule {
                leftOut += 1
                continue
            }
            if let expression, !expression.matches(known.tags) { continue }
            metadata[file.path] = known
            cells += Cell.all(file.path, BatchPlan.matrix(known, rows), repeats: command.selection.repeats)
        }
        if let part = try command.selection.part() { cells = part.part(of: cells) }
    }

    /// Rows of the command line take the place of the scenario's own; scenarios without such an option are not concerned.
    private static func matrix(_ known: Metadata, _ rows: [(option: String, values: [String])])
        -> [(option: String, values: [String])]
    {
        var matrix = known.matrix.map { (option: $0.option, values: $0.values) }
        for row in rows where known.options.contains(row.option) {
            if let place = matrix.firstIndex(where: { $0.option == row.option }) {
                matrix[place] = row
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

    /// Loads each file, many in one process; one that ends its process is passed over.
    private static func read(_ files: [String], _ command: BatchCommand, into found: inout [Metadata?]) throws {
        // Ranges of files still to be read.
        var ranges = stride(from: 0, to: files.count, by: chunk).map { $0..<min($0 + chunk, files.count) }
        let library = command.on.library
        var current: [Int: Range<Int>] = [:]
        var number = 0
        let workers = Workers(jobs: command.running.workers) { task in
            describe(files, task.index & 0xffff_ffff, task.index >> 32, library)
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
                    id: String(number), index: range.lowerBound | range.upperBound << 32, timeout: patience,
                    memory: 1 << 30)
            },
            finished: { task, ending in
                guard let range = current[Int(task.id) ?? 0] else { return }
                var next = range.lowerBound
                for line in ending.result.split(separator: 0x0a) {
                    guard let one = try? JSONDecoder().decode(Metadata.self, from: Data(line)) else { continue }
                    results[one.file] = one
                    next = one.file + 1
                }
                // The one after the last that answered did not come back.
                if ending.exit != 0, next + 1 < range.upperBound { ranges.append((next + 1)..<range.upperBound) }
            })
        found = results
    }

    /// In a process of its own: what each file says, a line each.
    private static func describe(_ files: [String], _ first: Int, _ end: Int, _ library: Library) {
        let bench = Bench(
            kind: "sim", description: "", isSimulated: true, tph: .off, makeKernel: { SimKernel(Topology()) })
        let encoder = Record.encoder
        for index in first..<end {
            var one = Metadata(file: index)
            do throws(ErrorValue) {
                let run = try ScenarioRun(
                    file: files[index], bench: bench, kernel: bench.makeKernel(), another: bench.makeKernel,
                    library: library, settings: [], featureFound: { _ in }, note: { _ in }, emit: { _ in })
                do throws(ErrorValue) {
                    if let scenario = try run.describe() {
                        one.tags = scenario.tags
                        one.options = scenario.options.map(\.name)
                        one.limits = scenario.limits
                        one.matrix = scenario.matrix
                    }
                } catch {
                    // What is wrong with it is said when it is run.
                    one.isModule = run.returnsNoScenario
                }
            } catch {}
            guard var line = try? [UInt8](encoder.encode(one)) else { continue }
            line.append(0x0a)
            _ = writeAll(line, to: 3)
        }
    }

    /// SHA-256 of each file, by sha256sum(1) of coreutils.
    private static func hashes(of files: [String], jobs: Int) throws -> [String: String] {
        var hashes: [String: String] = [:]
        var rest = stride(from: 0, to: files.count, by: 500).map { Array(files[$0..<min($0 + 500, files.count)]) }
        var parts: [[String]] = []
        let workers = Workers(jobs: jobs) { task in
            dup2(3, 1)
            var words: [UnsafeMutablePointer<CChar>?] = (["sha256sum", "-z", "--"] + parts[task.index]).map { strdup($0) }
            words.append(nil)
            execvp("sha256sum", words)
            return 127
        }
        try workers.run(
            next: {
                guard !rest.isEmpty else { return nil }
                parts.append(rest.removeFirst())
                return BatchTask(id: "sha256sum", index: parts.count - 1, timeout: 600)
            },
            finished: { _, ending in
                for line in ending.result.split(separator: 0) where line.count > 66 {
                    let text = String(decoding: line, as: UTF8.self)
                    hashes[String(text.dropFirst(66))] = String(text.prefix(64))
                }
            })
        return hashes
    }
}
