public import CKernel
public import Kernel

/// Receive requests for several queue pairs: ibv_create_srq(3).
public struct SharedReceiveQueue: ~Copyable {
    private let kernel: any Kernel
    /// The library's object, for queue pairs that take from it.
    public let srq: UnsafeMutablePointer<ibv_srq>
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is destroyed.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ srq: UnsafeMutablePointer<ibv_srq>, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.srq = srq
        self.siblings = siblings
        self.label = "srq of \(label)"
        siblings.count += 1
    }

    /// ibv_post_srq_recv(3) of one request.
    public func postReceive(id: UInt64, _ pieces: [ibv_sge]) throws(Failure) {
        try ReceiveRequest.post(id, pieces) { (request) throws(Failure) in
            try kernel.ask(Verbs.ibv_post_srq_recv, srq, request, of: label)
        }
    }

    /// ibv_modify_srq(3): an event (SRQ_LIMIT_REACHED) once fewer than so many receive requests are left; 0 for none.
    public func set(limit: UInt32) throws(Failure) {
        try kernel.ask(Verbs.ibv_modify_srq, srq, limit, of: label)
    }

    /// ibv_destroy_srq(3). EBUSY while a queue pair uses it; it stays open then.
    public mutating func close() throws(Failure) {
        let (kernel, srq, label) = (kernel, srq, label)
        try siblings.end(&isOpen, "ibv_destroy_srq", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_destroy_srq, srq)
        }
    }
}

/// A receive work request as the library takes it.
enum ReceiveRequest {
    static func post(
        _ id: UInt64, _ pieces: [ibv_sge], _ body: (UnsafeMutablePointer<ibv_recv_wr>) throws(Failure) -> Void
    ) throws(Failure) {
        var pieces = pieces
        let result: Result<Void, Failure> = pieces.withUnsafeMutableBufferPointer { list in
            var request = ibv_recv_wr()
            request.wr_id = id
            request.sg_list = list.baseAddress
            request.num_sge = Int32(list.count)
            do throws(Failure) { return .success(try body(&request)) } catch { return .failure(error) }
        }
        try result.get()
    }
}

/// Where datagrams go: ibv_create_ah(3).
public struct AddressHandle: ~Copyable {
    private let kernel: any Kernel
    /// The library's object, for work requests.
    public let ah: UnsafeMutablePointer<ibv_ah>
    private let siblings: OpenChildCount
    /// How messages call it.
    public let label: String
    /// False once it is destroyed.
    public private(set) var isOpen = true

    init(_ kernel: any Kernel, _ ah: UnsafeMutablePointer<ibv_ah>, in siblings: OpenChildCount, label: String) {
        self.kernel = kernel
        self.ah = ah
        self.siblings = siblings
        self.label = "ah of \(label)"
        siblings.count += 1
    }

    /// ibv_destroy_ah(3).
    public mutating func close() throws(Failure) {
        let (kernel, ah, label) = (kernel, ah, label)
        try siblings.end(&isOpen, "ibv_destroy_ah", label) { () throws(Errno) in
            try kernel.call(Verbs.ibv_destroy_ah, ah)
        }
    }
}
