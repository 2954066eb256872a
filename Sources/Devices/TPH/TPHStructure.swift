import Kernel

/// The four structures that the revisions used; several revisions share one. The one description of each: it encodes,
/// decodes for traces, and is what BTF is held against.
enum TPHStructure: Hashable, Sendable, CaseIterable {
    /// Named by the first revision that has it.
    case v2, v3, v4, v6

    /// What a field means.
    enum Member: CaseIterable { case descriptor, flags, st, stExt, ph }

    // VFIO_DMA_BUF_TPH_ST and _ST_EXT, alike in every revision that has flags.
    static let stFlag: UInt32 = 1
    static let stExtFlag: UInt32 = 2

    var members: [(member: Member, field: Field)] {
        switch self {
        case .v2: Self.v2Members
        case .v3: Self.v3Members
        case .v4: Self.v4Members
        case .v6: Self.v6Members
        }
    }

    var layout: Layout { Layout(size: size, members.map(\.field)) }

    /// Not the end of the last field: reserved bytes follow it in some.
    private var size: Int {
        switch self {
        case .v2: 8
        case .v3: 16
        case .v4, .v6: 12
        }
    }

    /// As refusals and reports call it.
    var description: String {
        switch self {
        case .v2: "8 bytes"
        case .v3: "16 bytes"
        case .v4: "12 bytes, layout A"
        case .v6: "12 bytes, layout B"
        }
    }

    func has(_ member: Member) -> Bool { members.contains { $0.member == member } }

    private static let v2Members = [
        descriptor, field(.st, at: 4, size: 2), field(.ph, at: 6, size: 1),
    ]
    private static let v3Members = [
        descriptor, flags, field(.st, at: 8, size: 2), field(.stExt, at: 10, size: 2), field(.ph, at: 12, size: 1),
    ]
    private static let v4Members = [
        descriptor, flags, field(.st, at: 8, size: 1), field(.ph, at: 9, size: 1), field(.stExt, at: 10, size: 2),
    ]
    private static let v6Members = [
        descriptor, flags, field(.stExt, at: 8, size: 2), field(.st, at: 10, size: 1), field(.ph, at: 11, size: 1),
    ]

    private static let descriptor = field(.descriptor, at: 0, size: 4)
    private static let flags = field(.flags, at: 4, size: 4)

    private static func field(_ member: Member, at offset: Int, size: Int) -> (member: Member, field: Field) {
        let (name, format): (String, Format) =
            switch member {
            case .descriptor: ("dmabuf_fd", .descriptor)
            case .flags: ("flags", .flags([.init(Int(stFlag), "ST"), .init(Int(stExtFlag), "ST_EXT")]))
            case .st: ("steering_tag", .hexadecimal)
            case .stExt: ("steering_tag_ext", .hexadecimal)
            case .ph: ("ph", .names(ProcessingHint.allCases.map { .init(Int($0.rawValue), $0.name) }))
            }
        return (member, Field(name, offset: offset, size: size, signed: member == .descriptor, .input, format))
    }
}
