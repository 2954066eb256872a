import CKernel

/// Configuration space as a program sees it: bits of the hardware, and bits that vfio-pci keeps itself.
/// drivers/vfio/pci/vfio_pci_config.c: vconfig and struct perm_bits
struct VirtualConfig {
    /// vconfig. Only the bits set in `isVirtual` are used of it.
    private(set) var bytes: [UInt8]
    let map: ConfigMap
    /// perm_bits.virt
    private var isVirtual: [UInt8]
    /// perm_bits.write. A write of other bits is lost and reported as done (the TPH capability's too: ecap_perms).
    private var isWritable: [UInt8]

    /// vfio_config_init
    init(_ hardware: ConfigSpace) {
        bytes = hardware.bytes
        map = hardware.map
        isVirtual = [UInt8](repeating: 0, count: bytes.count)
        isWritable = [UInt8](repeating: 0, count: bytes.count)
        for (offset, byte) in map.changed { bytes[offset] = byte }
        // unassigned_perms: straight to the hardware
        for offset in bytes.indices where map.owners[offset] == .nothing { isWritable[offset] = 0xff }
        allowHeader()
        for (offset, owner) in map.shown {
            switch owner {
            case .capability(let id): allowCapability(id, map.start(of: offset), offset)
            case .extended(let id): allowExtended(id, offset)
            case .header, .nothing: break
            }
        }
    }

    private mutating func set(_ offset: Int, _ size: Int, virtual: UInt32, writable: UInt32) {
        for byte in 0..<size where offset + byte < bytes.count {
            isVirtual[offset + byte] = UInt8(truncatingIfNeeded: virtual >> (8 * UInt32(byte)))
            isWritable[offset + byte] = UInt8(truncatingIfNeeded: writable >> (8 * UInt32(byte)))
        }
    }

    /// init_pci_cap_basic_perm
    private mutating func allowHeader() {
        set(PCI_VENDOR_ID, 4, virtual: .max, writable: 0)
        set(PCI_COMMAND, 2, virtual: UInt32(PCI_COMMAND_INTX_DISABLE), writable: 0xffff)
        set(PCI_STATUS, 2, virtual: UInt32(PCI_STATUS_CAP_LIST), writable: 0)
        for offset in [PCI_CACHE_LINE_SIZE, PCI_LATENCY_TIMER, PCI_BIST] { set(offset, 1, virtual: 0, writable: 0xff) }
        for offset in stride(from: PCI_BASE_ADDRESS_0, to: PCI_CARDBUS_CIS, by: 4) {
            set(offset, 4, virtual: .max, writable: .max)
        }
        set(PCI_ROM_ADDRESS, 4, virtual: .max, writable: .max)
        set(PCI_CAPABILITY_LIST, 1, virtual: 0xff, writable: 0)
        set(PCI_INTERRUPT_LINE, 1, virtual: 0xff, writable: 0xff)
        set(PCI_INTERRUPT_PIN, 1, virtual: 0xff, writable: 0)
    }

    private mutating func allowCapability(_ id: UInt8, _ start: Int, _ offset: Int) {
        let next = start + PCI_CAP_LIST_NEXT
        set(next, 1, virtual: 0xff, writable: 0)
        switch Int(id) {
        case PCI_CAP_ID_PM: allowPower(offset)
        // init_pci_cap_vpd_perm: address and data
        case PCI_CAP_ID_VPD: set(offset + 2, 6, virtual: .max, writable: .max)
        case PCI_CAP_ID_MSI: allowMSI(offset)
        case PCI_CAP_ID_VNDR:
            // vfio_raw_config_write, with what vfio_direct_config_read hides
            for byte in offset..<bytes.count where map.owners[byte] == .capability(id) && byte != next {
                isWritable[byte] = 0xff
            }
        case PCI_CAP_ID_EXP:
            // init_pci_cap_exp_perm: payload, read request size and function-level reset are virtual; phantom functions
            // and ARI forwarding stay as they are
            let own = PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_BCR_FLR
            set(offset + PCI_EXP_DEVCTL, 2, virtual: UInt32(own), writable: ~UInt32(PCI_EXP_DEVCTL_PHANTOM))
            if map.owners[min(offset + PCI_EXP_DEVCTL2, bytes.count - 1)] == .capability(id) {
                set(offset + PCI_EXP_DEVCTL2, 2, virtual: 0, writable: ~UInt32(PCI_EXP_DEVCTL2_ARI))
            }
        // init_pci_cap_af_perm
        case PCI_CAP_ID_AF:
            set(offset + PCI_AF_CTRL, 1, virtual: UInt32(PCI_AF_CTRL_FLR), writable: UInt32(PCI_AF_CTRL_FLR))
        default: break
        }
    }

    /// init_pci_cap_pm_perm; vfio_update_pm_vconfig_bytes: no power management events
    private mutating func allowPower(_ offset: Int) {
        let events = UInt32(PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS)
        set(offset + PCI_PM_PMC, 2, virtual: UInt32(PCI_PM_CAP_PME_MASK), writable: 0)
        set(offset + PCI_PM_CTRL, 4, virtual: events, writable: ~(events | UInt32(PCI_PM_CTRL_STATE_MASK)))
        self[offset + PCI_PM_PMC, UInt16.self] &= ~UInt16(PCI_PM_CAP_PME_MASK)
        self[offset + PCI_PM_CTRL, UInt16.self] &= ~UInt16(events)
    }

    /// init_pci_cap_msi_perm
    private mutating func allowMSI(_ offset: Int) {
        let flags = Int(self[offset + PCI_MSI_FLAGS, UInt16.self])
        let is64Bit = flags & PCI_MSI_FLAGS_64BIT != 0
        set(offset + PCI_MSI_FLAGS, 1, virtual: 0xff, writable: 0xff)
        set(offset + PCI_MSI_ADDRESS_LO, 4, virtual: .max, writable: .max)
        if is64Bit { set(offset + PCI_MSI_ADDRESS_HI, 4, virtual: .max, writable: .max) }
        set(offset + (is64Bit ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), 2, virtual: .max, writable: .max)
        guard flags & PCI_MSI_FLAGS_MASKBIT != 0 else { return }
        let masks = is64Bit ? [PCI_MSI_MASK_64, PCI_MSI_PENDING_64] : [PCI_MSI_MASK_32, PCI_MSI_PENDING_32]
        for register in masks { set(offset + register, 4, virtual: 0, writable: .max) }
    }

    private mutating func allowExtended(_ id: UInt16, _ offset: Int) {
        set(offset, 4, virtual: .max, writable: 0)
        switch Int(id) {
        case PCI_EXT_CAP_ID_ERR:
            // init_pci_ext_cap_err_perm: the errors that it names
            for register in [PCI_ERR_UNCOR_STATUS, PCI_ERR_UNCOR_MASK, PCI_ERR_UNCOR_SEVER] {
                set(offset + register, 4, virtual: 0, writable: 0x03ff_f031)
            }
            for register in [PCI_ERR_COR_STATUS, PCI_ERR_COR_MASK] {
                set(offset + register, 4, virtual: 0, writable: 0xf1c1)
            }
            set(offset + PCI_ERR_CAP, 4, virtual: 0, writable: 0x140)
        // init_pci_ext_cap_pwr_perm: the data select register
        case PCI_EXT_CAP_ID_PWR: set(offset + PCI_PWR_DATA, 1, virtual: 0, writable: 0xff)
        case PCI_EXT_CAP_ID_VNDR, PCI_EXT_CAP_ID_DVSEC:
            for byte in (offset + 4)..<bytes.count where map.owners[byte] == .extended(id) { isWritable[byte] = 0xff }
        default: break
        }
    }

    // MARK: Access

    /// vfio_default_config_read
    func read(_ offset: Int, _ hardware: ConfigSpace) -> UInt8 {
        hardware.bytes[offset] & ~isVirtual[offset] | bytes[offset] & isVirtual[offset]
    }

    /// vfio_default_config_write
    mutating func write(_ value: UInt32, _ size: Int, at offset: Int, _ hardware: inout ConfigSpace) {
        var through: UInt32 = 0
        var isThrough = false
        for byte in 0..<size {
            let new = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
            let writable = isWritable[offset + byte]
            let own = writable & isVirtual[offset + byte]
            bytes[offset + byte] = bytes[offset + byte] & ~own | new & own
            let real = writable & ~isVirtual[offset + byte]
            isThrough = isThrough || real != 0
            through |= UInt32(hardware.bytes[offset + byte] & ~real | new & real) << (8 * UInt32(byte))
        }
        if isThrough { hardware.write(through, size, at: offset) }
    }

    /// What vfio-pci itself changes of its copy.
    subscript(_ offset: Int) -> UInt8 {
        get { bytes[offset] }
        set { bytes[offset] = newValue }
    }

    subscript<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ type: Value.Type) -> Value {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: offset, as: Value.self) } }
    }
}
