import CKernel
import Devices
import Kernel
import LuaKit

/// Keys of a work request: its id, and the piece of memory that it sends from or receives to.
enum WorkKeys {
    static let id = Key<UInt64>("wr_id", default: 0, "what its completion is called").was("id")
    static let mr = Key<Object<MemoryRegion>>("mr", "the local memory region")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64?>("length", .size(0...0x8000_0000), "bytes; default: to its end")
    static let piece: [any TableKey] = [mr, offset, length]
}

/// Keys of the peer's memory.
enum PeerKeys {
    static let remoteAddress = Key<UInt64?>(
        "remote_addr", "address in the peer's region, as `mr:addr` gives it, which RDMA and atomics need")
    static let rkey = Key<UInt32?>("rkey", "the peer's region's key, which RDMA and atomics need")

    /// The peer's memory that an operation reaches: RDMA and atomics need both keys, sends have no use for them. 0 is
    /// an address or a key like any other, so that one left out is not taken for it.
    static func memory(
        _ request: Table, at place: Key<UInt64?> = remoteAddress, by key: Key<UInt32?> = rkey, of opcode: ibv_wr_opcode,
        _ function: String, _ parameter: String
    ) throws(ErrorValue) -> (address: UInt64, key: UInt32) {
        let (address, rkey) = (request[place], request[key])
        if ![IBV_WR_SEND, IBV_WR_SEND_WITH_IMM].contains(opcode) {
            let name = operations.first { $0.value == Int64(opcode.rawValue) }?.name ?? ""
            func missing(_ key: String, _ what: String) -> ErrorValue {
                ErrorValue(
                    kind: .argument, "\(function): '\(parameter).\(key)' is missing: \(name) needs \(what)")
            }
            if rkey == nil { throw missing(key.name, "the peer's region's key") }
            if address == nil { throw missing(place.name, "an address in the peer's region") }
        }
        return (address ?? 0, rkey ?? 0)
    }
}

/// IBV_WR_* that move bytes, as scripts name them.
let operations: [(name: String, value: Int64)] = [
    ("rdma_write", IBV_WR_RDMA_WRITE), ("rdma_write_with_imm", IBV_WR_RDMA_WRITE_WITH_IMM), ("send", IBV_WR_SEND),
    ("send_with_imm", IBV_WR_SEND_WITH_IMM), ("rdma_read", IBV_WR_RDMA_READ),
    ("atomic_cmp_and_swp", IBV_WR_ATOMIC_CMP_AND_SWP), ("atomic_fetch_and_add", IBV_WR_ATOMIC_FETCH_AND_ADD),
].map { ($0.0, Int64($0.1.rawValue)) }

/// Those, and what moves no bytes.
private let postedOperations = operations + [(name: "bind_mw", value: Int64(IBV_WR_BIND_MW.rawValue))]

/// Keys of a send request.
enum SendKeys {
    static let op = Key<UInt32>("opcode", .choice(postedOperations), "what is done, IBV_WR_*").was("op")
    static let remoteAddress = PeerKeys.remoteAddress
    static let rkey = Key<UInt32?>(
        "rkey",
        "the peer's region's or window's key, which RDMA and atomics need; of bind_mw the window's new one, whose lowest byte counts; default: one more"
    )
    static let signaled = Key<Bool>("signaled", default: true, "completes with success too; default true")
    static let inline = Key<Bool>("inline", default: false, "the bytes are taken at once, without the region's key")
    static let fence = Key<Bool>("fence", default: false, "waits for reads and atomics before it")
    static let immediate = Key<UInt32>("imm_data", default: 0, "immediate data").was("imm")
    static let compareAdd = Key<UInt64>("compare_add", default: 0, "what an atomic compares with or adds")
    static let swap = Key<UInt64>("swap", default: 0, "what atomic_cmp_and_swp leaves")
    static let solicited = Key<Bool>("solicited", default: false, "asks for an event at the receiver")
    static let mw = Key<Object<MemoryWindow>?>("mw", "the window that bind_mw binds to a part of `mr`")
    static let windowAccess = Key<UInt32>(
        "mw_access_flags", accessFlags(among: [.ofPeers, .zeroBased]), default: 0,
        "what a peer may do by the window")
    static let ah = Key<Object<AddressHandle>?>("ah", "where a datagram goes")
    static let remoteNumber = Key<UInt32>(
        "remote_qpn", .integer(0...0xff_ffff), default: 0, "the receiver's number, of a datagram")
    static let remoteKey = Key<UInt32>("remote_qkey", default: defaultQKey, "the receiver's key, of a datagram")
    static let all: [any TableKey] =
        [op] + WorkKeys.piece + [
            remoteAddress, rkey, WorkKeys.id, signaled, inline, fence, immediate, compareAdd, swap, solicited, mw,
            windowAccess, ah, remoteNumber, remoteKey,
        ]
}

/// The scatter-gather element that the keys describe. Bytes outside the region are left for the NIC to refuse, but the
/// length must be known here.
func piece(_ request: Table, _ function: String) throws -> ibv_sge {
    let mr = request[WorkKeys.mr]
    let offset = request[WorkKeys.offset]
    let given = request[WorkKeys.length]
    let whole = UInt64(mr.pointee.length)
    guard given != nil || offset <= whole else {
        throw ErrorValue(kind: .argument, "\(function): offset \(offset) is behind the region's \(whole) bytes")
    }
    let length = given ?? whole - offset
    guard length <= 0x8000_0000 else {
        throw ErrorValue(kind: .argument, "\(function): a piece has at most 2 GiB, not \(length) bytes")
    }
    return ibv_sge(
        addr: mr.pointee.start &+ offset, length: UInt32(truncatingIfNeeded: length), lkey: mr.pointee.lkey)
}

/// Refuses keys that the operation does not use; they would be dropped otherwise.
private func checkUsed(_ request: Table, _ opcode: ibv_wr_opcode, isDatagram: Bool) throws(ErrorValue) {
    let opName = postedOperations.first { $0.value == Int64(opcode.rawValue) }?.name ?? ""
    func refuse(_ key: some TableKey, _ what: String) -> ErrorValue {
        ErrorValue(kind: .argument, "qp:post_send: '\(key.name)' is \(what); '\(opName)' has no place for it")
    }
    if !opcode.isAtomic, request[SendKeys.compareAdd] != 0 {
        throw refuse(SendKeys.compareAdd, "for atomic_cmp_and_swp and atomic_fetch_and_add")
    }
    if opcode != IBV_WR_ATOMIC_CMP_AND_SWP, request[SendKeys.swap] != 0 {
        throw refuse(SendKeys.swap, "for atomic_cmp_and_swp")
    }
    let hasImmediate = [IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM].contains(opcode)
    if !hasImmediate, request[SendKeys.immediate] != 0 {
        throw refuse(SendKeys.immediate, "for rdma_write_with_imm and send_with_imm")
    }
    if opcode != IBV_WR_BIND_MW, request[SendKeys.mw] != nil { throw refuse(SendKeys.mw, "for bind_mw") }
    if opcode != IBV_WR_BIND_MW, request[SendKeys.windowAccess] != 0 {
        throw refuse(SendKeys.windowAccess, "for bind_mw")
    }
    if opcode == IBV_WR_BIND_MW {
        guard request[SendKeys.mw] != nil else {
            throw ErrorValue(kind: .argument, "qp:post_send: '\(opName)' needs '\(SendKeys.mw.name)', the window")
        }
        if request[SendKeys.remoteAddress] ?? 0 != 0 { throw refuse(SendKeys.remoteAddress, "for RDMA and atomics") }
        if request[SendKeys.inline] { throw refuse(SendKeys.inline, "for what sends bytes") }
        if request[SendKeys.solicited] { throw refuse(SendKeys.solicited, "for what the peer receives") }
    }
    let handle = request[SendKeys.ah]
    if !isDatagram, handle != nil || request[SendKeys.remoteNumber] != 0 {
        throw ErrorValue(
            kind: .argument,
            "qp:post_send: '\(handle == nil ? SendKeys.remoteNumber.name : SendKeys.ah.name)' is for datagrams; this queue "
                + "pair is connected")
    }
}

extension ibv_wr_opcode {
    fileprivate var isAtomic: Bool { [IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD].contains(self) }
}

/// qp:post_send
func postSend(_ call: Call) throws -> CInt {
    let request = call[1].table
    var wr = ibv_send_wr()
    wr.opcode = ibv_wr_opcode(rawValue: request[SendKeys.op])
    let isDatagram = call[0].object(QueuePair.self).pointee.isDatagram
    try checkUsed(request, wr.opcode, isDatagram: isDatagram)
    wr.wr_id = request[WorkKeys.id]
    wr.send_flags =
        (request[SendKeys.signaled] ? IBV_SEND_SIGNALED.rawValue : 0)
        | (request[SendKeys.inline] ? IBV_SEND_INLINE.rawValue : 0)
        | (request[SendKeys.fence] ? IBV_SEND_FENCE.rawValue : 0)
        | (request[SendKeys.solicited] ? IBV_SEND_SOLICITED.rawValue : 0)
    wr.imm_data = request[SendKeys.immediate].bigEndian
    if wr.opcode == IBV_WR_BIND_MW, let window = request[SendKeys.mw] {
        let part = try piece(request, "qp:post_send")
        wr.bind_mw.mw = window.pointee.mw
        wr.bind_mw.rkey = windowKey(window.pointee, request[SendKeys.rkey] ?? 0)
        wr.bind_mw.bind_info = ibv_mw_bind_info(
            mr: request[WorkKeys.mr].pointee.mr, addr: part.addr, length: UInt64(part.length),
            mw_access_flags: request[SendKeys.windowAccess])
        try call[0].object(QueuePair.self).pointee.post(wr, [])
        return call.nothing
    }
    if isDatagram {
        wr.wr.ud.ah = request[SendKeys.ah]?.pointee.ah
        wr.wr.ud.remote_qpn = request[SendKeys.remoteNumber]
        wr.wr.ud.remote_qkey = request[SendKeys.remoteKey]
    } else {
        let peer = try PeerKeys.memory(request, by: SendKeys.rkey, of: wr.opcode, "qp:post_send", "request")
        if wr.opcode.isAtomic {
            wr.wr.atomic.remote_addr = peer.address
            wr.wr.atomic.rkey = peer.key
            wr.wr.atomic.compare_add = request[SendKeys.compareAdd]
            wr.wr.atomic.swap = request[SendKeys.swap]
        } else {
            wr.wr.rdma.remote_addr = peer.address
            wr.wr.rdma.rkey = peer.key
        }
    }
    let piece = try piece(request, "qp:post_send")
    try call.touch(Int(piece.length), "qp:post_send")
    try call[0].object(QueuePair.self).pointee.post(wr, [piece])
    return call.nothing
}
