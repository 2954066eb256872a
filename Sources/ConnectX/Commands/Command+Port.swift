/// The InfiniBand port, as the function's vport sees it.
extension Command {
    private enum Layout {
        static let context = Area("query_hca_vport_context_out.hca_vport_context", at: 16, count: 512)
        static let newContext = Area("modify_hca_vport_context_in.hca_vport_context", at: 16, count: 512)
        static let gidIndex = Field("query_hca_vport_gid_in.gid_index", bit: 0x70, width: 16)
        static let gidCount = Field("query_hca_vport_gid_out.gids_num", bit: 0x60, width: 16)
        static let gids = Area("query_hca_vport_gid_out.gid", at: 16, count: 0)
        static let keyIndex = Field("query_hca_vport_pkey_in.pkey_index", bit: 0x70, width: 16)
        static let keys = Area("query_hca_vport_pkey_out.pkey", at: 16, count: 0)
        static let packet = Area("mad_ifc_in.mad", at: 16, count: 256)
        static let response = Area("mad_ifc_out.response_mad_packet", at: 16, count: 256)
        // At the same bit of all these commands.
        static let isOther = Field("query_hca_vport_context_in.other_vport", bit: 0x40, width: 1)
        static let port = Field("query_hca_vport_context_in.port_num", bit: 0x4c, width: 4)
    }

    /// mlx5_ifc_hca_vport_context_bits.
    private enum Context {
        static let physicalState = Field("hca_vport_context.port_physical_state", bit: 0x110, width: 4)
        static let portState = Field("hca_vport_context.port_state", bit: 0x118, width: 4)
        static let vportState = Field("hca_vport_context.vport_state", bit: 0x11c, width: 4)
        static let systemGUID = Field("hca_vport_context.system_image_guid", bit: 0x140, width: 64)
        static let portGUID = Field("hca_vport_context.port_guid", bit: 0x180, width: 64)
        static let nodeGUID = Field("hca_vport_context.node_guid", bit: 0x1c0, width: 64)
        static let capabilities = Field("hca_vport_context.cap_mask1", bit: 0x200, width: 32)
        static let writable = Field("hca_vport_context.cap_mask1_field_select", bit: 0x220, width: 32)
        static let lid = Field("hca_vport_context.lid", bit: 0x300, width: 16)
        static let subnetTimeout = Field("hca_vport_context.subnet_timeout", bit: 0x31b, width: 5)
        static let managerLID = Field("hca_vport_context.sm_lid", bit: 0x320, width: 16)
        /// Link up and port active, IBTA 14.2.5.6.
        static let linkUp: UInt64 = 5
        static let active: UInt64 = 4
        /// Traps, automatic migration, system image GUID, communication management, vendor class, client reregistration.
        static let usual: UInt64 = 0x0251_e848
    }

    /// Sizes of the port's tables: gid_table_size and pkey_table_size of 0.
    private static let gidCount = 8
    private static let keyCount = 128
    /// Asks for a whole table.
    private static let wholeTable = 0xffff
    private static let defaultKey: UInt32 = 0xffff

    static let port: [Command] = [
        Command(0x762, "QUERY_HCA_VPORT_CONTEXT", out: 528) { (hca, input, output) throws(CommandFailure) in
            try checkPort(input)
            let context = output[Layout.context]
            context[Context.physicalState] = Context.linkUp
            context[Context.portState] = Context.active
            context[Context.vportState] = Context.active
            context[Context.systemGUID] = hca.options.guid
            context[Context.nodeGUID] = hca.options.guid
            context[Context.portGUID] = hca.options.portGUID
            context[Context.capabilities] = hca.portCapabilities ?? Context.usual
            context[Context.writable] = 0xffff_ffff
            context[Context.lid] = UInt64(hca.options.lid)
            context[Context.managerLID] = UInt64(hca.options.managerLID)
            context[Context.subnetTimeout] = 18
        },
        Command(0x763, "MODIFY_HCA_VPORT_CONTEXT", in: 528) { (hca, input, _) throws(CommandFailure) in
            try checkPort(input)
            let context = input[Layout.newContext]
            let mask = context[Context.writable]
            let old = hca.portCapabilities ?? Context.usual
            hca.portCapabilities = old & ~mask | context[Context.capabilities] & mask
        },
        Command(0x764, "QUERY_HCA_VPORT_GID") { (hca, input, output) throws(CommandFailure) in
            try checkPort(input)
            let entries = try entries(input[int: Layout.gidIndex], of: gidCount)
            let gids = output[Layout.gids]
            guard gids.count / 16 >= entries.count else {
                throw CommandFailure(.badOutputLength, "no room for the GIDs")
            }
            if entries.contains(0) {
                gids.storeBytes(of: HCAOptions.gidPrefix.bigEndian, toByteOffset: 0, as: UInt64.self)
                gids.storeBytes(of: hca.options.portGUID.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            output[Layout.gidCount] = UInt64(entries.count)
        },
        Command(0x765, "QUERY_HCA_VPORT_PKEY") { (_, input, output) throws(CommandFailure) in
            try checkPort(input)
            let entries = try entries(input[int: Layout.keyIndex], of: keyCount)
            let keys = output[Layout.keys]
            guard keys.count / 4 >= entries.count else {
                throw CommandFailure(.badOutputLength, "no room for the P_Keys")
            }
            if entries.contains(0) { keys.storeBytes(of: defaultKey.bigEndian, as: UInt32.self) }
        },
        Command(0x770, "QUERY_VPORT_COUNTER", in: 32, out: 528) { (_, input, _) throws(CommandFailure) in
            // All counters stand at 0.
            try checkPort(input)
        },
        Command(0x50d, "MAD_IFC", in: 272, out: 272) { (_, input, output) throws(CommandFailure) in
            let packet = input[Layout.packet]
            // Performance management is answered, with counters that stand at 0. There is no other agent.
            guard packet[Management.class] == Management.performance else {
                throw CommandFailure(.badPacket, "only performance management is answered")
            }
            let response = output[Layout.response]
            response.copyMemory(from: packet)
            response[Management.method] |= Management.response
        },
    ]

    /// Bytes of a management datagram, IBTA 13.4.2.
    private enum Management {
        static let `class` = 1
        static let method = 3
        static let performance: UInt8 = 4
        static let response: UInt8 = 0x80
    }

    private static func checkPort(_ input: UnsafeRawBufferPointer) throws(CommandFailure) {
        guard !input[flag: Layout.isOther] else { throw CommandFailure(.badParameter, "there is one vport") }
        guard input[Layout.port] <= 1 else { throw CommandFailure(.badParameter, "there is one port") }
    }

    /// Which entries of a table of `count` an index asks for.
    private static func entries(_ index: Int, of count: Int) throws(CommandFailure) -> Range<Int> {
        if index == wholeTable { return 0..<count }
        guard index < count else { throw CommandFailure(.badIndex, "behind the table's end") }
        return index..<index + 1
    }
}
