import Glibc
import Kernel

/// A posted revision of the DMA_BUF_TPH series whose feature is known; v8's order of checks is not.
public enum TPHRevision: String, Sendable, CaseIterable {
    case v2, v3, v4, v5, v6, v7, v9, v10, v11

    /// Where the fields of the feature's data are and how wide; offsets from the data's start.
    struct Layout {
        let size: Int
        /// v2 has none: a SET always gives a tag.
        let flags: Int?
        let tag: Int
        let tagWidth: Int
        /// The 16-bit namespace.
        let extended: Int?
        let hint: Int
        /// Bytes that must be zero.
        let reserved: Range<Int>
    }

    var layout: Layout {
        switch self {
        case .v2: return Layout(size: 8, flags: nil, tag: 4, tagWidth: 2, extended: nil, hint: 6, reserved: 7..<8)
        case .v3: return Layout(size: 16, flags: 4, tag: 8, tagWidth: 2, extended: 10, hint: 12, reserved: 13..<16)
        case .v4, .v5: return Layout(size: 12, flags: 4, tag: 8, tagWidth: 1, extended: 10, hint: 9, reserved: 0..<0)
        default: return Layout(size: 12, flags: 4, tag: 10, tagWidth: 1, extended: 8, hint: 11, reserved: 0..<0)
        }
    }

    /// Which test of the exporting device comes before the operation bits are looked at.
    enum Gate { case none, requester, completer }

    var gate: Gate {
        switch self {
        case .v6: return .requester
        case .v9, .v10, .v11: return .completer
        default: return .none
        }
    }

    var checksHint: Bool { self != .v2 }
    var acceptsNoFlags: Bool { ![.v2, .v3, .v4, .v5].contains(self) }
    var isWrittenOnce: Bool { self == .v4 }
    /// From v7 on a 16-bit tag needs a completer that takes one.
    var checksNamespace: Bool { self == .v7 || gate == .completer }

    /// Whether mlx5 gives a steering table's entry back with the memory region. v2 forgets it; v7 keeps it for the pooled
    /// memory key, whose pool is never emptied here.
    var givesTagsBack: Bool { self != .v2 && self != .v7 }

    /// Functions a kernel with this revision has, and their modules (none for vmlinux).
    var symbols: [(name: String, module: String?)] {
        var list: [(String, String?)] = [("vfio_pci_core_feature_dma_buf_tph", "vfio_pci_core")]
        switch self {
        case .v2: list.append(("mlx5_st_alloc_index_by_tag", "mlx5_core"))
        case .v3: list += [("pcie_tph_get_st_width", nil), ("mlx5_st_alloc_index_by_tag", "mlx5_core")]
        case .v4, .v5: list += [("pcie_tph_enabled_req_type", nil), ("mlx5_st_alloc_index_by_tag", "mlx5_core")]
        case .v6:
            list += [
                ("pcie_tph_enabled_req_type", nil), ("pcie_tph_supported", nil),
                ("mlx5_st_alloc_index_by_tag", "mlx5_core"),
            ]
        case .v7:
            list += [
                ("pcie_tph_enabled_req_type", nil), ("pcie_tph_completer_type", nil), ("dma_buf_get_tph", nil),
                ("mlx5_st_get_index", "mlx5_core"),
            ]
        default:
            list += [
                ("pcie_tph_enabled_req_type", nil), ("pcie_tph_completer_type", nil), ("dma_buf_get_pci_tph", nil),
                ("mlx5_st_get_index", "mlx5_core"),
            ]
        }
        return list
    }
}

/// What a TPH SET leaves in a dma-buf: two independent tags, whose flags say which were given, and one hint.
struct TPHMetadata: Equatable {
    /// 1 for the tag, 2 for the one of 16 bits.
    var flags: UInt32
    var tag: UInt16
    var extended: UInt16
    var hint: UInt8

    /// drivers/vfio/pci/vfio_pci_dmabuf.c:get_tph, for an importer whose requester is 8 or 16 bits wide: v2 looks whether
    /// its one tag fits, later revisions give the tag of that namespace.
    func tag(for width: Int, _ revision: TPHRevision) throws(Errno) -> UInt16 {
        guard revision == .v2 else {
            guard flags & (width == 16 ? 2 : 1) != 0 else { throw Errno(EOPNOTSUPP) }
            return width == 16 ? extended : tag
        }
        guard width == 16 || tag <= 0xff else { throw Errno(EINVAL) }
        return tag
    }
}
