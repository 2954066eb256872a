import CKernel
import Glibc

/// What ends a session.
enum Ending: Error {
    /// The server closed the connection, as it may for what is no message.
    case closed
    /// The server, or its process, did what it must not.
    case failure(String)
}

/// A guest's QEMU: the client's end of a connection, that answers the function's requests for memory while it waits.
final class Client {
    /// How it answers requests for memory that has no file.
    enum Manner: Int, CaseIterable {
        case properly, refusing, wrongly, never
    }

    let memory = Memory()
    private(set) var socket: Int32
    var manner = Manner.properly
    private var lastID: UInt16 = 0
    private var input: [UInt8] = []
    /// Addresses that it answers for itself.
    static let ownMemory: Range<UInt64> = 0x2000_0000..<0x2004_0000
    private var own = [UInt8](repeating: 0, count: 0x4_0000)
    /// Others that it has asked to be mapped without a file of its memory.
    var granted: [Range<UInt64>] = []
    /// Seconds that a reply may take.
    static let patience: Int32 = 20
    /// Requests for memory that were answered.
    private(set) var asked = 0

    init(_ socket: Int32) { self.socket = socket }

    deinit { leave() }

    func leave() {
        if socket >= 0 { close(socket) }
        socket = -1
    }

    // MARK: Messages

    static func message(_ command: UInt16, id: UInt16, _ payload: [UInt8], flags: UInt32 = 0, error: UInt32 = 0)
        -> [UInt8]
    {
        little(id) + little(command) + little(UInt32(16 + payload.count)) + little(flags) + little(error) + payload
    }

    func nextID() -> UInt16 {
        lastID = (lastID + 1) & 0x7fff
        return lastID
    }

    /// Sends all bytes, the descriptors with the first.
    func send(_ bytes: [UInt8], _ descriptors: [Int32] = []) throws(Ending) {
        var sent = 0
        while sent < bytes.count {
            let result = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map {
                    socket_send(socket, $0 + sent, bytes.count - sent, descriptors, sent == 0 ? descriptors.count : 0)
                } ?? 0
            }
            if result > 0 {
                sent += result
            } else if result == -Int(EAGAIN) {
                try wait(Int16(POLLOUT | POLLIN))
                try takeWhatIsThere(nil)
            } else {
                throw .closed
            }
        }
    }

    /// The payload of the reply to a request, nil where it was refused.
    @discardableResult
    func request(_ command: UInt16, _ payload: [UInt8], _ descriptors: [Int32] = []) throws(Ending) -> [UInt8]? {
        let id = nextID()
        try send(Client.message(command, id: id, payload), descriptors)
        while true {
            if let reply = try takeWhatIsThere(id) { return reply.isEmpty ? nil : reply.first }
            try wait(Int16(POLLIN))
        }
    }

    private func wait(_ events: Int16) throws(Ending) {
        var one = pollfd(fd: socket, events: events, revents: 0)
        guard poll(&one, 1, Client.patience * 1000) != 0 else {
            throw .failure("no reply in \(Client.patience) s: it hangs")
        }
    }

    /// Takes messages that have come, and answers requests. What a reply of that number has, nothing in it for a refusal.
    @discardableResult
    private func takeWhatIsThere(_ id: UInt16?) throws(Ending) -> [[UInt8]]? {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        var descriptors = [Int32](repeating: -1, count: 16)
        var count = descriptors.count
        let got = socket_receive(socket, &chunk, chunk.count, &descriptors, &count)
        for one in descriptors.prefix(count) { close(one) }
        if got == 0 || (got < 0 && got != -Int(EAGAIN)) { throw .closed }
        if got > 0 { input += chunk[..<got] }
        var found: [[UInt8]]?
        while input.count >= 16 {
            let size = input.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) }
            guard size >= 16, size <= 2 << 20 else { throw .failure("a message of \(size) bytes") }
            guard input.count >= size else { break }
            let message = Array(input[..<size])
            input.removeFirst(size)
            let flags = message.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self) }
            let number = message.withUnsafeBytes { $0.loadUnaligned(as: UInt16.self) }
            if flags & 0xf == 0 {
                try answer(message)
            } else if number == id {
                found = flags & 0x20 != 0 ? [] : [Array(message[16...])]
            }
        }
        return found
    }

    /// Answers DMA_READ or DMA_WRITE, which may only be of memory that it said it would answer for.
    private func answer(_ message: [UInt8]) throws(Ending) {
        guard message.count >= 32 else { throw .failure("a request of \(message.count) bytes") }
        let (id, command, address, length) = message.withUnsafeBytes {
            (
                $0.loadUnaligned(as: UInt16.self), $0.loadUnaligned(fromByteOffset: 2, as: UInt16.self),
                $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
            )
        }
        let isOwn = Client.ownMemory.contains(address) && length <= Client.ownMemory.upperBound - address
        guard command == 11 || command == 12, (1...1 << 20).contains(length),
            isOwn || granted.contains(where: { $0.contains(address) && $0.contains(address &+ length - 1) }),
            message.count == 32 + (command == 12 ? Int(length) : 0)
        else { throw .failure("request \(command) of \(length) bytes at \(address), which is not mapped") }
        if message.withUnsafeBytes({ memory.reveals($0) }) { throw .failure("sent what is not mapped") }
        asked += 1
        let place = isOwn ? Int(address - Client.ownMemory.lowerBound) : 0
        let data = Array(message[16..<32])
        switch manner {
        case .never: return
        case .refusing: try send(Client.message(command, id: id, [], flags: 0x21, error: 14))
        case .wrongly: try send(Client.message(command, id: id, data + [1, 2, 3], flags: 1))
        case .properly where command == 12:
            if isOwn { own.replaceSubrange(place..<place + Int(length), with: message[32...]) }
            try send(Client.message(command, id: id, data, flags: 1))
        case .properly:
            let bytes = isOwn ? Array(own[place..<place + Int(length)]) : [UInt8](repeating: 0, count: Int(length))
            try send(Client.message(command, id: id, data + bytes, flags: 1))
        }
    }

    // MARK: What QEMU asks

    func open() throws(Ending) {
        try request(1, little(UInt32(0)) + Array("{\"capabilities\":{\"max_msg_fds\":8}}".utf8) + [0])
        for index in memory.ranges.indices { try map(index) }
        try request(2, mapping(flags: 3, Client.ownMemory.lowerBound, UInt64(Client.ownMemory.count)))
    }

    func mapping(flags: UInt32, offset: UInt64 = 0, _ address: UInt64, _ size: UInt64) -> [UInt8] {
        little(UInt32(32)) + little(flags) + little(offset) + little(address) + little(size)
    }

    func map(_ index: Int) throws(Ending) {
        let range = memory.ranges[index]
        guard !range.isMapped else { return }
        memory.expose(index)
        let payload = mapping(
            flags: range.flags, offset: UInt64(range.offset), range.address, UInt64(range.size))
        // Where mutated requests have mapped something else there, this one is refused.
        if try request(2, payload, [memory.file]) == nil { memory.withdraw(index) }
    }

    func unmap(_ index: Int) throws(Ending) {
        let range = memory.ranges[index]
        if try request(3, little(UInt32(24)) + little(UInt32(0)) + little(range.address) + little(UInt64(range.size)))
            != nil
        {
            memory.withdraw(index)
        }
    }

    func write(_ region: UInt32, _ offset: Int, _ data: [UInt8]) throws(Ending) {
        try request(10, little(UInt64(offset)) + little(region) + little(UInt32(data.count)) + data)
    }

    func read(_ region: UInt32, _ offset: Int, _ count: Int) throws(Ending) -> [UInt8]? {
        try request(9, little(UInt64(offset)) + little(region) + little(UInt32(count))).map { Array($0.dropFirst(16)) }
    }

    /// Returns when what was asked before is done: requests are answered in their order, and work comes before the next.
    func settle() throws(Ending) { _ = try read(7, 0, 4) }
}
