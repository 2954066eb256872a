import CKernel
import Kernel

/// Structures of verbs.h from their members: queue pairs' attributes and work requests.
extension Replay {
    private func fill<Structure>(_ structure: inout Structure, _ members: [Operation.Member], _ fields: [Field]) {
        withUnsafeMutableBytes(of: &structure) { bytes in
            for member in members {
                guard case .number(let value, _) = member.value else { continue }
                fields.first { $0.name == member.name }?.store(value, in: bytes)
            }
        }
    }

    func path(_ members: [Operation.Member]) -> ibv_ah_attr {
        var path = ibv_ah_attr()
        fill(&path, members, Layout.path.fields)
        if case .bytes(let gid)? = members.first(where: { $0.name == "dgid" })?.value, gid.count == 16 {
            withUnsafeMutableBytes(of: &path) { bytes in
                for (index, byte) in gid.enumerated() { bytes[Layout.pathGID + index] = byte }
            }
        }
        return path
    }

    /// Where the record opened `path`, what is opened now.
    func path(_ path: String) -> String { paths[path] ?? path }

    func work(_ name: String, _ arguments: ReplayArguments) throws(Errno) -> Bool {
        guard let qp: UnsafeMutablePointer<ibv_qp> = arguments.object("qp") else { return false }
        switch name {
        case "ibv_destroy_qp": try kernel.ibv_destroy_qp(qp)
        case "ibv_modify_qp":
            var attributes = ibv_qp_attr()
            let members = arguments.members(1)
            fill(&attributes, members, Layout.queuePairAttributes.map(\.field))
            if case .structure(let path)? = members.first(where: { $0.name == "ah_attr" })?.value {
                attributes.ah_attr = self.path(path)
            }
            try kernel.ibv_modify_qp(qp, attributes, arguments.int32(2))
        case "ibv_post_send": try postSends(arguments.list(1), qp)
        case "ibv_post_recv":
            try postReceives(arguments.list(1)) { request throws(Errno) in try kernel.ibv_post_recv(qp, request) }
        default: return false
        }
        return true
    }

    /// The pieces of each request, in memory of their own.
    private func pieces(_ requests: [[Operation.Member]]) -> (UnsafeMutableBufferPointer<ibv_sge>, [Range<Int>]) {
        var all: [ibv_sge] = []
        var parts: [Range<Int>] = []
        for members in requests {
            let start = all.count
            if case .list(let list)? = members.first(where: { $0.name == "sg_list" })?.value {
                for case .structure(let members) in list {
                    var piece = ibv_sge()
                    fill(&piece, members, Layout.piece.fields)
                    all.append(piece)
                }
            }
            parts.append(start..<all.count)
        }
        let memory = UnsafeMutableBufferPointer<ibv_sge>.allocate(capacity: max(1, all.count))
        memory.initialize(repeating: ibv_sge())
        for (index, piece) in all.enumerated() { memory[index] = piece }
        return (memory, parts)
    }

    private func postSends(_ requests: [[Operation.Member]], _ qp: UnsafeMutablePointer<ibv_qp>) throws(Errno) {
        let (memory, parts) = pieces(requests)
        let chain = UnsafeMutableBufferPointer<ibv_send_wr>.allocate(capacity: max(1, requests.count))
        chain.initialize(repeating: ibv_send_wr())
        defer {
            memory.deallocate()
            chain.deallocate()
        }
        for (index, members) in requests.enumerated() {
            var opcode = UInt32(0)
            if case .number(let value, _)? = members.first(where: { $0.name == "opcode" })?.value {
                opcode = UInt32(truncatingIfNeeded: value)
            }
            fill(&chain[index], members, Layout.work(opcode).fields)
            chain[index].sg_list = memory.baseAddress?.advanced(by: parts[index].lowerBound)
            chain[index].num_sge = Int32(parts[index].count)
            if index + 1 < requests.count { chain[index].next = chain.baseAddress?.advanced(by: index + 1) }
        }
        guard let first = chain.baseAddress else { return }
        try kernel.ibv_post_send(qp, first)
    }

    func postReceives(
        _ requests: [[Operation.Member]], _ post: (UnsafeMutablePointer<ibv_recv_wr>) throws(Errno) -> Void
    ) throws(Errno) {
        let (memory, parts) = pieces(requests)
        let chain = UnsafeMutableBufferPointer<ibv_recv_wr>.allocate(capacity: max(1, requests.count))
        chain.initialize(repeating: ibv_recv_wr())
        defer {
            memory.deallocate()
            chain.deallocate()
        }
        for (index, members) in requests.enumerated() {
            fill(&chain[index], members, Layout.receive.fields)
            chain[index].sg_list = memory.baseAddress?.advanced(by: parts[index].lowerBound)
            chain[index].num_sge = Int32(parts[index].count)
            if index + 1 < requests.count { chain[index].next = chain.baseAddress?.advanced(by: index + 1) }
        }
        guard let first = chain.baseAddress else { return }
        try post(first)
    }
}
