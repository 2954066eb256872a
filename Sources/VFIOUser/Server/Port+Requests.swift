import CKernel
import Glibc
import Kernel

/// Requests of a client. Each is checked before it changes anything, and answered, with an errno where it is refused.
extension Port {
    /// Bytes of what GET_INFO, GET_REGION_INFO and GET_IRQ_INFO answer, as in linux/vfio.h.
    private static let infoSize = 16
    private static let regionInfoSize = 32
    private static let regionCount = 9
    private static let configRegion = 7
    /// INTx, MSI, MSI-X, errors, requests.
    private static let interruptKinds = 5
    static let msix: UInt32 = 2

    /// Takes a message, whoever began.
    func handle(_ message: Connection.Message, over connection: Connection) {
        guard message.header.isRequest else { return take(reply: message.header, message.payload) }
        do throws(Errno) {
            let command = try check(message)
            try answer(command, message, over: connection)
        } catch {
            let name = Command.of(message.header.command)?.name ?? "request \(message.header.command)"
            server.tell(self, "\(name) refused: \(error.name)")
            guard !message.header.wantsNoReply else { return }
            server.withMessage(Header(replyTo: message.header, payload: 0, error: error.code)) { _ in
            } send: {
                connection.send($0)
            }
        }
    }

    /// Checks a message against the table of commands.
    private func check(_ message: Connection.Message) throws(Errno) -> Command {
        guard let command = Command.of(message.header.command), let payload = command.payload else {
            throw Errno(EOPNOTSUPP)
        }
        guard payload.contains(message.payload.count), !message.hasTooManyDescriptors,
            message.descriptors.count <= command.descriptors
        else { throw Errno(EINVAL) }
        guard isOpen != (command.number == Command.version.number) else { throw Errno(isOpen ? EALREADY : EPROTO) }
        return command
    }

    private func answer(
        _ command: Command, _ message: Connection.Message, over connection: Connection
    ) throws(Errno) {
        guard let function else { throw Errno(ENODEV) }
        let payload = message.payload
        switch command.number {
        case Command.version.number: try agree(message, over: connection)
        case Command.mapDMA.number:
            try map(payload, message.descriptors.first ?? -1)
            reply(message, over: connection)
        case Command.unmapDMA.number: try unmap(message, over: connection)
        case Command.deviceInfo.number:
            try tell(message, Port.infoSize, over: connection) {
                // Can be reset; PCI.
                $0.set(4, UInt32(1 | 2))
                $0.set(8, UInt32(Port.regionCount))
                $0.set(12, UInt32(Port.interruptKinds))
            }
        case Command.regionInfo.number: try describe(function, message, over: connection)
        case Command.interruptInfo.number:
            let kind: UInt32 = payload.number(8)
            guard kind < Port.interruptKinds else { throw Errno(EINVAL) }
            let count = kind == Port.msix ? vectors.count : 0
            try tell(message, Port.infoSize, over: connection) {
                // By eventfd.
                $0.set(4, UInt32(count > 0 ? 1 : 0))
                $0.set(8, kind)
                $0.set(12, UInt32(count))
            }
        case Command.setInterrupts.number:
            try setInterrupts(payload, message.descriptors)
            reply(message, over: connection)
        case Command.readRegion.number: try read(function, message, over: connection)
        case Command.writeRegion.number: try write(function, message, over: connection)
        case Command.reset.number:
            resetAsked = true
            reply(message, over: connection)
            server.reset(self)
        default: throw Errno(EOPNOTSUPP)
        }
    }

    // MARK: Replies

    /// Answers with `size` bytes behind the header, 0 where `fill` sets nothing.
    private func reply(
        _ message: Connection.Message, _ size: Int = 0, descriptor: Int32 = -1, over connection: Connection,
        _ fill: (UnsafeMutableRawBufferPointer) -> Void = { _ in }
    ) {
        guard !message.header.wantsNoReply else { return }
        server.withMessage(Header(replyTo: message.header, payload: size)) { bytes in
            if size <= Port.regionInfoSize { bytes.initializeMemory(as: UInt8.self, repeating: 0) }
            fill(bytes)
        } send: {
            connection.send($0, descriptor: descriptor)
        }
    }

    /// Answers with a structure of linux/vfio.h, which begins with its size; the client's must have room for it.
    private func tell(
        _ message: Connection.Message, _ size: Int, descriptor: Int32 = -1, over connection: Connection,
        _ fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(Errno) {
        guard message.payload.number(0, as: UInt32.self) >= size else { throw Errno(EINVAL) }
        reply(message, size, descriptor: descriptor, over: connection) {
            $0.set(0, UInt32(size))
            fill($0)
        }
    }

    private func agree(_ message: Connection.Message, over connection: Connection) throws(Errno) {
        guard message.payload.number(0, as: UInt16.self) == 0 else { throw Errno(EPROTONOSUPPORT) }
        guard let told = ProtocolCapabilities.parse(UnsafeRawBufferPointer(rebasing: message.payload[4...])) else {
            throw Errno(EINVAL)
        }
        if let most = told.capabilities?.max_data_xfer_size {
            guard most > 0 else { throw Errno(EINVAL) }
            mostData = min(most, Command.mostData)
        }
        isOpen = true
        let own = ProtocolCapabilities.own.bytes
        // Version 0.0.
        reply(message, 4 + own.count, over: connection) {
            $0.set(0, UInt32(0))
            UnsafeMutableRawBufferPointer(rebasing: $0[4...]).copyBytes(from: own)
        }
    }

    private func describe(
        _ function: any PCIFunction, _ message: Connection.Message, over connection: Connection
    ) throws(Errno) {
        let index: UInt32 = message.payload.number(8)
        guard index < Port.regionCount else { throw Errno(EINVAL) }
        let region = function.region(Int(index))
        let isMapped = region.size > 0 && region.file >= 0
        try tell(message, Port.regionInfoSize, descriptor: isMapped ? region.file : -1, over: connection) {
            // Read, write, map.
            $0.set(4, UInt32(region.size > 0 ? isMapped ? 7 : 3 : 0))
            $0.set(8, index)
            $0.set(16, UInt64(max(0, region.size)))
        }
    }

    // MARK: Memory

    private func map(_ payload: UnsafeRawBufferPointer, _ descriptor: Int32) throws(Errno) {
        let flags: UInt32 = payload.number(4)
        guard payload.number(0, as: UInt32.self) >= 32, flags & ~3 == 0 else { throw Errno(EINVAL) }
        try memory.map(
            payload.number(16), size: payload.number(24), isReadable: flags & 1 != 0, isWritable: flags & 2 != 0,
            descriptor: descriptor, offset: payload.number(8))
    }

    private func unmap(_ message: Connection.Message, over connection: Connection) throws(Errno) {
        let payload = message.payload
        let flags: UInt32 = payload.number(4)
        let (address, size): (UInt64, UInt64) = (payload.number(8), payload.number(16))
        guard payload.number(0, as: UInt32.self) >= 24, flags & ~3 == 0 else { throw Errno(EINVAL) }
        // Dirty pages are not tracked.
        guard flags & 1 == 0 else { throw Errno(EOPNOTSUPP) }
        var gone: UInt64 = 0
        if flags & 2 != 0 {
            guard address == 0, size == 0 else { throw Errno(EINVAL) }
            gone = memory.unmapAll()
        } else {
            gone = try memory.unmap(address, size: size)
        }
        reply(message, 24, over: connection) {
            $0.set(0, UInt32(24))
            $0.set(4, flags)
            $0.set(8, address)
            $0.set(16, gone)
        }
    }

    // MARK: Regions

    /// The region and the range of an access; refused where it does not lie within the region.
    private func place(
        _ function: any PCIFunction, _ access: RegionAccess
    ) throws(Errno) -> (region: Int, offset: Int, count: Int) {
        guard access.region < Port.regionCount, access.count > 0, Int(access.count) <= Command.mostData else {
            throw Errno(EINVAL)
        }
        let size = function.region(Int(access.region)).size
        guard let offset = Int(exactly: access.offset), offset < size, Int(access.count) <= size - offset else {
            throw Errno(EINVAL)
        }
        return (Int(access.region), offset, Int(access.count))
    }

    /// Whether a function answers accesses of a region: with memory decoding off nobody claims a request to a BAR.
    private func answers(_ function: any PCIFunction, _ region: Int) -> Bool { region > 5 || function.isDecoding }

    private func read(
        _ function: any PCIFunction, _ message: Connection.Message, over connection: Connection
    ) throws(Errno) {
        let access = RegionAccess(message.payload)
        let place = try place(function, access)
        reply(message, RegionAccess.size + place.count, over: connection) { bytes in
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: message.payload[..<RegionAccess.size]))
            let data = UnsafeMutableRawBufferPointer(rebasing: bytes[RegionAccess.size...])
            data.initializeMemory(as: UInt8.self, repeating: 0xff)
            if answers(function, place.region) { function.read(place.region, at: place.offset, into: data) }
        }
    }

    private func write(
        _ function: any PCIFunction, _ message: Connection.Message, over connection: Connection
    ) throws(Errno) {
        let access = RegionAccess(message.payload)
        let place = try place(function, access)
        guard message.payload.count == RegionAccess.size + place.count else { throw Errno(EINVAL) }
        if answers(function, place.region) {
            function.write(
                place.region, at: place.offset, UnsafeRawBufferPointer(rebasing: message.payload[RegionAccess.size...]))
            hasWork = true
        }
        reply(message, RegionAccess.size, over: connection) {
            $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: message.payload[..<RegionAccess.size]))
        }
        if place.region == Port.configRegion {
            server.reset(self)
            server.findWindows()
        }
    }
}
