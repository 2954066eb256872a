import CKernel
import Glibc
import Kernel

/// Region 7: configuration space as vfio-pci shows it. drivers/vfio/pci/vfio_pci_config.c
extension VFIODevice {
    private static let bars = PCI_BASE_ADDRESS_0..<PCI_CARDBUS_CIS

    /// vfio_pci_config_rw_single: a request that leaves the space at all gives EFAULT
    private func check(_ count: Int, _ offset: UInt64) throws(Errno) {
        let size = UInt64(config.bytes.count)
        guard offset < size, UInt64(count) <= size - offset else { throw Errno(EFAULT) }
    }

    func readConfig(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for index in 0..<bytes.count { bytes[index] = config.read(Int(offset) + index, function.config) }
        return bytes.count
    }

    func writeConfig(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for (part, size) in config.map.parts(Int(offset), bytes.count) {
            let start = part - Int(offset)
            var value: UInt32 = 0
            withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes[start..<(start + size)]) }
            write(part, size, value)
        }
        return bytes.count
    }

    private func write(_ offset: Int, _ size: Int, _ value: UInt32) {
        let start = config.map.start(of: offset)
        switch config.map.owners[offset] {
        case .header: writeHeader(offset, size, value)
        case .capability(UInt8(PCI_CAP_ID_PM)):
            store(offset, size, value)
            if offset == start + PCI_PM_CTRL {
                setPowerState(UInt8(truncatingIfNeeded: Int(value) & PCI_PM_CTRL_STATE_MASK))
            }
        case .capability(UInt8(PCI_CAP_ID_MSI)): writeMSI(start, offset, size, value)
        case .capability(UInt8(PCI_CAP_ID_EXP)):
            store(offset, size, value)
            let capability = Int(function.config[start + PCI_EXP_DEVCAP, UInt32.self])
            // The upper byte of device control.
            actOnReset(
                start + PCI_EXP_DEVCTL + 1, UInt8(PCI_EXP_DEVCTL_BCR_FLR >> 8),
                isThere: capability & PCI_EXP_DEVCAP_FLR != 0)
        case .capability(UInt8(PCI_CAP_ID_AF)):
            store(offset, size, value)
            let needed = UInt8(PCI_AF_CAP_TP | PCI_AF_CAP_FLR)
            actOnReset(
                start + PCI_AF_CTRL, UInt8(PCI_AF_CTRL_FLR),
                isThere: function.config.bytes[start + PCI_AF_CAP] & needed == needed)
        case .capability, .extended, .nothing: store(offset, size, value)
        }
    }

    private func store(_ offset: Int, _ size: Int, _ value: UInt32) {
        config.write(value, size, at: offset, &function.config)
    }

    // vfio_basic_config_write
    private func writeHeader(_ offset: Int, _ size: Int, _ value: UInt32) {
        if offset == PCI_COMMAND {
            if value & UInt32(ConfigSpace.memoryEnable) == 0 { moveBuffers(revoked: true) }
            store(offset, size, value)
            let decoding = UInt16(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)
            config[offset, UInt16.self] =
                config[offset, UInt16.self] & ~decoding | UInt16(truncatingIfNeeded: value) & decoding
            restoreBuffers()
        } else {
            store(offset, size, value)
        }
        if offset == PCI_COMMAND || offset == PCI_COMMAND + 1 {
            disableLine(config[PCI_COMMAND, UInt16.self] & UInt16(PCI_COMMAND_INTX_DISABLE) != 0)
        }
        let rom = PCI_ROM_ADDRESS..<(PCI_ROM_ADDRESS + 4)
        if VFIODevice.bars.contains(offset) || rom.contains(offset) { fixBARs() }
    }

    // vfio_pm_config_write, vfio_lock_and_set_power_state
    private func setPowerState(_ state: UInt8) {
        if state == 3 { moveBuffers(revoked: true) }
        power(to: state)
        restoreBuffers()
    }

    // vfio_exp_config_write, vfio_af_config_write: the function-level reset bit acts and reads as zero
    private func actOnReset(_ offset: Int, _ bit: UInt8, isThere: Bool) {
        guard config[offset] & bit != 0 else { return }
        config[offset] &= ~bit
        if isThere { resetFunction() }
    }

    // vfio_msi_config_write: enabling is SET_IRQS's, and so is how many messages there may be
    private func writeMSI(_ start: Int, _ offset: Int, _ size: Int, _ value: UInt32) {
        store(offset, size, value)
        let register = start + PCI_MSI_FLAGS
        guard offset <= register, offset + size >= register else { return }
        let (enable, count) = (UInt8(PCI_MSI_FLAGS_ENABLE), UInt8(PCI_MSI_FLAGS_QSIZE))
        var flags = config[register]
        if interrupts.type != .msi { flags &= ~enable }
        if (flags & count) >> 4 > interrupts.messagesLog2 { flags = flags & ~count | interrupts.messagesLog2 << 4 }
        config[register] = flags
        function.config.isMSIEnabled = flags & enable != 0
    }

    /// vfio_bar_fixup: a BAR keeps the address bits its size leaves and shows its own flags. No function here has a ROM.
    func fixBARs() {
        for index in 0..<6 {
            let offset = PCI_BASE_ADDRESS_0 + 4 * index
            config[offset, UInt32.self] = fixed(config[offset, UInt32.self], index)
        }
        config[PCI_ROM_ADDRESS, UInt32.self] = 0
    }

    private func fixed(_ value: UInt32, _ index: Int) -> UInt32 {
        if let bar = function.bar(index) {
            let size = bar.kind == .io ? bar.size : max(bar.size, 16)
            let flags = function.config[PCI_BASE_ADDRESS_0 + 4 * index, UInt32.self] & (bar.kind == .io ? 3 : 15)
            return value & ~UInt32(truncatingIfNeeded: size.nextPowerOfTwo - 1) | flags
        }
        if index > 0, let bar = function.bar(index - 1), bar.is64Bit {
            return value & ~UInt32(truncatingIfNeeded: (bar.size.nextPowerOfTwo - 1) >> 32)
        }
        return 0
    }
}
