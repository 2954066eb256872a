import CKernel
import Glibc
import Kernel

/// The steering tags an mlx5 device sends: a table in configuration space, or the tags themselves in direct mode.
/// drivers/net/ethernet/mellanox/mlx5/core/lib/st.c
final class SteeringTable {
    private struct Entry {
        let tag: UInt16
        var references: Int
    }

    let function: PCIFunction
    /// The enabled requester type.
    let requester: TPHSupport
    /// Entries, of which the first is never used; 0 in direct mode.
    let size: Int
    private var entries: [Int: Entry] = [:]

    /// mlx5_st_create, drivers/pci/tph.c:pcie_enable_tph. nil where the device gets no TPH.
    init?(_ nic: Topology.NIC, _ function: PCIFunction?, _ fabric: PCIeFabric) {
        guard nic.driver == .mlx5, let function, function.config.hasHints, nic.steeringTable != 1,
            let enabled = TPHSupport.enabled(of: nic.requester, by: fabric.hintLimit(of: function.device.address)),
            enabled != .none
        else { return nil }
        requester = enabled
        self.function = function
        size = max(0, min(nic.steeringTable, ConfigSpace.longestSteeringTable))
        function.config.enableHints(requester, tableSize: size)
    }

    /// mlx5_st_alloc_index_by_tag, mlx5_st_get_index
    func take(_ tag: UInt16) throws(Errno) -> UInt16 {
        guard size > 0 else { return tag }
        if let index = entries.first(where: { $0.value.tag == tag })?.key {
            entries[index]?.references += 1
            return UInt16(truncatingIfNeeded: index)
        }
        guard let index = (1..<size).first(where: { entries[$0] == nil }) else { throw Errno(EBUSY) }
        entries[index] = Entry(tag: tag, references: 1)
        function.config.setSteeringTag(tag, at: index)
        return UInt16(truncatingIfNeeded: index)
    }

    /// mlx5_st_dealloc_index. The tag stays in configuration space.
    func giveBack(_ index: UInt16) {
        guard let entry = entries[Int(index)] else { return }
        entries[Int(index)] = entry.references > 1 ? Entry(tag: entry.tag, references: entry.references - 1) : nil
    }
}

/// The TPH requester capability: include/uapi/linux/pci_regs.h, PCI_TPH_CAP.
extension ConfigSpace {
    /// The most entries that fit the capability.
    static let longestSteeringTable = 64

    var hasHints: Bool {
        bytes.count == PCI_CFG_SPACE_EXP_SIZE && self[ConfigSpace.tph, UInt16.self] == UInt16(PCI_EXT_CAP_ID_TPH)
    }

    /// drivers/pci/tph.c:pcie_enable_tph in device-specific mode, and where the device keeps its table.
    mutating func enableHints(_ requester: TPHSupport, tableSize: Int) {
        if tableSize > 0 {
            self[ConfigSpace.tph + PCI_TPH_CAP, UInt32.self] |= UInt32(tableSize - 1) << 16 | UInt32(PCI_TPH_LOC_CAP)
        }
        let enabled = requester == .extended ? PCI_TPH_REQ_EXT_TPH : PCI_TPH_REQ_TPH_ONLY
        self[ConfigSpace.tph + PCI_TPH_CTRL, UInt32.self] = UInt32(enabled << 8 | PCI_TPH_ST_DS_MODE)
    }

    /// What the control register lets the function send.
    var enabledHints: TPHSupport {
        guard hasHints else { return .none }
        switch Int(self[ConfigSpace.tph + PCI_TPH_CTRL, UInt32.self]) & PCI_TPH_CTRL_REQ_EN_MASK {
        case PCI_TPH_REQ_TPH_ONLY << 8: return .tph
        case PCI_TPH_REQ_EXT_TPH << 8: return .extended
        default: return .none
        }
    }

    func steeringTag(at index: Int) -> UInt16 {
        self[ConfigSpace.tph + PCI_TPH_BASE_SIZEOF + 2 * index, UInt16.self]
    }

    /// drivers/pci/tph.c:pcie_tph_set_st_entry
    mutating func setSteeringTag(_ tag: UInt16, at index: Int) {
        self[ConfigSpace.tph + PCI_TPH_BASE_SIZEOF + 2 * index, UInt16.self] = tag
    }
}
