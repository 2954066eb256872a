public import Kernel
import Synchronization

/// Writes a record while a program runs. The kernels of several threads may share one.
public final class Recorder: Sendable {
    /// What is known so far, and what is not written yet.
    private struct State {
        var symbols = Symbols()
        /// Operations in order; nil for those that are not over.
        var queue: [Operation?] = []
        /// The ticket of the first of them.
        var first = 0
        /// The latest read of a polling loop (pread, load or poll). Repeated equal reads with pauses between are written once, with
        /// their number.
        var look: Operation?
        /// The nanosleep that followed `look`.
        var pause: Operation?
        /// Operations that were written.
        var count = 0
        var isOver = false
    }
    private let state = Mutex(State())
    private let write: @Sendable (String) -> Void

    /// Begins a record; `write` gets each line, without a newline.
    public init(header: [(key: String, value: String)], write: @escaping @Sendable (String) -> Void) {
        self.write = write
        write(Record.mark)
        for (key, value) in header { write("\(key): \(Record.oneLine(value))") }
        write("")
    }

    /// Records what goes through this kernel from now on.
    public func watch(_ kernel: TracingKernel) {
        kernel.record = { self.add($0) }
        kernel.recordBegins = { self.begin() }
        kernel.recordFeature = { self.add(.feature($0)) }
    }

    /// A comment.
    public func note(_ text: String) { add(.comment(text)) }

    /// The script failed here: by a refused call, or otherwise.
    public func fail(call: (operation: String, errno: String)?, _ message: String) {
        add(.failure(Record.ScriptFailure(call: call, message: message)))
    }

    /// The script finds that an answer is wrong: what it found, and what a right kernel answers.
    public func judge(found: String, right: String, _ what: String) {
        add(.judgement(Record.Judgement(found: found, right: right, what: what)))
    }

    /// What the scenario says of itself: "concerns", and the text.
    public func tell(_ key: String, _ text: String) { add(.scenario(key: key, text)) }

    /// Writes what was held back, and that this is all.
    public func finish() {
        state.withLock { state in
            flush(&state)
            // Operations of the process's own clean-up are dropped: readers refuse operations after the end line.
            guard !state.isOver else { return }
            state.isOver = true
            write(Record.end(state.count))
        }
    }

    private func add(_ kind: Record.Entry.Kind) {
        state.withLock {
            guard !$0.isOver else { return }
            flush(&$0)
            write(Record.line(kind))
        }
    }

    private func flush(_ state: inout State) {
        for operation in [state.look, state.pause] {
            if let operation { write(operation, &state) }
        }
        state.look = nil
        state.pause = nil
    }

    private func write(_ operation: Operation, _ state: inout State) {
        state.count += 1
        write(Record.line(operation))
    }

    /// Reserves a position for an operation that is not over.
    private func begin() -> Int {
        state.withLock { state in
            state.queue.append(nil)
            return state.first + state.queue.count - 1
        }
    }

    private func add(_ operation: Operation) {
        // A poll without a completion depends on timing alone, so it is not recorded.
        if operation.signature.name == "ibv_poll_cq", operation.errno == nil, operation.outputs.isEmpty { return }
        state.withLock { state in
            if let ticket = operation.ticket {
                state.queue[ticket - state.first] = operation
            } else {
                state.queue.append(operation)
            }
            guard !state.isOver else { return }
            while let next = state.queue.first, let next {
                state.queue.removeFirst()
                state.first += 1
                put(next, &state)
            }
        }
    }

    private func put(_ operation: Operation, _ state: inout State) {
        let named = state.symbols.named(operation.shortened())
        if named.isPause, state.look != nil, state.pause == nil {
            state.pause = named
            return
        }
        if let look = state.look, state.pause != nil, look.isSameLook(as: named) {
            state.look = named
            state.look?.times = look.times + 1
            state.pause = nil
            return
        }
        flush(&state)
        if named.isLook { state.look = named } else { write(named, &state) }
    }
}

extension Operation {
    /// Calls without side effects, which scripts repeat until they see an expected value.
    fileprivate var isLook: Bool { ["pread", "load", "poll"].contains(signature.name) && errno == nil }
    fileprivate var isPause: Bool { signature.name == "nanosleep" }

    fileprivate func isSameLook(as other: Operation) -> Bool {
        guard isLook, other.isLook, signature.name == other.signature.name else { return false }
        let names = WholeNames()
        return zip(signature.parameters, zip(arguments, other.arguments)).allSatisfy { parameter, values in
            parameter.isOutput || text(values.0, names) == other.text(values.1, names)
        }
    }
}
