/// Where a datagram goes: include/linux/mlx5/qp.h:mlx5_av, whose second part only an extended one has.
struct AddressVector {
    var queueKey: UInt32
    var queuePair: UInt32
    var serviceLevel: UInt8
    var lid: UInt16
    /// Fields of the global route header; nil without one.
    var route: (gid: GID, trafficClass: UInt8, hopLimit: UInt8, flowLabel: UInt32, sourceIndex: Int)?
    /// Bytes of it.
    var size: Int

    /// Decodes the vector at byte `place` of an entry; nil where the entry ends before it does.
    init?(_ bytes: UnsafeRawBufferPointer, at place: Int) {
        guard place + WorkRequestLayout.baseVector <= bytes.count else { return nil }
        queueKey = bytes.word(place)
        let number = bytes.word(place + 8)
        queuePair = number & 0xff_ffff
        serviceLevel = bytes[place + 12] & 0xf
        lid = UInt16(bytes[place + 14]) << 8 | UInt16(bytes[place + 15])
        size = WorkRequestLayout.baseVector
        guard number >> 31 == 1 else { return }
        size = WorkRequestLayout.extendedVector
        guard place + size <= bytes.count else { return nil }
        let flow = bytes.word(place + 28)
        guard flow >> 30 & 1 == 1 else { return }
        route = (
            GID(bytes, at: place + 32), bytes[place + 26], bytes[place + 27], flow & 0xf_ffff, Int(flow >> 20 & 0xff)
        )
    }
}
