import VFIOUser

/// Copies bytes between memory under keys and a packet.
extension DataPath {
    /// Copies one piece.
    func exchange(_ span: Span, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool) throws(AccessFailure) {
        switch span.place {
        case .host:
            do throws(DMAFault) {
                if isWrite {
                    try requester.write(span.address, UnsafeRawBufferPointer(bytes), span.attributes)
                } else {
                    try requester.read(span.address, into: bytes, span.attributes)
                }
            } catch { throw .unreachable }
        case .device:
            guard let part = deviceMemory.bytes(at: span.address, bytes.count) else { throw .unreachable }
            if isWrite {
                part.copyMemory(from: UnsafeRawBufferPointer(bytes))
            } else {
                bytes.copyMemory(from: UnsafeRawBufferPointer(part))
            }
        case .null: if !isWrite { bytes.initializeMemory(as: UInt8.self, repeating: 0) }
        }
    }

    /// Moves `count` bytes at an address, of `whole` that must be allowed, to or from a buffer's start.
    func move(
        _ buffer: UnsafeMutableRawBufferPointer, _ count: Int, _ reference: MemoryReference, at address: UInt64,
        of whole: Int, _ budget: inout Int
    ) throws(AccessFailure) {
        var done = 0
        while done < count {
            let span = try keys.span(reference, at: address &+ UInt64(done), whole - done)
            let part = min(span.length, count - done)
            try exchange(
                span, UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + part]),
                isWrite: reference.access.writes)
            done += part
            budget -= part + 256 + keys.takeDebt()
        }
    }

    /// Fills the packet with `count` bytes of a message from its byte `offset` on.
    func gather(_ pair: QueuePair, _ offset: Int, _ count: Int, _ budget: inout Int) throws(AccessFailure) {
        let bytes = pair.request.bytes
        var place = pair.request.segments.lowerBound
        var start = 0
        var done = 0
        while done < count, place + 4 <= bytes.count {
            let inline = DataSegment.inlineLength(bytes, at: place)
            let length = inline ?? DataSegment(bytes, at: place).length
            let skip = max(0, offset + done - start)
            if skip < length {
                let part = min(length - skip, count - done)
                let target = UnsafeMutableRawBufferPointer(rebasing: packet[done..<done + part])
                if inline != nil {
                    let from = place + 4 + skip
                    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + part]))
                } else {
                    let segment = DataSegment(bytes, at: place)
                    var reference = MemoryReference(sending: pair, .localRead)
                    reference.key = segment.key
                    try move(
                        target, part, reference, at: segment.address &+ UInt64(skip), of: length - skip, &budget)
                }
                done += part
            }
            start += length
            place = inline.map { (place + 4 + $0 + 15) & ~15 } ?? place + WorkRequestLayout.data
            budget -= 16
        }
    }

    /// Writes `count` bytes of a buffer to a scatter list, from its byte `offset` on.
    func scatter(
        _ list: UnsafeRawBufferPointer, _ first: Int, _ reference: MemoryReference, _ offset: Int,
        _ buffer: UnsafeMutableRawBufferPointer, _ count: Int, _ budget: inout Int
    ) throws(AccessFailure) {
        var reference = reference
        var place = first
        var start = 0
        var done = 0
        while done < count, place + WorkRequestLayout.data <= list.count {
            let segment = DataSegment(list, at: place)
            if segment.key == SpecialKey.terminator { break }
            let skip = max(0, offset + done - start)
            if skip < segment.length {
                let part = min(segment.length - skip, count - done)
                reference.key = segment.key
                try move(
                    UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + part]), part, reference,
                    at: segment.address &+ UInt64(skip), of: part, &budget)
                done += part
            }
            start += segment.length
            place += WorkRequestLayout.data
            budget -= 16
        }
        guard done == count else { throw .refused }
    }

    /// Whose domain a request's remote key must belong to: the queue pair's, or for an XRC request the shared receive
    /// queue's.
    func remoteReference(_ pair: QueuePair, _ peer: QueuePair, _ access: AccessRights) -> MemoryReference {
        var domain = peer.domain
        if pair.service == .xrc, let queue = receiveQueues[pair.request.sharedReceiveQueue], queue.kind == .xrc {
            domain = queue.domain
        }
        return MemoryReference(
            key: pair.request.remoteKey, access: access, domain: domain, queuePair: peer.number)
    }
}

extension MemoryReference {
    /// Of a send request's own data segments.
    init(sending pair: QueuePair, _ access: AccessRights) {
        self.init(key: 0, access: access, domain: pair.domain, queuePair: pair.number)
    }

    /// Of the receive request that a message arrives in.
    init(receiving pair: QueuePair) {
        self.init(key: 0, access: .localWrite, domain: pair.receive.domain, queuePair: pair.number)
    }
}
