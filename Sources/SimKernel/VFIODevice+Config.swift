import Glibc
import Kernel

/// Region 7: configuration space as vfio-pci shows it. drivers/vfio/pci/vfio_pci_config.c
extension VFIODevice {
    private static let bars = 0x10..<0x28
    /// I/O, memory, master, SERR and INTx disable; QEMU's functions do not keep parity.
    private static let commandBits: UInt16 = 0x0507

    /// vfio_config_do_rw: a request that leaves the space at all gives EFAULT
    private func check(_ count: Int, _ offset: UInt64) throws(Errno) {
        let size = UInt64(function.config.bytes.count)
        guard offset < size, UInt64(count) <= size - offset else { throw Errno(EFAULT) }
    }

    func readConfig(_ bytes: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for place in 0..<bytes.count { bytes[place] = configByte(Int(offset) + place) }
        return bytes.count
    }

    private func configByte(_ place: Int) -> UInt8 {
        if VFIODevice.bars.contains(place) { return virtualBARs[place - 0x10] }
        return virtualBytes[place] ?? function.config.bytes[place]
    }

    func writeConfig(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try check(bytes.count, offset)
        for (place, size) in BusAccess.split(offset, bytes.count, limit: 4) {
            let start = Int(place - offset)
            var value: UInt32 = 0
            withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes[start..<(start + size)]) }
            write(Int(place), size, value)
        }
        return bytes.count
    }

    /// What is not named here has no write permission; such a write is lost and reported as done (the TPH
    /// capability's too: ecap_perms).
    private func write(_ place: Int, _ size: Int, _ value: UInt32) {
        switch place {
        case ConfigSpace.command: writeCommand(size, value)
        case ConfigSpace.command + 1:
            function.config.command =
                function.config.command & ~0x0500 | UInt16(truncatingIfNeeded: value << 8) & 0x0500
        case 0x0c, 0x0d, 0x3c: function.config[place, UInt8.self] = UInt8(truncatingIfNeeded: value)
        case VFIODevice.bars: writeBAR(place, size, value)
        default: writeCapability(place, size, value)
        }
    }

    private func writeCapability(_ place: Int, _ size: Int, _ value: UInt32) {
        if let power = function.config.power, place == power + 4 {
            writePowerState(UInt8(truncatingIfNeeded: value & 3))
        } else if let express = function.config.express, place == express + 8 || place == express + 9 {
            writeDeviceControl(place - express, size, value)
        } else if let msi = function.config.capabilities[0x05], (msi..<(msi + 14)).contains(place) {
            writeMSI(msi, place, size, value)
        } else if function.device.keepsConfigWrites, !function.config.isInCapability(place) {
            // unassigned_perms: written through, to hardware that keeps it or does not
            store(value, size, at: place)
        }
    }

    private func store(_ value: UInt32, _ size: Int, at place: Int) {
        for byte in 0..<size {
            function.config[place + byte, UInt8.self] = UInt8(truncatingIfNeeded: value >> (8 * byte))
        }
    }

    // init_pci_cap_msi_perm, vfio_msi_config_write: all virtual but enabling, which SET_IRQS does
    private func writeMSI(_ msi: Int, _ place: Int, _ size: Int, _ value: UInt32) {
        let isRead = [msi, msi + 1, msi + 3]
        for byte in 0..<size where !isRead.contains(place + byte) {
            var value = UInt8(truncatingIfNeeded: value >> (8 * byte))
            if place + byte == msi + 2 {
                let most = function.config.bytes[msi + 2] >> 1 & 7
                value &= ~1
                if value >> 4 & 7 > most { value = value & ~0x70 | most << 4 }
            }
            virtualBytes[place + byte] = value
        }
    }

    // vfio_basic_config_write
    private func writeCommand(_ size: Int, _ value: UInt32) {
        let new = UInt16(truncatingIfNeeded: value)
        let mask = VFIODevice.commandBits & (size == 1 ? 0x00ff : 0xffff)
        if new & ConfigSpace.memoryEnable == 0 { moveBuffers(revoked: true) }
        function.config.command = function.config.command & ~mask | new & mask
        restoreBuffers()
    }

    // vfio_pm_config_write, vfio_lock_and_set_power_state
    private func writePowerState(_ state: UInt8) {
        if state == 3 { moveBuffers(revoked: true) }
        function.config.powerState = state
        restoreBuffers()
    }

    // vfio_exp_config_write: the function-level reset bit acts and reads as zero
    private func writeDeviceControl(_ offset: Int, _ size: Int, _ value: UInt32) {
        let control = offset == 8 ? value : value << 8
        if offset + size >= 10, control & 0x8000 != 0 { reset() }
    }

    /// vfio_bar_fixup: a BAR keeps the address bits its size leaves and shows its own flags.
    private func writeBAR(_ place: Int, _ size: Int, _ value: UInt32) {
        for byte in 0..<size where VFIODevice.bars.contains(place + byte) {
            virtualBARs[place + byte - 0x10] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
        }
        for index in 0..<6 { fixBAR(index) }
    }

    private func fixBAR(_ index: Int) {
        let upperHalfOf = index > 0 ? function.bar(index - 1).flatMap { $0.is64Bit ? $0 : nil } : nil
        var value: UInt32 = 0
        for byte in 0..<4 { value |= UInt32(virtualBARs[4 * index + byte]) << (8 * UInt32(byte)) }
        if let bar = function.bar(index) {
            let size = bar.kind == .io ? bar.size : max(bar.size, 16)
            let flags = function.config[0x10 + 4 * index, UInt32.self] & (bar.kind == .io ? 3 : 15)
            value = value & ~UInt32(truncatingIfNeeded: size.nextPowerOfTwo - 1) | flags
        } else if let bar = upperHalfOf {
            value &= ~UInt32(truncatingIfNeeded: (bar.size.nextPowerOfTwo - 1) >> 32)
        } else {
            value = 0
        }
        for byte in 0..<4 { virtualBARs[4 * index + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte))) }
    }
}
