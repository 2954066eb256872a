import CKernel
import Glibc
import Kernel

/// Allocates C structures of libibverbs with a pointer to the model's object behind each: the functions of
/// ``ContextOperations`` get nothing else. The pointer holds no reference.
enum Modelled {
    static func allocate<Structure, Model: AnyObject>(_ type: Structure.Type, _ model: Model)
        -> UnsafeMutablePointer<Structure>
    {
        let stride = (MemoryLayout<Structure>.stride + 15) & ~15
        let raw = UnsafeMutableRawPointer.allocate(byteCount: stride + 16, alignment: 16)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: stride + 16)
        raw.storeBytes(of: Unmanaged.passUnretained(model).toOpaque(), toByteOffset: stride, as: UnsafeRawPointer.self)
        return raw.assumingMemoryBound(to: Structure.self)
    }

    static func model<Structure, Model: AnyObject>(
        _ structure: UnsafeMutablePointer<Structure>, _ type: Model.Type
    ) -> Model {
        let stride = (MemoryLayout<Structure>.stride + 15) & ~15
        let pointer = UnsafeRawPointer(structure).load(fromByteOffset: stride, as: UnsafeRawPointer.self)
        return Unmanaged<Model>.fromOpaque(pointer).takeUnretainedValue()
    }
}

/// The functions that ibv_post_send, ibv_post_recv and ibv_poll_cq of verbs.h call through the context, so that data loops
/// run unchanged on a simulated device. They return what a provider does: an errno value, or -1 from polling.
enum ContextOperations {
    static let all: ibv_context_ops = {
        var operations = ibv_context_ops()
        operations.post_send = postSend
        operations.post_recv = postReceive
        operations.poll_cq = poll
        return operations
    }()

    private static let postSend:
        @convention(c) (
            UnsafeMutablePointer<ibv_qp>?, UnsafeMutablePointer<ibv_send_wr>?,
            UnsafeMutablePointer<UnsafeMutablePointer<ibv_send_wr>?>?
        ) -> Int32 = { qp, request, bad in
            guard let qp, let request else { return EINVAL }
            var refused: UnsafeMutablePointer<ibv_send_wr>?
            defer { bad?.pointee = refused }
            let pair = Modelled.model(qp, QueuePair.self)
            defer { pair.kernel.countPost() }
            do throws(Errno) {
                try pair.post(request, refused: &refused)
                return 0
            } catch {
                return error.code
            }
        }

    private static let postReceive:
        @convention(c) (
            UnsafeMutablePointer<ibv_qp>?, UnsafeMutablePointer<ibv_recv_wr>?,
            UnsafeMutablePointer<UnsafeMutablePointer<ibv_recv_wr>?>?
        ) -> Int32 = { qp, request, bad in
            guard let qp, let request else { return EINVAL }
            var refused: UnsafeMutablePointer<ibv_recv_wr>?
            defer { bad?.pointee = refused }
            do throws(Errno) {
                try Modelled.model(qp, QueuePair.self).postReceive(request, refused: &refused)
                return 0
            } catch {
                return error.code
            }
        }

    private static let poll:
        @convention(c) (UnsafeMutablePointer<ibv_cq>?, Int32, UnsafeMutablePointer<ibv_wc>?) -> Int32 = {
            cq, count, completions in
            guard let cq else { return -1 }
            let list = UnsafeMutableBufferPointer(start: completions, count: Int(max(0, count)))
            return Int32(truncatingIfNeeded: Modelled.model(cq, CompletionQueue.self).poll(list))
        }
}
