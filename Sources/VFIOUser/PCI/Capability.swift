public import Kernel

/// A capability of a function's configuration space: its bytes, and which of them a write changes.
public struct Capability: Sendable, Equatable {
    /// The capability's id.
    public let id: UInt16
    /// Whether it lies at 0x100 or above, with a header of four bytes instead of two.
    public let isExtended: Bool
    /// Its bytes from the header on. ``ConfigSpace`` fills in id, version and link when it gives the capability an
    /// offset.
    public var bytes: [UInt8]
    /// Bits that keep what is written to them.
    public var writable: [UInt8]
    /// Bits that are cleared by writing a 1 (RW1C).
    public var cleared: [UInt8]

    /// A capability of `size` bytes that reads 0 and ignores writes.
    public init(id: UInt16, isExtended: Bool = false, size: Int) {
        self.id = id
        self.isExtended = isExtended
        bytes = [UInt8](repeating: 0, count: size)
        writable = bytes
        cleared = bytes
    }

    /// Sets the register at byte `offset`: its value after a reset, the bits that keep what is written, and the bits
    /// that a written 1 clears.
    mutating func register<Value: FixedWidthInteger>(
        _ offset: Int, _ value: Value, writable kept: Value = 0, cleared gone: Value = 0
    ) {
        for byte in 0..<MemoryLayout<Value>.size {
            bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> Value(8 * byte))
            writable[offset + byte] = UInt8(truncatingIfNeeded: kept >> Value(8 * byte))
            cleared[offset + byte] = UInt8(truncatingIfNeeded: gone >> Value(8 * byte))
        }
    }
}

extension Capability {
    /// PCI Express version 2 of an endpoint with function level reset: payloads of 512 bytes, 16 GT/s x16.
    /// PCI Express Base Specification, 7.5.3.
    public static func express(completer: TPHSupport = .none, functionLevelReset: Bool = true) -> Capability {
        var express = Capability(id: 0x10, size: 0x3c)
        express.register(0x02, UInt16(0x0002))
        express.register(0x04, UInt32(0x0000_8fe2) | (functionLevelReset ? 1 << 28 : 0))
        // Relaxed ordering, no snoop, read requests of 512 bytes; bit 15 reads 0 (ConfigSpace).
        express.register(0x08, UInt16(0x2810), writable: functionLevelReset ? 0xffff : 0x7fff)
        express.register(0x0a, UInt16(0), cleared: 0x000f)
        express.register(0x0c, UInt32(0x0040_0104))
        express.register(0x10, UInt16(0), writable: 0x0fff)
        express.register(0x12, UInt16(0x1104))
        express.register(0x24, UInt32(completer.code) << 12)
        express.register(0x28, UInt16(0), writable: 0xffff)
        express.register(0x2c, UInt32(0x1e))
        express.register(0x30, UInt16(0x0004), writable: 0x000f)
        return express
    }

    /// MSI-X of 1 to 2048 vectors, with its tables in memory BARs. A client like QEMU keeps the table itself.
    /// PCI Express Base Specification, 7.7.2.
    public static func msix(
        vectors: Int, table: (bar: Int, offset: UInt32), pending: (bar: Int, offset: UInt32)
    ) -> Capability {
        var msix = Capability(id: 0x11, size: 12)
        msix.register(0x02, UInt16(clamping: vectors - 1) & 0x7ff, writable: 0xc000)
        msix.register(0x04, table.offset & ~7 | UInt32(clamping: table.bar) & 7)
        msix.register(0x08, pending.offset & ~7 | UInt32(clamping: pending.bar) & 7)
        return msix
    }

    /// Power management with D0 and D3hot. Without `keepsState` (No_Soft_Reset) coming back to D0 is a reset.
    /// PCI Express Base Specification, 7.5.2.
    public static func power(keepsState: Bool = true) -> Capability {
        var power = Capability(id: 0x01, size: 8)
        power.register(0x02, UInt16(0x0003))
        power.register(0x04, UInt16(keepsState ? 0x0008 : 0), writable: 0x0003)
        return power
    }

    /// Where a TPH requester keeps its steering tags.
    public enum SteeringTable: Sendable, Equatable {
        /// No table: the requester chooses the tag of each request itself.
        case none
        /// Behind the capability's registers, 1 to 64 entries.
        case capability(Int)
        /// In the MSI-X table's vector control, of 1 to 2048 vectors. A client like QEMU keeps that table itself, and
        /// tells the function nothing of it.
        case msix(Int)
    }

    /// A TPH requester with no-ST and device-specific mode, and interrupt vector mode where the table is in MSI-X.
    /// PCI Express Base Specification, 7.9.13.
    public static func tphRequester(extended: Bool, table: SteeringTable) -> Capability {
        let inCapability: Int
        var register: UInt32 = 1 | 1 << 2 | (extended ? 1 << 8 : 0)
        switch table {
        case .none: inCapability = 0
        case .capability(let count):
            inCapability = min(max(count, 1), 64)
            register |= 1 << 9 | UInt32(inCapability - 1) << 16
        case .msix(let count):
            inCapability = 0
            register |= 1 << 1 | 2 << 9 | UInt32(min(max(count, 1), 2048) - 1) << 16
        }
        var tph = Capability(id: 0x17, isExtended: true, size: 12 + (2 * inCapability + 3) / 4 * 4)
        tph.register(0x04, register)
        tph.register(0x08, UInt32(0), writable: extended ? 0x307 : 0x107)
        for entry in 0..<inCapability { tph.register(12 + 2 * entry, UInt16(0), writable: extended ? 0xffff : 0x00ff) }
        return tph
    }
}
