import CKernel
import Glibc
import Kernel

/// Shared receive queues, and where datagrams go.
extension Uverbs {
    func addSharedQueue(
        _ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_srq_attr, mostLimit: UInt32, _ kernel: SimKernel
    ) throws(Errno) -> UnsafeMutablePointer<ibv_srq> {
        let queue = SharedReceiveQueue(kernel, try domain(pd), attributes, mostLimit: mostLimit)
        let srq = Modelled.allocate(ibv_srq.self, queue)
        srq.pointee.context = pd.pointee.context
        srq.pointee.pd = pd
        srq.pointee.handle = handle()
        sharedQueues[srq] = queue
        queue.address = UInt64(UInt(bitPattern: srq))
        queue.domain.queuePairs += 1
        return srq
    }

    func sharedQueue(_ srq: UnsafeMutablePointer<ibv_srq>) throws(Errno) -> SharedReceiveQueue {
        guard let queue = sharedQueues[srq] else { throw Errno(EINVAL) }
        return queue
    }

    func remove(_ srq: UnsafeMutablePointer<ibv_srq>, _ queue: SharedReceiveQueue) {
        queue.domain.queuePairs -= 1
        queue.domain.context.forget(of: queue.address)
        sharedQueues[srq] = nil
        free(srq)
    }

    func addAddress(_ pd: UnsafeMutablePointer<ibv_pd>, _ attributes: ibv_ah_attr) throws(Errno)
        -> UnsafeMutablePointer<ibv_ah>
    {
        let address = AddressHandle(domain: try domain(pd), attributes: attributes)
        let ah = UnsafeMutablePointer<ibv_ah>.allocateZeroed()
        ah.pointee.context = pd.pointee.context
        ah.pointee.pd = pd
        ah.pointee.handle = handle()
        addresses[ah] = address
        address.domain.queuePairs += 1
        return ah
    }

    func address(_ ah: UnsafeMutablePointer<ibv_ah>) throws(Errno) -> AddressHandle {
        guard let address = addresses[ah] else { throw Errno(EINVAL) }
        return address
    }

    /// Where a datagram goes; EINVAL where it names no address.
    func address(_ ah: UnsafeMutablePointer<ibv_ah>?, _ number: UInt32, _ key: UInt32) throws(Errno)
        -> (to: ibv_ah_attr, number: UInt32, key: UInt32)
    {
        guard let ah else { throw Errno(EINVAL) }
        return (try address(ah).attributes, number, key)
    }

    func remove(_ ah: UnsafeMutablePointer<ibv_ah>, _ address: AddressHandle) {
        address.domain.queuePairs -= 1
        addresses[ah] = nil
        free(ah)
    }
}
