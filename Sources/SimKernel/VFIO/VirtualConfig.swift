/// Configuration space as a program sees it: bits of the hardware, and bits of its own in their place.
/// drivers/vfio/pci/vfio_pci_config.c: vconfig and struct perm_bits
struct VirtualConfig {
    /// vconfig. Of these bytes those bits count that are virtual.
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
        for (place, byte) in map.changed { bytes[place] = byte }
        // unassigned_perms: straight to the hardware
        for place in bytes.indices where map.owners[place] == .nothing { isWritable[place] = 0xff }
        allowHeader()
        for (place, owner) in map.shown {
            switch owner {
            case .capability(let id): allowCapability(id, map.start(of: place), place)
            case .extended(let id): allowExtended(id, place)
            case .header, .nothing: break
            }
        }
    }

    private mutating func set(_ place: Int, _ size: Int, virtual: UInt32, writable: UInt32) {
        for byte in 0..<size where place + byte < bytes.count {
            isVirtual[place + byte] = UInt8(truncatingIfNeeded: virtual >> (8 * UInt32(byte)))
            isWritable[place + byte] = UInt8(truncatingIfNeeded: writable >> (8 * UInt32(byte)))
        }
    }

    /// init_pci_cap_basic_perm
    private mutating func allowHeader() {
        set(0x00, 4, virtual: .max, writable: 0)
        set(0x04, 2, virtual: 0x0400, writable: 0xffff)
        set(0x06, 2, virtual: 0x0010, writable: 0)
        for place in [0x0c, 0x0d, 0x0f] { set(place, 1, virtual: 0, writable: 0xff) }
        for place in stride(from: 0x10, to: 0x28, by: 4) { set(place, 4, virtual: .max, writable: .max) }
        set(0x30, 4, virtual: .max, writable: .max)
        set(0x34, 1, virtual: 0xff, writable: 0)
        set(0x3c, 1, virtual: 0xff, writable: 0xff)
        set(0x3d, 1, virtual: 0xff, writable: 0)
    }

    private mutating func allowCapability(_ id: UInt8, _ start: Int, _ place: Int) {
        set(start + 1, 1, virtual: 0xff, writable: 0)
        switch id {
        case 0x01:
            // init_pci_cap_pm_perm; vfio_update_pm_vconfig_bytes: no power management events
            set(place + 2, 2, virtual: 0xf800, writable: 0)
            set(place + 4, 4, virtual: 0x8100, writable: ~0x8103)
            bytes[place + 3] &= 0x07
            bytes[place + 5] &= 0x7e
        case 0x03: set(place + 2, 6, virtual: .max, writable: .max)
        case 0x05: allowMSI(place)
        case 0x09:
            // vfio_raw_config_write, with what vfio_direct_config_read hides
            for byte in place..<bytes.count where map.owners[byte] == .capability(id) && byte != start + 1 {
                isWritable[byte] = 0xff
            }
        case 0x10:
            // init_pci_cap_exp_perm
            set(place + 8, 2, virtual: 0xf0e0, writable: ~0x0200)
            if map.owners[min(place + 0x28, bytes.count - 1)] == .capability(id) {
                set(place + 0x28, 2, virtual: 0, writable: ~0x0020)
            }
        case 0x13: set(place + 4, 1, virtual: 1, writable: 1)
        default: break
        }
    }

    /// init_pci_cap_msi_perm
    private mutating func allowMSI(_ place: Int) {
        let is64Bit = bytes[place + 2] & 0x80 != 0
        set(place + 2, 1, virtual: 0xff, writable: 0xff)
        set(place + 4, 4, virtual: .max, writable: .max)
        if is64Bit { set(place + 8, 4, virtual: .max, writable: .max) }
        set(place + (is64Bit ? 12 : 8), 2, virtual: .max, writable: .max)
        guard bytes[place + 3] & 1 != 0 else { return }
        for word in [is64Bit ? 16 : 12, is64Bit ? 20 : 16] { set(place + word, 4, virtual: 0, writable: .max) }
    }

    private mutating func allowExtended(_ id: UInt16, _ place: Int) {
        set(place, 4, virtual: .max, writable: 0)
        switch id {
        case 0x01:
            // init_pci_ext_cap_err_perm
            for status in [4, 8, 12] { set(place + status, 4, virtual: 0, writable: 0x03ff_f031) }
            for status in [16, 20] { set(place + status, 4, virtual: 0, writable: 0xf1c1) }
            set(place + 24, 4, virtual: 0, writable: 0x140)
        case 0x04: set(place + 8, 1, virtual: 0, writable: 0xff)
        case 0x0b, 0x23:
            for byte in (place + 4)..<bytes.count where map.owners[byte] == .extended(id) { isWritable[byte] = 0xff }
        default: break
        }
    }

    // MARK: Access

    /// vfio_default_config_read
    func read(_ place: Int, _ hardware: ConfigSpace) -> UInt8 {
        hardware.bytes[place] & ~isVirtual[place] | bytes[place] & isVirtual[place]
    }

    /// vfio_default_config_write
    mutating func write(_ value: UInt32, _ size: Int, at place: Int, _ hardware: inout ConfigSpace) {
        var through: UInt32 = 0
        var isThrough = false
        for byte in 0..<size {
            let new = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
            let writable = isWritable[place + byte]
            let own = writable & isVirtual[place + byte]
            bytes[place + byte] = bytes[place + byte] & ~own | new & own
            let real = writable & ~isVirtual[place + byte]
            isThrough = isThrough || real != 0
            through |= UInt32(hardware.bytes[place + byte] & ~real | new & real) << (8 * UInt32(byte))
        }
        if isThrough { hardware.write(through, size, at: place) }
    }

    /// What vfio-pci itself changes of its copy.
    subscript(_ place: Int) -> UInt8 {
        get { bytes[place] }
        set { bytes[place] = newValue }
    }

    subscript<Value: FixedWidthInteger & BitwiseCopyable>(_ place: Int, _ type: Value.Type) -> Value {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: Value.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: place, as: Value.self) } }
    }
}
