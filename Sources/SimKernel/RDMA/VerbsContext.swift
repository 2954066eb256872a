import CKernel
import Kernel

/// An open RDMA device.
final class VerbsContext {
    let hca: HCA
    var nic: Topology.NIC { hca.nic }
    /// Asynchronous events that nobody has taken yet, oldest first.
    private(set) var events: [AsyncEvent] = []

    init(_ hca: HCA) { self.hca = hca }

    func raise(_ type: ibv_event_type, of element: UInt64) {
        events.append(AsyncEvent(type: type.rawValue, element: element))
    }

    func takeEvent() -> AsyncEvent? { events.isEmpty ? nil : events.removeFirst() }

    /// core/uverbs_main.c:ib_uverbs_release_uevent: an object takes its events along.
    func forget(of element: UInt64) { events.removeAll { $0.element == element && !$0.isOfPort } }
}

/// A protection domain.
final class ProtectionDomain {
    let context: VerbsContext
    let number: UInt32
    var regions = 0
    var queuePairs = 0
    var windows = 0

    init(_ context: VerbsContext, number: UInt32) {
        self.context = context
        self.number = number
    }
}

extension UnsafeMutablePointer {
    /// One element of zero bytes; for C structures.
    static func allocateZeroed() -> UnsafeMutablePointer<Pointee> {
        let raw = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Pointee>.size, alignment: MemoryLayout<Pointee>.alignment)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<Pointee>.size)
        return raw.assumingMemoryBound(to: Pointee.self)
    }
}
