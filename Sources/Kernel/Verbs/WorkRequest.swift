public import CKernel

/// Structures of verbs.h as values of an operation.
extension Operation.Value {
    private static func members<Structure>(_ layout: Layout, _ structure: Structure) -> [Operation.Member] {
        withUnsafeBytes(of: structure) { Decoder().members(layout, $0, .input) }
    }

    static func attributes(_ attributes: ibv_qp_attr, _ mask: Int32) -> Operation.Value {
        let mask = UInt32(bitPattern: mask)
        let fields = Layout.queuePairAttributes.filter { mask & $0.bit.rawValue != 0 }.map(\.field)
        var members = members(Layout(size: MemoryLayout<ibv_qp_attr>.size, fields), attributes)
        if mask & IBV_QP_AV.rawValue != 0 { members.append(.init("ah_attr", path(attributes.ah_attr))) }
        return .structure(members)
    }

    static func path(_ attributes: ibv_ah_attr) -> Operation.Value {
        let gid = withUnsafeBytes(of: attributes) { Array($0[Layout.pathGID..<(Layout.pathGID + 16)]) }
        return .structure([.init("dgid", .bytes(gid))] + members(.path, attributes))
    }

    private static func pieces(_ list: UnsafeMutablePointer<ibv_sge>?, _ count: Int32) -> Operation.Member {
        let pieces = UnsafeBufferPointer(start: list, count: list == nil ? 0 : Int(max(0, count)))
        return .init("sg_list", .list(pieces.map { .structure(members(.piece, $0)) }))
    }

    static func work(
        _ request: UnsafeMutablePointer<ibv_send_wr>, on qp: UnsafeMutablePointer<ibv_qp>
    ) -> Operation.Value {
        let isDatagram = qp.pointee.qp_type == IBV_QPT_UD
        var list: [Operation.Value] = []
        var next: UnsafeMutablePointer<ibv_send_wr>? = request
        while let wr = next, list.count < 1 << 16 {
            var members = members(.work(wr.pointee.opcode.rawValue), wr.pointee)
            // Only datagrams have an address; for other requests the union has other contents.
            if !isDatagram { members.removeAll { ["ah", "remote_qpn", "remote_qkey"].contains($0.name) } }
            list.append(.structure(members + [pieces(wr.pointee.sg_list, wr.pointee.num_sge)]))
            next = wr.pointee.next
        }
        return .list(list)
    }

    static func work(_ request: UnsafeMutablePointer<ibv_recv_wr>) -> Operation.Value {
        var list: [Operation.Value] = []
        var next: UnsafeMutablePointer<ibv_recv_wr>? = request
        while let wr = next, list.count < 1 << 16 {
            list.append(.structure(members(.receive, wr.pointee) + [pieces(wr.pointee.sg_list, wr.pointee.num_sge)]))
            next = wr.pointee.next
        }
        return .list(list)
    }

    /// Completions in a form that can be compared.
    public static func completions(_ list: some Collection<ibv_wc>) -> Operation.Value {
        .list(list.map { .structure(members(.completion($0), $0)) })
    }

    static func devices(_ devices: DeviceList) -> Operation.Value {
        .list(
            devices.map { device in
                let name = withUnsafeBytes(of: device.pointee.name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                return .structure([
                    .init("name", .text(name)), .init("device", .number(address(device), .handle("device"))),
                ])
            })
    }

    static func gids(_ entries: [ibv_gid_entry]) -> Operation.Value {
        .list(
            entries.map { entry in
                let gid = withUnsafeBytes(of: entry.gid) { Array($0) }
                return .structure([
                    .init("gid", .bytes(gid)), .init("gid_index", .number(UInt64(entry.gid_index), .decimal)),
                    .init("port_num", .number(UInt64(entry.port_num), .decimal)),
                    .init("gid_type", .number(UInt64(entry.gid_type), .decimal)),
                ])
            })
    }
}

extension ibv_wc {
    /// Whether it identifies the sender: for a datagram, with a global route header or, in an InfiniBand subnet, only
    /// the sender's LID. For other completions providers leave src_qp 0 or unchanged.
    public var isOfDatagram: Bool { src_qp != 0 && (wc_flags & IBV_WC_GRH.rawValue != 0 || slid != 0) }
}

// MARK: From recorded values

extension Operation.Value {
    fileprivate var members: [Operation.Member] { if case .structure(let members) = self { members } else { [] } }

    /// The structures of a list.
    fileprivate var structures: [[Operation.Member]] {
        if case .list(let values) = self { values.map(\.members) } else { [] }
    }
}

extension [Operation.Member] {
    fileprivate subscript(_ name: String) -> Operation.Value? { first { $0.name == name }?.value }

    /// Stores those members that are numbers in these fields.
    fileprivate func fill<Structure>(_ structure: inout Structure, _ fields: [Field]) {
        Swift.withUnsafeMutableBytes(of: &structure) { bytes in
            for member in self {
                guard case .number(let value, _) = member.value else { continue }
                fields.first { $0.name == member.name }?.store(value, in: bytes)
            }
        }
    }
}

extension ibv_ah_attr {
    /// A path from its members in a record.
    init(recorded value: Operation.Value) {
        self.init()
        value.members.fill(&self, Layout.path.fields)
        guard case .bytes(let gid)? = value.members["dgid"], gid.count == 16 else { return }
        withUnsafeMutableBytes(of: &self) { bytes in
            for (index, byte) in gid.enumerated() { bytes[Layout.pathGID + index] = byte }
        }
    }
}

extension ibv_qp_attr {
    /// Attributes from their members in a record.
    init(recorded value: Operation.Value) {
        self.init()
        value.members.fill(&self, Layout.queuePairAttributes.map(\.field))
        if let path = value.members["ah_attr"] { ah_attr = ibv_ah_attr(recorded: path) }
    }
}

extension RecordedArguments {
    /// A request's scatter-gather list, and its length.
    private func pieces(_ members: [Operation.Member]) -> (UnsafeMutablePointer<ibv_sge>?, Int32) {
        let pieces = members["sg_list"]?.structures ?? []
        let list = allocate(ibv_sge(), count: pieces.count)
        for (index, members) in pieces.enumerated() { members.fill(&list[index], Layout.piece.fields) }
        return (list.baseAddress, Int32(clamping: pieces.count))
    }

    /// A chain of send requests.
    func sends(_ value: Operation.Value) -> UnsafeMutablePointer<ibv_send_wr>? {
        let requests = value.structures
        let chain = allocate(ibv_send_wr(), count: requests.count)
        for (index, members) in requests.enumerated() {
            var opcode = UInt32(0)
            if case .number(let value, _)? = members["opcode"] { opcode = UInt32(truncatingIfNeeded: value) }
            members.fill(&chain[index], Layout.work(opcode).fields)
            (chain[index].sg_list, chain[index].num_sge) = pieces(members)
            if index + 1 < requests.count { chain[index].next = chain.baseAddress?.advanced(by: index + 1) }
        }
        return chain.baseAddress
    }

    /// A chain of receive requests.
    func receives(_ value: Operation.Value) -> UnsafeMutablePointer<ibv_recv_wr>? {
        let requests = value.structures
        let chain = allocate(ibv_recv_wr(), count: requests.count)
        for (index, members) in requests.enumerated() {
            members.fill(&chain[index], Layout.receive.fields)
            (chain[index].sg_list, chain[index].num_sge) = pieces(members)
            if index + 1 < requests.count { chain[index].next = chain.baseAddress?.advanced(by: index + 1) }
        }
        return chain.baseAddress
    }
}
