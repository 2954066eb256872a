/// The send request in progress: its entry, which is read once, and how far it has come.
struct SendRequest {
    private(set) var entry: UnsafeMutableRawBufferPointer?
    private(set) var isActive = false
    private(set) var control = ControlSegment.none
    /// Bytes of the entry.
    private(set) var size = 0
    /// Where its data segments are in it.
    private(set) var segments = 0..<0
    var opcode = WorkRequestOpcode.nop
    var remoteAddress: UInt64 = 0
    var remoteKey: UInt32 = 0
    /// Of an XRC request: the shared receive queue that it is for.
    var sharedReceiveQueue: UInt32 = 0
    /// Whether the responder has taken a receive request for it.
    var hasReceive = false
    /// Whether the responder has dropped it, though the requester sends the rest.
    var isDropped = false
    /// What an atomic operation has fetched.
    var fetched: UInt64?
    /// Bytes of the message, and how many of them have arrived.
    var length = 0
    var done = 0
    /// Times that the responder was not ready, or did not answer.
    var receiverTries = 0
    var tries = 0
    /// When the present try times out, nanoseconds, 0 for never; and how often the peer was looked at meanwhile.
    var deadline: UInt64 = 0
    var looks = 0
    /// The syndrome to end with, where the page fault that it waited for was resumed with an error.
    var failure: CompletionSyndrome?

    /// The bytes of the entry.
    var bytes: UnsafeRawBufferPointer {
        guard let entry else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: entry[..<size])
    }

    /// Room for the entry of a request, which is kept until the queue pair goes.
    mutating func room() -> UnsafeMutableRawBufferPointer {
        if let entry { return entry }
        let new = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
        entry = new
        return new
    }

    mutating func begin(_ control: ControlSegment, size: Int) {
        self.control = control
        self.size = size
        isActive = true
        length = 0
        done = 0
        receiverTries = 0
        tries = 0
        deadline = 0
        looks = 0
        hasReceive = false
        isDropped = false
        fetched = nil
        failure = nil
        segments = 0..<0
    }

    mutating func setSegments(_ range: Range<Int>) { segments = range }

    mutating func end() { isActive = false }

    mutating func free() {
        entry?.deallocate()
        entry = nil
        isActive = false
    }
}

/// A receive request that a message arrives in.
struct ReceiveRequest {
    private(set) var entry: UnsafeMutableRawBufferPointer?
    private(set) var isActive = false
    private(set) var index: UInt16 = 0
    /// Bytes of data segments in the entry.
    private(set) var size = 0
    /// The protection domain that its keys must be of.
    private(set) var domain: UInt32 = 0
    /// The completion queue for its entry, and the user index there.
    private(set) var completions: UInt32 = 0
    private(set) var userIndex: UInt32 = 0
    /// Bytes that its data segments have room for.
    private(set) var capacity = 0

    var bytes: UnsafeRawBufferPointer {
        guard let entry else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: entry[..<size])
    }

    mutating func room() -> UnsafeMutableRawBufferPointer {
        if let entry { return entry }
        let new = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 16)
        entry = new
        return new
    }

    mutating func begin(_ index: UInt16, size: Int, domain: UInt32, completions: UInt32, userIndex: UInt32) {
        self.index = index
        self.size = size
        self.domain = domain
        self.completions = completions
        self.userIndex = userIndex
        isActive = true
        capacity = 0
        let bytes = bytes
        var place = 0
        while place + WorkRequestLayout.data <= size, !DataSegment.endsList(bytes, at: place) {
            capacity += DataSegment(bytes, at: place).length
            place += WorkRequestLayout.data
        }
    }

    mutating func end() { isActive = false }

    mutating func free() {
        entry?.deallocate()
        entry = nil
        isActive = false
    }
}

extension ControlSegment {
    static let none = ControlSegment(opcode: 0, units: 0, flags: 0, immediate: 0)

    private init(opcode: UInt8, units: Int, flags: UInt8, immediate: UInt32) {
        self.opcode = opcode
        self.units = units
        self.flags = flags
        self.immediate = immediate
    }
}

extension DataSegment {
    /// Whether a receive request's list ends at a place.
    static func endsList(_ bytes: UnsafeRawBufferPointer, at place: Int) -> Bool {
        bytes.word(place + 4) == SpecialKey.terminator
    }
}
