import CKernel
import Glibc
import Kernel

extension Port: PCIBus {
    func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(DMAFault) {
        try transfer(address, bytes, isWrite: false)
    }

    func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) throws(DMAFault) {
        // The cast is safe: a write only reads from these bytes.
        try transfer(address, UnsafeMutableRawBufferPointer(mutating: bytes), isWrite: true)
    }

    func interrupt(_ vector: Int) {
        guard vectors.indices.contains(vector), vectors[vector] >= 0, function?.isBusMaster == true, !isFailing else {
            return
        }
        socket_signal(vectors[vector])
    }

    func place(of address: UInt64) -> FilePlace? {
        if upstream != nil, let window = server.window(of: address, for: self) {
            return server.place(of: address, in: window)
        }
        return memory.place(of: address)
    }

    private func transfer(_ address: UInt64, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool)
        throws(DMAFault)
    {
        guard var pointer = bytes.baseAddress else { return }
        var address = address
        var rest = bytes.count
        while rest > 0 {
            guard !isFailing, function?.isBusMaster == true else {
                throw DMAFault(address: address, isWrite: isWrite)
            }
            let count = try piece(address, pointer, rest, isWrite: isWrite)
            rest -= count
            pointer += count
            let (next, overflow) = address.addingReportingOverflow(UInt64(count))
            guard rest == 0 || !overflow else { throw DMAFault(address: 0, isWrite: isWrite) }
            address = next
        }
    }

    /// Transfers the bytes up to the end of one range or window, and returns how many. Below a switch, peers' windows
    /// come before what the client has mapped.
    @inline(__always)
    private func piece(
        _ address: UInt64, _ pointer: UnsafeMutableRawPointer, _ most: Int, isWrite: Bool
    ) throws(DMAFault) -> Int {
        if upstream != nil, let window = server.window(of: address, for: self) {
            let count = Int(min(UInt64(most), window.last - address + 1))
            guard server.access(window, address, pointer, count, isWrite: isWrite) else {
                throw DMAFault(address: address, isWrite: isWrite)
            }
            return count
        }
        guard let range = memory.range(of: address), isWrite ? range.isWritable : range.isReadable else {
            throw DMAFault(address: address, isWrite: isWrite)
        }
        let count = Int(clamping: min(UInt64(most) - 1, range.last - address)) + 1
        guard let here = range.pointer(address) else {
            let count = min(count, mostData)
            guard ask(address, UnsafeMutableRawBufferPointer(start: pointer, count: count), isWrite: isWrite) else {
                throw DMAFault(address: address, isWrite: isWrite)
            }
            return count
        }
        guard
            isWrite
                ? copyGuarded(to: here, from: pointer, count: count)
                : copyGuarded(to: pointer, from: here, count: count)
        else { throw DMAFault(address: address, isWrite: isWrite) }
        return count
    }

    // MARK: By messages

    /// Sends the access to the client as a message and waits for the reply, at most the completion timeout. All
    /// clients' requests are answered meanwhile, as a client may need such an answer before it replies. It fails
    /// where no function works: then a client may be waiting for a reply of ours.
    private func ask(_ address: UInt64, _ data: UnsafeMutableRawBufferPointer, isWrite: Bool) -> Bool {
        guard let connection, awaited == nil, unanswered == nil, server.isWorking else { return false }
        let id = nextID()
        let command = isWrite ? Command.writeDMA : Command.readDMA
        send(command, id, address, data, over: connection)
        awaited = (id, command, address, data)
        answer = nil
        let start = sys_monotonic()
        let end = start.addingReportingOverflow(waitAllowance.left(of: server.completionTimeout, at: start))
        server.wait(until: end.overflow ? .max - 1 : end.partialValue) { answer != nil || isFailing }
        waitAllowance.spend(sys_monotonic() - start)
        awaited = nil
        // A request that was given up because of a reset is answered soon, and need not block the next one.
        if answer == nil, !isFailing { unanswered = id }
        return answer == .done && !isFailing
    }

    private func send(
        _ command: Command, _ id: UInt16, _ address: UInt64, _ data: UnsafeMutableRawBufferPointer,
        over connection: Connection
    ) {
        let payload = 16 + (command.number == Command.writeDMA.number ? data.count : 0)
        server.withMessage(Header(request: command, id: id, payload: payload)) { body in
            body.set(0, address)
            body.set(8, UInt64(data.count))
            if payload > 16 { UnsafeMutableRawBufferPointer(rebasing: body[16...]).copyMemory(from: .init(data)) }
        } send: {
            connection.send($0)
        }
    }

    /// A reply of the client's. One that nobody waits for any longer, or never did, is dropped.
    func take(reply header: Header, _ payload: UnsafeRawBufferPointer) {
        if unanswered == header.id { unanswered = nil }
        guard let awaited, awaited.id == header.id, awaited.command.number == header.command, answer == nil else {
            return
        }
        answer = .refused
        guard !header.hasFailed else { return }
        if awaited.command.number == Command.readDMA.number {
            guard payload.count == 16 + awaited.data.count, payload.number(0) == awaited.address,
                payload.number(8) == UInt64(awaited.data.count)
            else { return }
            awaited.data.copyMemory(from: UnsafeRawBufferPointer(rebasing: payload[16...]))
        }
        answer = .done
    }
}
