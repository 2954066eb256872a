import CHeap
import Devices
import Glibc
import Kernel
import LabBench
import Records
import Runner
import SeededRandom
import SimKernel

/// `Fuzz COUNT SEED STDLIB FILE...`: mutates records, bundles, journals, frames of a guest and scenarios, makes scenarios of
/// random calls, reads them, and does with what can be read what peerlab does: replays and exports records, runs scenarios, on a simulated bench. A crash,
/// a hang or a leak ends it with what it was at in `fuzz.input`. With a COUNT of 0 it takes the files as they are. Memory
/// that malloc keeps for later counts as in use: Tests/Records/fuzz has it keep none.
@main
struct Fuzz {
    private var random: Random
    private let seeds: [[UInt8]]
    private let library: Library
    /// What was done how often.
    var counts: [String: Int] = [:]

    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count > 4, let count = Int(arguments[1]), let seed = UInt64(arguments[2]) else {
            print("Fuzz COUNT SEED STDLIB FILE...")
            exit(2)
        }
        var fuzz = Fuzz(seed, files: arguments.dropFirst(4), stdlib: arguments[3])
        let deadline = Deadline { _ in
            print("hangs at what is in fuzz.input")
            exit(1)
        }
        if count == 0 { for seed in fuzz.seeds { fuzz.check(seed, deadline) } }
        var early = 0
        for number in 0..<count {
            if number == count / 10 { early = heap_bytes() }
            fuzz.check(fuzz.input(), deadline)
            if number % 100_000 == 99_999 { fuzz.tell(number + 1) }
        }
        let late = heap_bytes()
        print("\(count) inputs, heap \(early / 1024) KiB after a tenth, \(late / 1024) KiB at the end")
        exit(count >= 1000 && late > early + slack ? 1 : 0)
    }

    /// What the heap may grow by after a tenth of a run: what is made once, such as metadata of types, when it is first
    /// come to.
    private static let slack = 1 << 20

    private func tell(_ number: Int) {
        let kinds = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        print("\(number): \(kinds.joined(separator: ", ")); heap \(heap_bytes() / 1024) KiB")
        fflush(nil)
    }

    /// Uses an input. While the heap grows it is used again: what is made once is not made then, what leaks is.
    private mutating func check(_ bytes: [UInt8], _ deadline: Deadline) {
        var growth: [Int] = []
        repeat {
            let before = heap_bytes()
            use(bytes, deadline)
            growth.append(heap_bytes() - before)
        } while growth.count < 16 && growth.last ?? 0 > 0
        guard growth.count == 16 else { return }
        print("leaks what is in fuzz.input: \(growth) bytes")
        exit(1)
    }

    private init(_ seed: UInt64, files: some Sequence<String>, stdlib: String) {
        random = Random(seed: seed)
        seeds = files.compactMap { path in
            guard let file = fopen(path, "re") else { return nil }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            return Array(bytes[..<fread(&bytes, 1, bytes.count, file)])
        }
        library = Library(stdlib: [stdlib])
    }

    // MARK: Mutation

    private mutating func input() -> [UInt8] {
        if random.once(in: 32) {
            var calls = RandomCalls(Random(seed: UInt64(random.below(.max))))
            return Array(calls.script().utf8)
        }
        var bytes = seeds[random.below(seeds.count)]
        for _ in 0..<(1 + random.below(6)) {
            if random.below(2) == 0 { changeLines(&bytes) } else { changeBytes(&bytes) }
        }
        return bytes
    }

    private mutating func changeBytes(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        let place = random.below(bytes.count)
        switch random.below(5) {
        case 0: bytes[place] = UInt8(random.below(256))
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(8)))
        case 2: bytes.insert(contentsOf: Array("{}[]()<>=,\"&-#*0x9|".utf8)[...].shuffled(random.below(20)), at: place)
        case 3:
            // Another number.
            let digits = bytes[place...].prefix { (0x30...0x39).contains($0) }
            let numbers = ["0", "1", "-1", "0xffffffffffffffff", "4294967295", "9223372036854775808", "7"]
            if !digits.isEmpty {
                bytes.replaceSubrange(digits.indices, with: Array(numbers[random.below(numbers.count)].utf8))
            }
        default: bytes[place] = bytes[random.below(bytes.count)]
        }
    }

    private mutating func changeLines(_ bytes: inout [UInt8]) {
        var lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
        let place = random.below(lines.count)
        switch random.below(4) {
        case 0: lines.remove(at: place)
        case 1: lines.insert(lines[random.below(lines.count)], at: place)
        case 2: lines.swapAt(place, random.below(lines.count))
        default:
            let other = seeds[random.below(seeds.count)].split(separator: 10, omittingEmptySubsequences: false)
            if let line = other.indices.contains(random.below(other.count)) ? other[random.below(other.count)] : nil {
                lines[place] = line
            }
        }
        bytes = Array(lines.joined(separator: [10]))
    }

    // MARK: What is done with it

    private mutating func use(_ bytes: [UInt8], _ deadline: Deadline) {
        Fuzz.keep(bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        if bytes.starts(with: Frame(.started).bytes.prefix(4)) {
            frames(bytes)
        } else if text.hasPrefix("{") {
            journal()
        } else if text.hasPrefix("peerlab record") {
            record(text)
        } else if text.hasPrefix("peerlab bundle") {
            counts["bundles", default: 0] += 1
            if let bundle = try? Bundle(parsing: text) {
                counts["bundles read", default: 0] += 1
                _ = try? Record(parsing: bundle.file("record") ?? "")
                _ = bundle.text
            }
        } else if text.utf8.count < 200 {
            counts["expressions", default: 0] += 1
            _ = try? FailureExpression(text)
        } else {
            script(deadline)
        }
    }

    /// However the bytes come, the same frames are taken and the same is refused.
    private mutating func frames(_ bytes: [UInt8]) {
        counts["frames", default: 0] += 1
        func read(by step: Int) -> (frames: [Frame], refusal: FrameReader.Refusal?) {
            var reader = FrameReader(fromGuest: FrameReader.Limits(output: 4096, files: 4096, fileCount: 3))
            var frames: [Frame] = []
            do throws(FrameReader.Refusal) {
                for start in stride(from: 0, to: bytes.count, by: step) {
                    try reader.read(bytes[start..<min(bytes.count, start + step)]) { frames.append($0) }
                }
            } catch { return (frames, error) }
            return (frames, nil)
        }
        let whole = read(by: max(bytes.count, 1)), parts = read(by: 1 + bytes.count % 7)
        guard whole == parts else { fatalError("frames depend on how their bytes come") }
        counts["frames taken", default: 0] += whole.frames.count
    }

    /// For whoever looks into a crash.
    private static func keep(_ bytes: [UInt8]) {
        let file = open("fuzz.input", O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        _ = write(file, bytes, bytes.count)
        close(file)
    }

    private mutating func record(_ text: String) {
        counts["records", default: 0] += 1
        guard let record = try? Record(parsing: text) else { return }
        counts["records read", default: 0] += 1
        Fuzz.checkText(of: record)
        // Not by chance: an input that is used again is used alike.
        let part = text.utf8.count % 16
        if part < 2 { _ = CExport(record, kselftest: part == 0).text }
        let replay = Replay(on: SimKernel(topology()), isReal: false)
        for entry in record.entries { _ = replay.answer(entry) }
        counts["calls", default: 0] += record.operations.count
    }

    /// What is written reads as it was.
    private static func checkText(of record: Record) {
        let text = record.text
        let again: String
        do throws(RecordError) { again = try Record(parsing: text).text } catch {
            fatalError("what is written cannot be read: \(error.text)")
        }
        guard again != text else { return }
        let lines = zip(text.split(separator: "\n"), again.split(separator: "\n"))
        let pair = lines.first { $0 != $1 }
        fatalError("what is written reads otherwise: \(pair?.0 ?? "its end")\nas: \(pair?.1 ?? "")")
    }

    private mutating func script(_ deadline: Deadline) {
        counts["scenarios", default: 0] += 1
        let bench = Bench(
            kind: "sim", description: "fuzz", isSimulated: true, tph: .auto,
            makeKernel: { [topology = topology()] in SimKernel(topology) })
        var context = RunContext(bench, library)
        context.limits = Limits(timeout: 0.1, memory: 64 << 20)
        context.deadline = deadline
        let run = try? ScenarioRun("fuzz.input", in: context, seed: 1)
        if (try? run?.run()) != nil { counts["scenarios run", default: 0] += 1 }
    }

    private func topology() -> Topology {
        var bench = Topology(name: "fuzz", tph: .v2)
        bench.devices = [
            Topology.Device(
                address: "0000:01:00.0", vendor: 0x1af4, device: 0x1110, classCode: 0x050000, group: 10,
                bars: [Topology.BAR(2, size: 1 << 20, is64Bit: true, prefetchable: true)], completer: .extended,
                tphRequester: true),
            Topology.Device(
                address: "0000:03:00.0", vendor: 0x15b3, device: 0x1021, classCode: 0x020000, driver: "mlx5_core",
                group: 12, bars: [Topology.BAR(0, size: 1 << 25, is64Bit: true)], tphRequester: true, kind: .nic),
        ]
        bench.nics = [Topology.NIC(name: "mlx5_0", address: "0000:03:00.0")]
        return bench
    }
}

extension ArraySlice<UInt8> {
    /// A part of it that `number` picks.
    fileprivate func shuffled(_ number: Int) -> [UInt8] { Array(dropFirst(number % count).prefix(1 + number % 3)) }
}
