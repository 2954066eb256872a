/// The first two pages of BAR 0: what a driver reads before it has commands. Its layout is mlx5_ifc_initial_seg_bits, and
/// struct mlx5_init_seg where that is older.
struct InitializationSegment {
    static let size = 0x2000
    /// Slots of the command queue, and bytes of one.
    static let logSlots = 5
    static let logStride = 6

    /// The function's interface state, MLX5_NIC_IFC_*.
    enum Interface: UInt64 {
        case full = 0
        case disabled = 1
        case softwareReset = 7
    }

    private static let major = Field("initial_seg.fw_rev_major", bit: 0x10, width: 16)
    private static let minor = Field("initial_seg.fw_rev_minor", bit: 0x0, width: 16)
    private static let subminor = Field("initial_seg.fw_rev_subminor", bit: 0x30, width: 16)
    private static let commandRevision = Field("initial_seg.cmd_interface_rev", bit: 0x20, width: 16)
    private static let queueHigh = Field("initial_seg.cmdq_phy_addr_63_32", bit: 0x80, width: 32)
    private static let queueLow = Field("initial_seg.cmdq_phy_addr_31_12", bit: 0xa0, width: 20)
    private static let logQueueSize = Field("initial_seg.log_cmdq_size", bit: 0xb8, width: 4)
    private static let logQueueStride = Field("initial_seg.log_cmdq_stride", bit: 0xbc, width: 4)
    private static let healthFirmware = Field("initial_seg.health_buffer.fw_version", bit: 0x1180, width: 32)
    private static let hardware = Field("initial_seg.health_buffer.hw_id", bit: 0x11a0, width: 32)
    private static let healthSyndrome = Field("initial_seg.health_buffer.synd", bit: 0x11e8, width: 8)
    private static let healthCounter = Field("initial_seg.health_counter", bit: 0x8088, width: 24)
    // The driver reads a bit more than mlx5_ifc.h has, and the timer is in struct mlx5_init_seg alone.
    private static let interface = Field("cmdq_addr_l_sz", bit: 0xb5, width: 3)
    private static let timer = Field("internal_timer", bit: 0x8000, width: 64)

    /// Where registers are written, in bytes.
    private enum Register {
        static let queueHigh = 0x10
        static let queueLow = 0x14
        static let doorbell = 0x18
        static let timer = 0x1000
        static let healthCounter = 0x1010
    }

    /// Firmware version as the registers and the resource dump have it.
    static let firmware: UInt64 = 35 << 16 | 22
    /// The hardware's id, a ConnectX-6 Dx.
    static let hardwareID: UInt64 = 0x20f

    private var image = [UInt8](repeating: 0, count: size)

    /// The segment of a function that was just powered on; `interface` is what it is for its driver.
    init(_ interface: Interface = .full) {
        image[Self.minor] = 35
        image[Self.major] = 22
        image[Self.subminor] = 1010
        image[Self.commandRevision] = 5
        image[Self.logQueueSize] = UInt64(Self.logSlots)
        image[Self.logQueueStride] = UInt64(Self.logStride)
        image[Self.healthFirmware] = Self.firmware
        image[Self.hardware] = Self.hardwareID
        image[Self.interface] = interface.rawValue
    }

    /// Where the command queue lies; 0 before the driver has said so.
    var commandQueue: UInt64 { image[Self.queueHigh] << 32 | image[Self.queueLow] << 12 }

    /// The present interface state.
    var state: Interface { Interface(rawValue: image[Self.interface]) ?? .disabled }

    /// The device's health as the driver reads it, MLX5_INITIAL_SEG_HEALTH_SYNDROME_*.
    enum Syndrome: UInt64 {
        /// Memory of the driver's was not reached.
        case memory = 0xa
        /// An event queue was full.
        case eventQueueOverrun = 0xc
        /// An event queue's memory was not reached.
        case eventQueue = 0xd
    }

    /// Sets the health syndrome. The first one stays until a reset.
    mutating func fail(_ syndrome: Syndrome) {
        if image[Self.healthSyndrome] == 0 { image[Self.healthSyndrome] = syndrome.rawValue }
    }

    /// Fills bytes with what lies at an offset; the timer has the time of completion entries, in nanoseconds.
    mutating func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer, time: () -> UInt64) {
        let range = offset..<offset + bytes.count
        // The health counter advances with each read: a driver takes a counter that stands still between two looks
        // for a dead device.
        if range.overlaps(Register.healthCounter..<Register.healthCounter + 4) { image[Self.healthCounter] += 1 }
        if range.overlaps(Register.timer..<Register.timer + 8) {
            image[Self.timer] = time()
        }
        image.withUnsafeBytes { image in
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: image[range.clamped(to: 0..<Self.size)]))
        }
    }

    /// The request in a write.
    enum Request: Equatable {
        /// To do the commands of these slots.
        case commands(UInt32)
        /// To reset the function.
        case reset
    }

    /// Takes the 32-bit register at an offset; others than the command queue's cannot be written.
    mutating func write(_ value: UInt32, at offset: Int) -> Request? {
        switch offset {
        case Register.queueHigh: image[Self.queueHigh] = UInt64(value)
        case Register.queueLow:
            image[Self.queueLow] = UInt64(value >> 12)
            let wanted = Interface(rawValue: UInt64(value >> 8 & 7)) ?? .disabled
            if wanted == .softwareReset { return .reset }
            image[Self.interface] = wanted.rawValue
        case Register.doorbell: return .commands(value)
        default: break
        }
        return nil
    }
}
