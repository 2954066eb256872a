import CKernel
import Glibc
import Synchronization

/// Records posts and polls of data loops, which call through the context (verbs.h) and not through a kernel object.
/// While a context is recorded, its functions are replaced by ours, which call the provider's.
final class DataPathRecord {
    private unowned let kernel: TracingKernel
    /// While above 0, calls through this kernel are being traced by ``TracingKernel`` itself and must not be recorded twice.
    private var pauses = 0

    init(_ kernel: TracingKernel) { self.kernel = kernel }

    func pause() { pauses += 1 }
    func resume() { pauses -= 1 }

    /// A context and its original functions.
    private struct Entry: @unchecked Sendable {
        let record: DataPathRecord
        let operations: ibv_context_ops
    }

    /// By the context's address, for all threads; each context is used by one thread.
    private static let entries = Mutex<[UInt: Entry]>([:])

    /// Records calls in this context from now on.
    func watch(_ context: UnsafeMutablePointer<ibv_context>) {
        let before = context.pointee.ops
        DataPathRecord.entries.withLock {
            $0[UInt(bitPattern: context)] = Entry(record: self, operations: before)
        }
        context.pointee.ops.post_send = DataPathRecord.postSend
        context.pointee.ops.post_recv = DataPathRecord.postReceive
        context.pointee.ops.poll_cq = DataPathRecord.pollQueue
    }

    /// Ends the recording of a context that is about to be closed.
    func forget(_ context: UnsafeMutablePointer<ibv_context>) {
        let entry = DataPathRecord.entries.withLock { $0.removeValue(forKey: UInt(bitPattern: context)) }
        if let entry { context.pointee.ops = entry.operations }
    }

    /// Ends all recording: contexts that are still open call the provider again.
    func end() {
        DataPathRecord.entries.withLock { entries in
            for (context, entry) in entries where entry.record === self {
                UnsafeMutablePointer<ibv_context>(bitPattern: context)?.pointee.ops = entry.operations
                entries[context] = nil
            }
        }
    }

    private static func entry(_ context: UnsafeMutablePointer<ibv_context>?) -> Entry? {
        entries.withLock { $0[UInt(bitPattern: context)] }
    }

    /// Begins the record of a post; nil where ``TracingKernel`` records it.
    private func begin(
        _ operation: @autoclosure () -> Operation
    ) -> Operation? {
        guard pauses == 0 else { return nil }
        var operation = operation()
        operation.start = kernel.monotonic()
        operation.ticket = kernel.recordBegins?()
        return operation
    }

    private func end(_ operation: Operation?, _ result: Int32) {
        guard var operation else { return }
        operation.duration = kernel.monotonic() &- operation.start
        if result != 0 { operation.errno = Errno(result > 0 ? result : EIO) }
        kernel.emit(operation)
    }

    private static let postSend:
        @convention(c) (
            UnsafeMutablePointer<ibv_qp>?, UnsafeMutablePointer<ibv_send_wr>?,
            UnsafeMutablePointer<UnsafeMutablePointer<ibv_send_wr>?>?
        ) -> Int32 = { qp, request, bad in
            guard let qp, let request, let entry = entry(qp.pointee.context),
                let post = entry.operations.post_send
            else { return EINVAL }
            let operation = entry.record.begin(Verbs.ibv_post_send.operation(qp, request))
            let result = post(qp, request, bad)
            entry.record.end(operation, result)
            return result
        }

    private static let postReceive:
        @convention(c) (
            UnsafeMutablePointer<ibv_qp>?, UnsafeMutablePointer<ibv_recv_wr>?,
            UnsafeMutablePointer<UnsafeMutablePointer<ibv_recv_wr>?>?
        ) -> Int32 = { qp, request, bad in
            guard let qp, let request, let entry = entry(qp.pointee.context),
                let post = entry.operations.post_recv
            else { return EINVAL }
            let operation = entry.record.begin(Verbs.ibv_post_recv.operation(qp, request))
            let result = post(qp, request, bad)
            entry.record.end(operation, result)
            return result
        }

    private static let pollQueue:
        @convention(c) (UnsafeMutablePointer<ibv_cq>?, Int32, UnsafeMutablePointer<ibv_wc>?) -> Int32 = {
            cq, count, completions in
            guard let cq, let entry = entry(cq.pointee.context), let poll = entry.operations.poll_cq else {
                return -1
            }
            let found = poll(cq, count, completions)
            // Polls of an empty queue are not recorded: they show nothing about the kernel, and loops repeat them
            // without end.
            guard found > 0, entry.record.pauses == 0 else { return found }
            var operation = Verbs.ibv_poll_cq.operation(cq, count)
            operation.start = entry.record.kernel.monotonic()
            let list = Array(UnsafeBufferPointer(start: completions, count: Int(found)))
            Verbs.ibv_poll_cq.note(list, cq, count, in: &operation)
            entry.record.kernel.emit(operation)
            return found
        }
}
