import CKernel
import Glibc
import Kernel

/// What the NIC does with a region: DMA, as far as its memory key allows.
extension MemoryRegion {
    /// Whether the bytes lie inside.
    func contains(_ address: UInt64, _ length: Int) -> Bool {
        address >= start && UInt64(length) <= self.length && address - start <= self.length - UInt64(length)
    }

    /// What its requests carry: the hint that the key's index stands for, while the function's TPH is enabled, and
    /// relaxed ordering, where the key has it and the function may.
    private func attributes(of function: PCIFunction) -> TLPAttributes {
        var attributes = TLPAttributes(hint: nil, isRelaxed: isRelaxed && function.config.enablesRelaxedOrdering)
        if let hint, let steering = domain.context.hca.steering {
            attributes.hint = steering.hint(index: UInt8(truncatingIfNeeded: hint.index), ph: hint.ph)
        }
        return attributes
    }

    /// Moves bytes by the NIC's DMA. False where its page fault finds no memory; then nothing was moved. The caller has
    /// checked the bounds.
    func transfer(_ bytes: UnsafeMutableRawBufferPointer, _ address: UInt64, toMemory: Bool, _ kernel: SimKernel)
        -> Bool
    {
        guard isReachable else { return false }
        let place = address - start
        let function = domain.context.hca.function
        guard let exported = buffer as? VFIODMABuf, let function else {
            // Device memory is in the NIC: no request is sent for it.
            if let function, device == nil {
                kernel.record(
                    .hostMemory(dmaAddress &+ place), bytes.count, isWrite: toMemory, by: function,
                    attributes(of: function))
            }
            guard let pages = buffer as? MemoryDMABuf else {
                return moveHost(bytes, memory &+ place, toMemory: toMemory, kernel)
            }
            pages.transfer(bytes, at: offset + place, toMemory: toMemory)
            return true
        }
        let attributes = attributes(of: function)
        var done = 0
        while done < bytes.count, let (bar, count) = exported.address(at: offset + place + UInt64(done)) {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: bytes[done..<(done + Int(min(count, UInt64(bytes.count - done))))])
            kernel.reach(bar, part, toMemory: toMemory, by: function, attributes)
            done += part.count
        }
        return true
    }

    private func moveHost(
        _ bytes: UnsafeMutableRawBufferPointer, _ address: UInt64, toMemory: Bool, _ kernel: SimKernel
    ) -> Bool {
        if let pages {
            let isMoved = pages.transfer(bytes, at: address, toMemory: toMemory)
            if !isMoved { _ = kernel.notModelled("DMA to pinned memory that is not accessible any more", EFAULT) }
            return isMoved
        }
        // On-demand paging finds what is mapped there now, but no device's memory: mm/hmm.c:hmm_vma_walk_test.
        if access.contains(.onDemand), !bytes.isEmpty,
            kernel.hasDevicePages(address, address &+ UInt64(bytes.count - 1))
        {
            return false
        }
        return ProcessMemory.transfer(bytes, at: address, toMemory: toMemory)
    }
}

extension SteeringTable {
    /// What a memory key's hint is on the wire: in direct mode the index is the tag, else the table's entry has it.
    func hint(index: UInt8, ph: UInt8) -> TLP.Hint? {
        let enabled = function.config.enabledHints
        guard enabled != .none else { return nil }
        let tag = size > 0 && index > 0 ? function.config.steeringTag(at: Int(index)) : UInt16(index)
        return TLP.Hint(tag: tag, isExtended: enabled == .extended, ph: ph)
    }
}

extension MemoryDMABuf {
    /// A device's access to the pages; the caller has checked the bounds.
    func transfer(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64, toMemory: Bool) {
        var done = 0
        var start: UInt64 = 0
        for part in parts {
            let place = offset + UInt64(done)
            if done < bytes.count, place >= start, place < start + part.length {
                let count = Int(min(start + part.length - place, UInt64(bytes.count - done)))
                let target = bytes.baseAddress.map { $0 + done }
                let at = part.offset + (place - start)
                _ =
                    toMemory
                    ? sys_pwrite(part.file.descriptor, target, count, at)
                    : sys_pread(part.file.descriptor, target, count, at)
                done += count
            }
            start += part.length
        }
    }
}
