import CKernel
import Glibc
import Kernel

/// DEVICE_SET_IRQS, as VFIO_DEVICE_SET_IRQS of linux/vfio.h has it. MSI-X is all that there is.
extension Port {
    private static let noData: UInt32 = 1
    private static let flagsAsData: UInt32 = 2
    private static let eventfdsAsData: UInt32 = 4
    private static let data = noData | flagsAsData | eventfdsAsData
    private static let mask: UInt32 = 8
    private static let unmask: UInt32 = 16
    private static let trigger: UInt32 = 32
    private static let actions = mask | unmask | trigger

    /// Sets the eventfds of vectors. Descriptors that are kept are copies.
    func setInterrupts(_ payload: UnsafeRawBufferPointer, _ descriptors: [Int32]) throws(Errno) {
        let flags: UInt32 = payload.number(4)
        let (kind, start, count): (UInt32, UInt32, UInt32) = (payload.number(8), payload.number(12), payload.number(16))
        let (data, action) = (flags & Port.data, flags & Port.actions)
        guard payload.number(0, as: UInt32.self) >= 20, flags & ~(Port.data | Port.actions) == 0,
            data.nonzeroBitCount == 1, action.nonzeroBitCount == 1,
            data == Port.eventfdsAsData || descriptors.isEmpty, kind < 5
        else { throw Errno(EINVAL) }
        // The client masks by itself, in the table that it keeps.
        guard action == Port.trigger, kind == Port.msix || count == 0 else { throw Errno(ENOTTY) }
        guard kind == Port.msix else { return }
        guard UInt64(start) + UInt64(count) <= UInt64(vectors.count) else { throw Errno(EINVAL) }
        let chosen = Int(start)..<(Int(start) + Int(count))
        switch data {
        case Port.eventfdsAsData:
            guard descriptors.isEmpty || descriptors.count == chosen.count else { throw Errno(EINVAL) }
            try listen(chosen, descriptors)
        case Port.flagsAsData:
            guard payload.count >= 20 + chosen.count else { throw Errno(EINVAL) }
            for vector in chosen where payload[20 + vector - chosen.lowerBound] != 0 { raise(vector) }
        default:
            // No vectors, from vector 0 on, switches all of them off.
            if chosen.isEmpty, start == 0 { try listen(0..<vectors.count, []) }
            for vector in chosen { raise(vector) }
        }
    }

    /// All or none is taken.
    private func listen(_ chosen: Range<Int>, _ descriptors: [Int32]) throws(Errno) {
        var copies: [Int32] = []
        for one in descriptors {
            let result = socket_eventfd(one) < 0 ? -Int(EINVAL) : sys_fcntl(one, F_DUPFD_CLOEXEC, 3)
            if let error = Errno(result: result) {
                for copy in copies { sys_close(copy) }
                throw error
            }
            copies.append(Int32(result))
        }
        for (index, vector) in chosen.enumerated() {
            if vectors[vector] >= 0 { sys_close(vectors[vector]) }
            vectors[vector] = copies.isEmpty ? -1 : copies[index]
        }
    }

    private func raise(_ vector: Int) {
        if vectors[vector] >= 0 { socket_signal(vectors[vector]) }
    }
}
