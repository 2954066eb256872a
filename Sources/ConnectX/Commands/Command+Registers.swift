/// ACCESS_REG, and the registers behind it. They are read and written in the command's data, from byte 16 on.
extension Command {
    private enum Layout {
        static let register = Field("access_register_in.register_id", bit: 0x50, width: 16)
        static let input = Area("access_register_in.register_data", at: 16, count: 0)
        static let output = Area("access_register_out.register_data", at: 16, count: 0)
        static let read: UInt64 = 1
    }

    static let registers: [Command] = [
        Command(0x805, "ACCESS_REG", after: .enabled) { (hca, input, output) throws(CommandFailure) in
            guard let register = AccessRegister.all[UInt16(truncatingIfNeeded: input[Layout.register])] else {
                throw CommandFailure(.badParameter, "no such register")
            }
            let data = output[Layout.output]
            data.copyBytes(from: input[Layout.input].prefix(data.count))
            guard data.count >= register.size else {
                throw CommandFailure(.badOutputLength, "the register does not fit")
            }
            if input[CommandHeader.modifier] == Layout.read {
                try register.read(hca, data)
            } else {
                guard let write = register.write else { throw CommandFailure(.badParameter, "a register to read") }
                try write(hca, data)
            }
        }
    ]
}

/// A register of ACCESS_REG, MLX5_REG_* of include/linux/mlx5/driver.h.
struct AccessRegister: Sendable {
    let number: UInt16
    let name: StaticString
    /// Bytes of it.
    let size: Int
    /// Fills in what a read gives; the bytes are those of the command.
    let read: @Sendable (HCA, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void
    /// Takes what is written, and fills in what comes back; nil where it cannot be.
    let write: (@Sendable (HCA, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void)?

    init(
        _ number: UInt16, _ name: StaticString, size: Int,
        read: @escaping @Sendable (HCA, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void,
        write: (@Sendable (HCA, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void)? = nil
    ) {
        self.number = number
        self.name = name
        self.size = size
        self.read = read
        self.write = write
    }

    static let all: [UInt16: AccessRegister] = Dictionary(uniqueKeysWithValues: list.map { ($0.number, $0) })

    private enum Link {
        static let widths = Field("ptys_reg.ib_link_width_capability", bit: 0x80, width: 16)
        static let protocols = Field("ptys_reg.ib_proto_capability", bit: 0x90, width: 16)
        static let width = Field("ptys_reg.ib_link_width_oper", bit: 0x140, width: 16)
        static let operational = Field("ptys_reg.ib_proto_oper", bit: 0x150, width: 16)
        static let largestMTU = Field("pmtu_reg.max_mtu", bit: 0x20, width: 16)
        static let wantedMTU = Field("pmtu_reg.admin_mtu", bit: 0x40, width: 16)
        static let mtu = Field("pmtu_reg.oper_mtu", bit: 0x60, width: 16)
        static let lanes = Field("pvlc_reg.vl_hw_cap", bit: 0x3c, width: 4)
        /// 1x, 2x and 4x; EDR is bit 5 of the protocols.
        static let allWidths: UInt64 = 7
        static let fourLanes: UInt64 = 4
        static let allProtocols: UInt64 = 0x3f
        static let edr: UInt64 = 0x20
    }

    private static let list: [AccessRegister] = [
        AccessRegister(0x5003, "PMTU", size: 16) { (_, data) throws(CommandFailure) in
            for field in [Link.largestMTU, Link.wantedMTU, Link.mtu] { data[field] = 4096 }
        },
        AccessRegister(0x5004, "PTYS", size: 64) { (_, data) throws(CommandFailure) in
            data[Link.widths] = Link.allWidths
            data[Link.protocols] = Link.allProtocols
            data[Link.width] = Link.fourLanes
            data[Link.operational] = Link.edr
        },
        AccessRegister(0x500f, "PVLC", size: 16) { (_, data) throws(CommandFailure) in data[Link.lanes] = 4 },
        AccessRegister(0x5008, "PPCNT", size: 256) { (_, data) throws(CommandFailure) in
            // The first eight bytes say which counters; they stand at 0.
            UnsafeMutableRawBufferPointer(rebasing: data[8...]).initializeMemory(as: UInt8.self, repeating: 0)
        },
        AccessRegister(0x6001, "NODE_DESC", size: 64) { (hca, data) throws(CommandFailure) in
            data.copyBytes(from: hca.nodeDescription)
        } write: { (hca, data) throws(CommandFailure) in
            hca.nodeDescription = Array(data.prefix(64))
        },
        AccessRegister(0x7004, "HOST_ENDIANNESS", size: 16) { (_, _) throws(CommandFailure) in
        } write: { (_, _) throws(CommandFailure) in
        },
        AccessRegister(0xc000, "RESOURCE_DUMP", size: 256) { (hca, data) throws(CommandFailure) in
            try hca.dumpResource(data)
        } write: { (hca, data) throws(CommandFailure) in
            // Linux asks for a dump by a write, other tools by a read.
            try hca.dumpResource(data)
        },
        AccessRegister(0xc00e, "DTOR", size: 64) { (_, data) throws(CommandFailure) in
            // Of times, 0 is the driver's own default.
            data.initializeMemory(as: UInt8.self, repeating: 0)
        },
    ]
}
