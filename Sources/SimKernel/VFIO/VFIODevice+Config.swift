import Glibc
import Kernel

/// Region 7: configuration space as vfio-pci shows it. drivers/vfio/pci/vfio_pci_config.c
extension VFIODevice {
    private static let bars = 0x10..<0x28
    private static let interruptDisable: UInt16 = 0x0400

    /// vfio_pci_config_rw_single: a request that leaves the space at all gives EFAULT
    private func check(_ count: Int, _ offset: UInt64) throws(Errno) {
        let size = UInt64(config.bytes.count)
        guard offset < size, UInt64(count) <= size - offset else { throw Errno(EFAULT) }
    }

    func readConfig(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for place in 0..<bytes.count { bytes[place] = config.read(Int(offset) + place, function.config) }
        return bytes.count
    }

    func writeConfig(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for (place, size) in config.map.parts(Int(offset), bytes.count) {
            let start = place - Int(offset)
            var value: UInt32 = 0
            withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes[start..<(start + size)]) }
            write(place, size, value)
        }
        return bytes.count
    }

    private func write(_ place: Int, _ size: Int, _ value: UInt32) {
        let start = config.map.start(of: place)
        switch config.map.owners[place] {
        case .header: writeHeader(place, size, value)
        case .capability(0x01):
            store(place, size, value)
            if place == start + 4 { setPowerState(UInt8(truncatingIfNeeded: value & 3)) }
        case .capability(0x05): writeMSI(start, place, size, value)
        case .capability(0x10):
            store(place, size, value)
            actOnReset(start + 9, 0x80, isThere: function.config[start + 4, UInt32.self] & 1 << 28 != 0)
        case .capability(0x13):
            store(place, size, value)
            actOnReset(start + 4, 0x01, isThere: function.config.bytes[start + 3] & 3 == 3)
        case .capability, .extended, .nothing: store(place, size, value)
        }
    }

    private func store(_ place: Int, _ size: Int, _ value: UInt32) {
        config.write(value, size, at: place, &function.config)
    }

    // vfio_basic_config_write
    private func writeHeader(_ place: Int, _ size: Int, _ value: UInt32) {
        if place == ConfigSpace.command {
            if value & UInt32(ConfigSpace.memoryEnable) == 0 { moveBuffers(revoked: true) }
            store(place, size, value)
            let decoding: UInt16 = 3
            config[place, UInt16.self] =
                config[place, UInt16.self] & ~decoding | UInt16(truncatingIfNeeded: value) & decoding
            restoreBuffers()
        } else {
            store(place, size, value)
        }
        if place == ConfigSpace.command || place == ConfigSpace.command + 1 {
            disableLine(config[ConfigSpace.command, UInt16.self] & VFIODevice.interruptDisable != 0)
        }
        if VFIODevice.bars.contains(place) || (0x30..<0x34).contains(place) { fixBARs() }
    }

    // vfio_pm_config_write, vfio_lock_and_set_power_state
    private func setPowerState(_ state: UInt8) {
        if state == 3 { moveBuffers(revoked: true) }
        power(to: state)
        restoreBuffers()
    }

    // vfio_exp_config_write, vfio_af_config_write: the function-level reset bit acts and reads as zero
    private func actOnReset(_ place: Int, _ bit: UInt8, isThere: Bool) {
        guard config[place] & bit != 0 else { return }
        config[place] &= ~bit
        if isThere { resetFunction() }
    }

    // vfio_msi_config_write: enabling is SET_IRQS's, and so is how many messages there may be
    private func writeMSI(_ start: Int, _ place: Int, _ size: Int, _ value: UInt32) {
        store(place, size, value)
        guard place <= start + 2, place + size >= start + 2 else { return }
        var flags = config[start + 2]
        if interrupts.type != .msi { flags &= ~1 }
        if flags >> 4 & 7 > interrupts.messagesLog2 { flags = flags & ~0x70 | interrupts.messagesLog2 << 4 }
        config[start + 2] = flags
        function.config.isMSIEnabled = flags & 1 != 0
    }

    /// vfio_bar_fixup: a BAR keeps the address bits its size leaves and shows its own flags. No function here has a ROM.
    func fixBARs() {
        for index in 0..<6 {
            let place = 0x10 + 4 * index
            config[place, UInt32.self] = fixed(config[place, UInt32.self], index)
        }
        config[0x30, UInt32.self] = 0
    }

    private func fixed(_ value: UInt32, _ index: Int) -> UInt32 {
        if let bar = function.bar(index) {
            let size = bar.kind == .io ? bar.size : max(bar.size, 16)
            let flags = function.config[0x10 + 4 * index, UInt32.self] & (bar.kind == .io ? 3 : 15)
            return value & ~UInt32(truncatingIfNeeded: size.nextPowerOfTwo - 1) | flags
        }
        if index > 0, let bar = function.bar(index - 1), bar.is64Bit {
            return value & ~UInt32(truncatingIfNeeded: (bar.size.nextPowerOfTwo - 1) >> 32)
        }
        return 0
    }
}
