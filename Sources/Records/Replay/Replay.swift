import CKernel
public import Kernel

/// Makes the calls of a record again, on any kernel, and compares the answers.
public final class Replay {
    /// An operation that was answered in another way than when it was recorded.
    public struct Difference: Sendable {
        /// In the record's file.
        public let line: Int
        /// The recorded operation, and the same as it went now, as records write them.
        public let recorded: String
        /// See `recorded`.
        public let answered: String
    }

    /// Why an operation could not even be tried: it needs what an earlier one did not give.
    public struct Impossible: Error, Sendable {
        /// The object, and what would have made it.
        public let message: String
    }

    let kernel: TracingKernel
    let underneath: any Kernel
    var symbols = Symbols()
    private var answered: Operation?
    /// The latest answer, in the record's names.
    private var latest: Operation?
    var decoder = Decoder()
    /// Bytes that are mapped, by their first address.
    var mapped: [UInt64: UInt64] = [:]
    /// Descriptors that calls gave and none has closed.
    var opened: Set<Int32> = []
    /// What the kernel was given addresses of.
    var buffers: [(UnsafeMutableRawPointer, Int)] = []
    /// Memory of the current call's argument. Freed before the next call: kernels keep no pointer to it.
    private var passing: [(UnsafeMutableRawPointer, Int)] = []
    /// Bytes of `buffers` with the pages around them.
    var held = 0
    /// Names of the objects that were created from an object, by its name; they end with it.
    private var children: [String: [String]] = [:]
    /// Zero bytes passed in place of digests by the current operation; at most 64 MiB.
    var zeroes = 0
    private static let mostHeld = 1 << 28
    /// Whether memory holds other data than it did then, as the record does not keep long data.
    private var lacksData = false
    /// Number of answers not compared because earlier input data was not in the record.
    public private(set) var notCompared = 0
    /// Paths that are other ones here.
    let paths: [String: String]
    /// How long an answer that comes by itself (a completion) is waited for, in nanoseconds.
    static let patience: UInt64 = 2_000_000_000

    /// Whether what a record names is this machine's: a replay then opens devices and nothing else.
    let isReal: Bool

    /// Replays on `kernel`, opening `paths`' values where the record opened its keys. `isReal` of this machine's kernel.
    public init(on kernel: any Kernel, isReal: Bool, paths: [String: String] = [:]) {
        underneath = kernel
        self.isReal = isReal
        self.paths = paths
        self.kernel = TracingKernel(kernel)
        self.kernel.record = { [unowned self] operation in answered = operation }
    }

    deinit { for (address, count) in buffers + passing { sys_guarded_free(address, count) } }

    /// Makes the call of an entry again.
    /// - Returns: how its answer differs; nil where it does not, or where the entry is no call.
    public func step(_ entry: Record.Entry) throws(Impossible) -> Difference? {
        switch entry.kind {
        case .comment, .failure, .judgement, .scenario: return nil
        case .feature(let feature):
            decoder.add(feature)
            kernel.know(feature)
            return nil
        case .operation(let recorded):
            // A fault plan's answers say nothing of the kernel.
            if recorded.isInjected { return nil }
            if recorded.lacksData {
                lacksData = true
                guard recorded.signature.name != "store" else { return nil }
                guard !isReal else {
                    throw Impossible(message: "its data is not in the record, and a real device gets no other")
                }
            }
            var answer = try make(recorded)
            let end = underneath.monotonic() &+ Replay.patience
            while recorded.times > 1, !Replay.isSame(recorded, answer), underneath.monotonic() < end {
                _ = underneath.sleep(nanoseconds: 1_000_000)
                answer = try make(recorded)
            }
            guard !Replay.isSame(recorded, answer) else { return nil }
            // The data written there was not recorded, so what is read now proves nothing.
            if lacksData, Replay.isOfData(recorded) {
                notCompared += 1
                return nil
            }
            return Difference(line: entry.line, recorded: Record.line(recorded), answered: Record.line(answer))
        }
    }

    /// How the call of an entry is answered now; nil where the entry is no call, or one that cannot be compared. With its
    /// arguments and outputs where they are wanted.
    public func answer(_ entry: Record.Entry, values: Bool = false) -> Answer? {
        guard case .operation(let operation) = entry.kind, !operation.isInjected else {
            _ = try? step(entry)
            return nil
        }
        var answer = Answer(line: entry.line, operation: operation.name, errno: Answer.success, verdict: "impossible")
        // A skipped store has no answer; the previous one must not stand for it.
        latest = nil
        do throws(Impossible) {
            let difference = try step(entry)
            answer.verdict = difference == nil ? "same" : "differs"
            answer.errno = latest?.errno?.name ?? Answer.success
            if !isReal { answer.check = latest?.errno?.origin }
            if values { answer.values = latest?.values }
        } catch {}
        return answer
    }

    /// The operation as it goes now, in the record's names.
    public func make(_ recorded: Operation) throws(Impossible) -> Operation {
        answered = nil
        for (address, count) in passing { sys_guarded_free(address, count) }
        passing = []
        guard held < Replay.mostHeld else {
            throw Impossible(message: "a replay keeps at most \(Replay.mostHeld >> 20) MiB that calls point to")
        }
        let arguments = ReplayArguments(try resolved(recorded))
        if recorded.signature.name == "ibv_post_send" {
            try checkBindings(arguments)
            if isReal { try checkDatagrams(recorded, arguments) }
        }
        switch recorded.signature.name {
        case "ioctl": try ioctl(recorded, arguments)
        case "ibv_poll_cq": poll(recorded, arguments)
        case "load", "store": access(recorded, arguments)
        default:
            let verb = Verbs.named(recorded.signature.name)
            guard verb?.call(again: arguments.values, on: kernel) ?? system(recorded.signature.name, arguments) else {
                throw Impossible(message: "\(recorded.signature.name) cannot be made again")
            }
        }
        guard var answered else { throw Impossible(message: "\(recorded.signature.name) gave no answer") }
        answered.request = recorded.request
        symbols.expect(recorded)
        var result = symbols.named(answered.shortened())
        // What went in is what was asked to, in the record's own words.
        for (index, parameter) in recorded.signature.parameters.enumerated() where !parameter.isOutput {
            result.arguments[index] = recorded.arguments[index]
        }
        latest = result
        note(answered, recorded, arguments)
        return result
    }

    /// What is there from now on, and what is not.
    private func note(_ answered: Operation, _ recorded: Operation, _ arguments: ReplayArguments) {
        guard answered.errno == nil else { return }
        if case .symbol(let made, _) = recorded.result, case .symbol(let parent, _)? = recorded.arguments.first {
            children[parent, default: []].append(made)
        }
        for case .number(let number, .descriptor) in [answered.result] + answered.outputs.map(\.value) {
            opened.insert(Int32(truncatingIfNeeded: number))
        }
        switch answered.signature.name {
        case "mmap":
            if case .number(let address, _) = answered.result { mapped[address] = arguments[0] }
        case "munmap":
            // Whole pages are unmapped, one at least. After a part of a mapping is gone, none of it is accessed any more.
            mapped[arguments[0]] = nil
        case "close": opened.remove(arguments.int32(0))
        case let name where Verbs.named(name)?.ends ?? false:
            if case .symbol(let name, _)? = recorded.arguments.first { forget(name) }
        default: return
        }
    }

    /// Forgets a destroyed object and all that was created from it. libibverbs does not destroy those, but on a real kernel they
    /// point into freed memory.
    private func forget(_ name: String) {
        symbols.forget(name)
        guard isReal else { return }
        for child in children.removeValue(forKey: name) ?? [] { forget(child) }
    }

    /// Whether an answer is the recorded one. Times, and how many completions one look found, do not matter.
    public static func isSame(_ recorded: Operation, _ answer: Operation) -> Bool {
        guard recorded.errno == answer.errno else { return false }
        let names = WholeNames()
        func text(_ operation: Operation) -> [String] {
            var parts = operation.outputs.map { "\($0.name)=" + operation.text($0.value, names) }.sorted()
            for (parameter, value) in zip(operation.signature.parameters, operation.arguments) where parameter.isOutput
            {
                parts.append(operation.text(value, names))
            }
            if operation.errno == nil { parts.append(operation.text(operation.result, names)) }
            return parts
        }
        return text(recorded) == text(answer)
    }

    private static func isOfData(_ operation: Operation) -> Bool {
        operation.signature.parameters.contains(where: \.isOutput)
    }

    // MARK: Calls with shapes of their own

    private func ioctl(_ recorded: Operation, _ arguments: ReplayArguments) throws(Impossible) {
        let number = UInt(arguments[1])
        let descriptor = Int32(truncatingIfNeeded: arguments[0])
        guard let request = recorded.request else {
            _ = kernel.ioctl(descriptor, number, raw(arguments.values[2]))
            return
        }
        let argument: IoctlArgument
        switch (request.argument, arguments.values[2]) {
        case (.string, .text(let text)): argument = memory(Array(text.utf8) + [0])
        case (_, .structure(let members)):
            guard let layout = recorded.layout(decoder) else { fallthrough }
            argument = memory(bytes(members, layout))
        default: argument = raw(arguments.values[2])
        }
        _ = kernel.ioctl(descriptor, number, argument)
    }

    private func bytes(_ members: [Operation.Member], _ layout: Layout) -> [UInt8] {
        var count = layout.size
        for trailing in layout.trailing {
            guard case .list(let elements)? = members.first(where: { $0.name == trailing.name })?.value else {
                continue
            }
            count = max(count, layout.size + elements.count * trailing.elementSize)
        }
        if case .number(let said, _)? = members.first(where: { $0.name == "bytes" })?.value {
            count = Int(min(said, 1 << 24))
        }
        return decoder.encode(members, layout, count: count)
    }

    private func memory(_ bytes: [UInt8]) -> IoctlArgument {
        guard !bytes.isEmpty, let copy = sys_guarded_alloc(bytes.count) else {
            return .memory(UnsafeMutableRawBufferPointer(start: nil, count: 0))
        }
        copy.copyMemory(from: bytes, byteCount: bytes.count)
        passing.append((copy, bytes.count))
        return .memory(UnsafeMutableRawBufferPointer(start: copy, count: bytes.count))
    }

    private func raw(_ value: Operation.Value) -> IoctlArgument {
        switch value {
        case .number(let number, _): number == 0 ? .none : .value(UInt(number))
        case .bytes(let bytes): memory(bytes)
        default: .none
        }
    }

    /// As many completions as were found then, however many looks that takes, and no more than are asked for.
    private func poll(_ recorded: Operation, _ arguments: ReplayArguments) {
        guard let cq: UnsafeMutablePointer<ibv_cq> = arguments.object(0) else { return }
        var operation = Operation(recorded.signature, recorded.arguments)
        var wanted = 0
        if case .number(let count, _) = recorded.result { wanted = Int(min(count, 1 << 16)) }
        let most = Int(max(0, arguments.int32(1)))
        wanted = min(wanted, most)
        var found: [ibv_wc] = []
        let end = underneath.monotonic() &+ Replay.patience
        repeat {
            do throws(Errno) {
                let room = min(max(wanted, 1), most) - found.count
                let new = try underneath.call(Verbs.ibv_poll_cq, cq, Int32(clamping: room))
                found += new
                if wanted == 0 || (new.isEmpty && underneath.monotonic() >= end) { break }
                if new.isEmpty { _ = underneath.sleep(nanoseconds: 100_000) }
            } catch {
                operation.errno = error
            }
        } while found.count < wanted && operation.errno == nil
        Verbs.ibv_poll_cq.note(found, cq, Int32(clamping: wanted), in: &operation)
        answered = operation
    }

    func mayUnmap(_ address: UInt64, _ length: UInt64) -> Bool {
        guard let whole = mapped[address] else { return false }
        return length <= Replay.wholePages(whole)
    }

    private func isMapped(_ address: UInt64, _ count: Int) -> Bool {
        mapped.contains { start, length in
            address >= start && address - start <= length && UInt64(count) <= length - (address - start)
        }
    }

    private func access(_ recorded: Operation, _ arguments: ReplayArguments) {
        var operation = recorded
        let count = Int(min(arguments[2], 1 << 26))
        guard let memory = UnsafeMutableRawPointer(bitPattern: UInt(arguments[0])), isMapped(arguments[0], count) else {
            return
        }
        var errno: Errno?
        if recorded.signature.name == "load" {
            var bytes = [UInt8](repeating: 0, count: count)
            errno = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.flatMap { Errno(result: sys_copy_or_fault($0, memory, buffer.count)) }
            }
            operation.arguments[1] = .bytes(errno == nil ? bytes : [])
        } else if case .bytes(let data) = arguments.values[1] {
            errno = data.withUnsafeBytes { buffer in
                buffer.baseAddress.flatMap { Errno(result: sys_copy_or_fault(memory, $0, buffer.count)) }
            }
        }
        operation.errno = errno
        answered = operation
    }
}
