/// What an UMR request changes: include/linux/mlx5/qp.h:mlx5_wqe_umr_ctrl_seg, and behind it a context like mkc.
struct UMRControl {
    /// Bytes of control segment, UMR control segment and context, before what translations come from.
    static let headers = WorkRequestLayout.control + WorkRequestLayout.umrControl + MemoryKeyContext.size

    var flags: UInt8
    /// 16-byte entries of translations.
    var count: Int
    /// Which fields of the context change: MLX5_MKEY_MASK_*
    var mask: UInt64
    /// 16-byte entries before the first one that changes.
    var offset: Int

    /// The one of an entry whose headers are all there.
    init(_ bytes: UnsafeRawBufferPointer) {
        let place = WorkRequestLayout.control
        flags = bytes[place]
        count = Int(bytes.word(place + 4) >> 16)
        mask = bytes.longWord(place + 8)
        let low = Int(bytes.word(place + 4) & 0xffff)
        offset = flags & 1 << 4 != 0 ? Int(bytes.word(place + 16)) << 16 | low : 0
    }

    /// Whether translations follow in the entry, or else lie where its data segment says.
    var isInline: Bool { flags & 1 << 7 != 0 }
    /// MLX5_UMR_CHECK_NOT_FREE means that the key must be free to be changed, MLX5_UMR_CHECK_FREE that it must not.
    var mustBeFree: Bool { flags >> 5 & 3 == 1 }
    var mustNotBeFree: Bool { flags >> 5 & 3 == 2 }
    /// Whether the key must be bound to the queue pair that asks.
    var mustBeBound: Bool { flags & 1 << 3 != 0 }
    var changesDomain: Bool { mask & 1 << 7 != 0 }

    /// Which of the page size's bits change: the lower five by one bit of the mask, the highest by another.
    var pageSizeMask: UInt64 { (mask >> 1 & 1) * 0x1f | (mask >> 42 & 1) << 5 }

    /// The fields of each other bit of the mask.
    static let fields: [(bit: UInt64, fields: [Field])] = [
        (1 << 0, [MemoryKeyContext.length, MemoryKeyContext.length64]),
        (1 << 6, [MemoryKeyContext.startAddr]),
        (1 << 7, [MemoryKeyContext.pd]),
        (1 << 8, [MemoryKeyContext.enRinval]),
        (1 << 13, [MemoryKeyContext.variant]),
        (1 << 14, [MemoryKeyContext.qpn]),
        (1 << 17, [MemoryKeyContext.lr]),
        (1 << 18, [MemoryKeyContext.lw]),
        (1 << 19, [MemoryKeyContext.rr]),
        (1 << 20, [MemoryKeyContext.rw]),
        (1 << 21, [MemoryKeyContext.a]),
        (1 << 23, [MemoryKeyContext.smallFenceOnRdmaReadResponse]),
        (1 << 25, [MemoryKeyContext.relaxedOrderingWrite]),
        (1 << 29, [MemoryKeyContext.free]),
        (1 << 47, [MemoryKeyContext.relaxedOrderingRead]),
    ]
}
