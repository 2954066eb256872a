import VFIOUser

/// Why a slot of the queue could not be taken for a command, MLX5_CMD_DELIVERY_STAT_*.
private enum DeliveryStatus: UInt64, Error {
    case badToken = 2
    case badBlockNumber = 3
    case badOutputPointer = 4
    case badInputPointer = 5
    case badInputLength = 7
    case badOutputLength = 8
    case badDescriptor = 0x10
}

/// A slot of the command queue, mlx5_ifc_cmd_queue_entry_bits. The first 16 bytes of input and output lie in it, what
/// follows in chains of mailboxes.
private enum Slot {
    static let size = 64
    static let type = Field("cmd_queue_entry.type", bit: 0x0, width: 8)
    static let inputLength = Field("cmd_queue_entry.input_length", bit: 0x20, width: 32)
    static let inputHigh = Field("cmd_queue_entry.input_mailbox_pointer_63_32", bit: 0x40, width: 32)
    static let inputLow = Field("cmd_queue_entry.input_mailbox_pointer_31_9", bit: 0x60, width: 23)
    static let input = Area("cmd_queue_entry.command_input_inline_data", at: 16, count: 16)
    static let output = Area("cmd_queue_entry.command_output_inline_data", at: 32, count: 16)
    static let outputHigh = Field("cmd_queue_entry.output_mailbox_pointer_63_32", bit: 0x180, width: 32)
    static let outputLow = Field("cmd_queue_entry.output_mailbox_pointer_31_9", bit: 0x1a0, width: 23)
    static let outputLength = Field("cmd_queue_entry.output_length", bit: 0x1c0, width: 32)
    static let token = Field("cmd_queue_entry.token", bit: 0x1e0, width: 8)
    static let status = Field("cmd_queue_entry.status", bit: 0x1f8, width: 7)
    static let ownership = Field("cmd_queue_entry.ownership", bit: 0x1ff, width: 1)

    /// The only type: a command by way of PCI.
    static let pci: UInt64 = 7
    /// Bytes of an input or output that have room here.
    static let room = 16
    /// The most that an input or output may have; a chain is followed no further.
    static let longest = 1 << 20
}

/// mlx5_ifc_cmd_if_box_bits.
private enum Mailbox {
    static let size = 576
    static let room = 512
    static let nextHigh = Field("cmd_if_box.next_pointer_63_32", bit: 0x1180, width: 32)
    static let nextLow = Field("cmd_if_box.next_pointer_31_10", bit: 0x11a0, width: 22)
    static let number = Field("cmd_if_box.block_number", bit: 0x11c0, width: 32)
    static let token = Field("cmd_if_box.token", bit: 0x11e8, width: 8)
}

extension HCA {
    /// Nanoseconds that one call may spend on commands: clients' requests wait meanwhile.
    private static let duration: UInt64 = 10_000_000

    /// Performs the commands of the slots whose bits are set, from the lowest, and returns those that are left for
    /// the next call.
    func performCommands(_ slots: UInt32) -> UInt32 {
        let due = bus.clock() &+ Self.duration
        var slots = slots
        for slot in 0..<1 << InitializationSegment.logSlots where slots >> UInt32(slot) & 1 == 1 {
            guard segment.state == .full, segment.commandQueue != 0, !needsReset else { return 0 }
            slots &= ~(1 << UInt32(slot))
            // A slot that cannot be read or answered is dropped; the health syndrome tells the driver.
            do throws(DMAFault) { try performCommand(slot) } catch { segment.fail(.memory) }
            // At least one command per call, however slow the machine is.
            guard bus.clock() < due else { return slots }
        }
        return 0
    }

    private func performCommand(_ slot: Int) throws(DMAFault) {
        let address = segment.commandQueue &+ UInt64(slot << InitializationSegment.logStride)
        var entry = [UInt8](repeating: 0, count: Slot.size)
        try bus.read(address, into: &entry)
        guard entry[flag: Slot.ownership] else { return }
        // Whether the completion is an event is decided before the command runs: a command that creates the event
        // queue is not reported by it.
        let tellsByEvent = events.queue(for: .command) != nil
        do throws(DeliveryStatus) {
            var input = try input(of: entry)
            var output = try output(of: entry)
            input.withUnsafeMutableBytes { input in
                output.withUnsafeMutableBytes { perform(UnsafeRawBufferPointer(input), $0) }
            }
            try write(output, to: entry)
            entry.withUnsafeMutableBytes { $0[Slot.output].copyBytes(from: output.prefix(Slot.room)) }
            entry[Slot.status] = 0
        } catch {
            entry[Slot.status] = error.rawValue
        }
        entry[Slot.ownership] = 0
        let output = Slot.output.offset..<Slot.output.offset + Slot.room
        // The byte with the ownership bit goes last.
        try bus.write(address &+ UInt64(output.lowerBound), Array(entry[output]))
        try bus.write(address &+ UInt64(Slot.size - 1), [entry[Slot.size - 1]])
        if tellsByEvent { events.raise(.command) { $0[EventData.command] = 1 << UInt64(slot) } }
    }

    private func input(of entry: [UInt8]) throws(DeliveryStatus) -> [UInt8] {
        guard entry[Slot.type] == Slot.pci else { throw .badDescriptor }
        let length = entry[int: Slot.inputLength]
        guard CommandHeader.size...Slot.longest ~= length else { throw .badInputLength }
        var input = Array(entry[Slot.input.offset..<Slot.input.offset + Slot.room])
        input.reserveCapacity(length)
        var next = entry[Slot.inputHigh] << 32 | entry[Slot.inputLow] << 9
        var box = [UInt8](repeating: 0, count: Mailbox.size)
        var number = 0
        while input.count < length {
            guard next != 0, (try? bus.read(next, into: &box)) != nil else { throw .badInputPointer }
            guard box[Mailbox.number] == UInt64(number) else { throw .badBlockNumber }
            guard box[Mailbox.token] == entry[Slot.token] else { throw .badToken }
            input.append(contentsOf: box.prefix(min(Mailbox.room, length - input.count)))
            next = box[Mailbox.nextHigh] << 32 | box[Mailbox.nextLow] << 10
            number += 1
        }
        return input
    }

    private func output(of entry: [UInt8]) throws(DeliveryStatus) -> [UInt8] {
        let length = entry[int: Slot.outputLength]
        guard 8...Slot.longest ~= length else { throw .badOutputLength }
        return [UInt8](repeating: 0, count: length)
    }

    private func write(_ output: [UInt8], to entry: [UInt8]) throws(DeliveryStatus) {
        var next = entry[Slot.outputHigh] << 32 | entry[Slot.outputLow] << 9
        var done = Slot.room
        var box = [UInt8](repeating: 0, count: Mailbox.size)
        while done < output.count {
            let part = output[done..<min(done + Mailbox.room, output.count)]
            guard next != 0, (try? bus.read(next, into: &box)) != nil, (try? bus.write(next, Array(part))) != nil else {
                throw .badOutputPointer
            }
            next = box[Mailbox.nextHigh] << 32 | box[Mailbox.nextLow] << 10
            done += Mailbox.room
        }
    }
}

extension PCIBus {
    /// Reads memory into an array's bytes.
    func read(_ address: UInt64, into bytes: inout [UInt8]) throws(DMAFault) {
        let failure = bytes.withUnsafeMutableBytes { bytes -> DMAFault? in
            do throws(DMAFault) { try read(address, into: bytes) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    /// Writes an array's bytes.
    func write(_ address: UInt64, _ bytes: [UInt8]) throws(DMAFault) {
        let failure = bytes.withUnsafeBytes { bytes -> DMAFault? in
            do throws(DMAFault) { try write(address, bytes) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }
}
