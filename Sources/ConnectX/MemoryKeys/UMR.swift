/// User-mode memory registration: work requests that change a memory key's context and translations.
extension DataPath {
    /// One such request; all the checks come first.
    func changeMemoryKey(_ pair: QueuePair, _ budget: inout Int) -> Step {
        let bytes = pair.request.bytes
        guard bytes.count >= UMRControl.headers else { return .failed(.localOperation) }
        let control = UMRControl(bytes)
        guard let key = keys[pair.request.control.immediate >> 8], key.isUMREnabled,
            isAllowed(control, key, pair)
        else { return .failed(.memoryWindowBind) }
        if control.count > 0 {
            let step =
                control.isInline
                ? writeInline(control, key, bytes, &budget) : writeTranslations(control, key, pair, &budget)
            if let step { return step }
        }
        let new = UnsafeRawBufferPointer(
            rebasing: bytes[UMRControl.headers - MemoryKeyContext.size..<UMRControl.headers])
        let isKnown = key.change { context in
            for (bit, fields) in UMRControl.fields where control.mask & bit != 0 {
                for field in fields { context[field] = new[field] }
            }
            let size = MemoryKeyContext.logPageSize
            context[size] = context[size] & ~control.pageSizeMask | new[size] & control.pageSizeMask
        }
        return isKnown ? .done(0) : .failed(.memoryWindowBind)
    }

    /// Only the driver's own queue pair, which registers memory for everybody, reaches keys of other domains.
    private func isAllowed(_ control: UMRControl, _ key: MemoryKey, _ pair: QueuePair) -> Bool {
        if control.mustBeFree, !key.isFree { return false }
        if control.mustNotBeFree, key.isFree { return false }
        if control.mustBeBound, key.queuePair != pair.number { return false }
        return pair.service == .registration || key.domain == pair.domain && !control.changesDomain
    }

    private func writeInline(
        _ control: UMRControl, _ key: MemoryKey, _ bytes: UnsafeRawBufferPointer, _ budget: inout Int
    ) -> Step? {
        let size = control.count * 16
        guard UMRControl.headers + size <= bytes.count else { return .failed(.localOperation) }
        let words = UnsafeRawBufferPointer(rebasing: bytes[UMRControl.headers..<UMRControl.headers + size])
        budget -= size
        return keys.write(words, to: key, at: control.offset * 2) ? nil : .failed(.memoryWindowBind)
    }

    /// At most a megabyte of entries, in parts of a packet.
    private func writeTranslations(
        _ control: UMRControl, _ key: MemoryKey, _ pair: QueuePair, _ budget: inout Int
    ) -> Step? {
        let bytes = pair.request.bytes
        guard UMRControl.headers + WorkRequestLayout.data <= bytes.count else { return .failed(.localOperation) }
        let segment = DataSegment(bytes, at: UMRControl.headers)
        let size = min(control.count * 16, segment.length)
        var reference = MemoryReference(sending: pair, .localRead)
        reference.key = segment.key
        // The driver's own queue pair has no domain.
        if pair.service == .registration { reference.domain = keys[segment.key >> 8]?.domain ?? 0 }
        while pair.request.done < size {
            guard budget > 0, !isLate else { return .paused }
            let done = pair.request.done
            let part = min(size - done, DataPath.packetSize)
            do throws(Halt) {
                try local(pair) { () throws(AccessFailure) in
                    try move(packet, part, reference, at: segment.address &+ UInt64(done), of: size - done, &budget)
                }
            } catch { return error.step }
            let words = UnsafeRawBufferPointer(rebasing: packet[..<(part & ~7)])
            guard keys.write(words, to: key, at: control.offset * 2 + done / 8) else {
                return .failed(.memoryWindowBind)
            }
            pair.request.done += part
        }
        return nil
    }
}
