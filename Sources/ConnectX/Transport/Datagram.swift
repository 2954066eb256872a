/// Unreliable datagrams: a request is complete once it was sent, also where the message is dropped.
extension DataPath {
    /// Bytes before each message in a receive request: what a global route header needs.
    static let routeHeader = 40
    private static let permissiveLID: UInt16 = 0xffff
    private static let firstMulticastLID: UInt16 = 0xc000

    /// A datagram and what the receiver is told of it.
    private struct Datagram {
        var vector: AddressVector
        var key: UInt32
        var length: Int
        var port: Port
        var partition: UInt32 = 0xffff
    }

    /// Sends one message, of at most one packet.
    func sendDatagram(_ pair: QueuePair, _ budget: inout Int) -> Step {
        let index = min(max(pair.path.port, 1), ports.count) - 1
        guard index >= 0, ports[index].isActive else { return .done(0) }
        guard pair.request.length <= ports[index].mtu else { return .failed(.localLength) }
        guard let vector = AddressVector(pair.request.bytes, at: WorkRequestLayout.control) else {
            return .failed(.localOperation)
        }
        do throws(Halt) {
            try local(pair) { () throws(AccessFailure) in try gather(pair, 0, pair.request.length, &budget) }
        } catch { return error.step }
        let datagram = Datagram(
            vector: vector, key: vector.queueKey >> 31 == 1 ? pair.path.queueKey : vector.queueKey,
            length: pair.request.length, port: ports[index])
        for (nic, receiver) in receivers(of: datagram, from: pair) {
            nic.take(datagram, from: pair, packet, receiver, &budget)
        }
        return .done(0)
    }

    private func receivers(of datagram: Datagram, from pair: QueuePair) -> [(DataPath, QueuePair)] {
        let vector = datagram.vector
        let isGroup = vector.route.map { $0.gid.high >> 56 == 0xff } ?? false
        if isGroup || vector.lid >= DataPath.firstMulticastLID && vector.lid != DataPath.permissiveLID {
            guard let group = vector.route?.gid else { return [] }
            return fabric.members(group).flatMap { nic in
                (nic.multicast[group] ?? []).compactMap { number in
                    guard let receiver = nic.queuePairs[number], receiver !== pair else { return nil }
                    return (nic, receiver)
                }
            }
        }
        let target = vector.lid == DataPath.permissiveLID ? self : nic(vector.lid, vector.route?.gid)
        guard let target, let receiver = target.datagramPair(vector.queuePair) else { return [] }
        return [(target, receiver)]
    }

    /// The queue pairs that get datagrams for a number; 0 and 1 are subnet management and general services.
    private func datagramPair(_ number: UInt32) -> QueuePair? {
        guard number < 2 else {
            guard let pair = queuePairs[number], pair.service == .datagram else { return nil }
            return pair
        }
        let service: QueuePair.Service = number == 0 ? .subnetManagement : .generalServices
        return specialPairs.lazy.compactMap { self.queuePairs[$0] }.first { $0.service == service }
    }

    /// The receiver's side. A datagram with a wrong key, or without a receive request, is dropped.
    private func take(
        _ datagram: Datagram, from sender: QueuePair, _ bytes: UnsafeMutableRawBufferPointer, _ pair: QueuePair,
        _ budget: inout Int
    ) {
        guard pair.state.receives, pair.service == .subnetManagement || pair.path.queueKey == datagram.key,
            takeReceive(pair, 0) == true
        else { return }
        guard datagram.length + DataPath.routeHeader <= pair.receive.capacity else {
            endReceive(pair, .localLength)
            return enterError(pair, nil)
        }
        let reference = MemoryReference(receiving: pair)
        do throws(AccessFailure) {
            if let route = datagram.vector.route {
                let header = UnsafeMutableRawBufferPointer(rebasing: scratch[256..<256 + DataPath.routeHeader])
                fill(header, route, datagram, from: sender)
                try scatter(pair.receive.bytes, 0, reference, 0, header, header.count, &budget)
            }
            try scatter(
                pair.receive.bytes, 0, reference, DataPath.routeHeader, bytes, datagram.length, &budget)
        } catch {
            endReceive(pair, .localProtection)
            return enterError(pair, nil)
        }
        var entry = CompletionEntry(opcode: sender.request.opcode == .sendImmediate ? .sendImmediate : .send)
        entry.byteCount = UInt32(truncatingIfNeeded: datagram.length + DataPath.routeHeader)
        entry.immediate =
            pair.service == .generalServices
            ? datagram.partition
            : entry.opcode == .sendImmediate ? sender.request.control.immediate : 0
        entry.source = sender.path.sourceNumber != 0 ? sender.path.sourceNumber : sender.transportNumber
        entry.sourceLID = datagram.port.lid
        entry.serviceLevel = datagram.vector.serviceLevel
        entry.hasRouteHeader = datagram.vector.route != nil
        entry.isSolicited = sender.request.control.isSolicited
        complete(pair, entry)
    }

    /// IBTA 1.4, 8.3: version, class and flow label; length and next header; hop limit; the two ports.
    private func fill(
        _ header: UnsafeMutableRawBufferPointer,
        _ route: (gid: GID, trafficClass: UInt8, hopLimit: UInt8, flowLabel: UInt32, sourceIndex: Int),
        _ datagram: Datagram, from sender: QueuePair
    ) {
        let gids = datagram.port.gids
        let source = route.sourceIndex < gids.count ? gids[route.sourceIndex] : gids.first ?? GID(high: 0, low: 0)
        header.put(6 << 28 | UInt32(route.trafficClass) << 20 | route.flowLabel, at: 0)
        // Transport headers and checksum of 12, 8 and 4 bytes, with immediate data 4 more, in whole words.
        let immediate = sender.request.opcode == .sendImmediate ? 4 : 0
        header.put(UInt16(truncatingIfNeeded: (datagram.length + 3) & ~3 + 24 + immediate), at: 4)
        header[6] = 0x1b
        header[7] = route.hopLimit
        header.put(source.high, at: 8)
        header.put(source.low, at: 16)
        header.put(route.gid.high, at: 24)
        header.put(route.gid.low, at: 32)
    }
}

extension QueuePair {
    /// The number that its packets carry.
    var transportNumber: UInt32 {
        switch service {
        case .subnetManagement: 0
        case .generalServices: 1
        default: number
        }
    }
}
