/// The function as a whole.
extension Command {
    private enum Layout {
        static let capability = Area("query_hca_cap_out.capability", at: 16, count: 4096)
        static let newCapability = Area("set_hca_cap_in.capability", at: 16, count: 4096)
        static let supportedISSI = Field("query_issi_out.supported_issi_dw0", bit: 0x360, width: 32)
        static let currentISSI = Field("query_issi_out.current_issi", bit: 0x50, width: 16)
        static let newISSI = Field("set_issi_in.current_issi", bit: 0x50, width: 16)
        static let vendor = Field("query_adapter_out.query_adapter_struct.ieee_vendor_id", bit: 0x148, width: 24)
        static let psid = Area("query_adapter_out.query_adapter_struct.vsd_contd_psid", at: 256, count: 16)
        static let profile = Field("teardown_hca_in.profile", bit: 0x50, width: 16)
    }

    /// Mellanox, and what the driver shows as board_id.
    private static let mellanox: UInt64 = 0x2c9
    private static let board = "PEERLAB000000001"

    static let device: [Command] = [
        Command(0x104, "ENABLE_HCA", after: .nothing, out: 12) { (hca, _, _) throws(CommandFailure) in
            guard hca.state != .initialized else { throw CommandFailure(.badSystemState, "the HCA is initialized") }
            hca.state = .enabled
        },
        Command(0x105, "DISABLE_HCA", after: .enabled, out: 12) { (hca, _, _) throws(CommandFailure) in
            hca.forgetObjects()
            hca.state = .nothing
        },
        Command(0x102, "INIT_HCA", after: .enabled, in: 32) { (hca, _, _) throws(CommandFailure) in
            guard hca.state == .enabled else { throw CommandFailure(.badSystemState, "the HCA is initialized") }
            hca.state = .initialized
        },
        Command(0x103, "TEARDOWN_HCA") { (hca, input, _) throws(CommandFailure) in
            guard input[Layout.profile] == 0 else {
                throw CommandFailure(.badParameter, "only a graceful teardown is supported")
            }
            hca.forgetObjects()
            hca.state = .enabled
        },
        Command(0x10a, "QUERY_ISSI", after: .enabled, out: 112) { (hca, _, output) throws(CommandFailure) in
            output[Layout.currentISSI] = UInt64(hca.issi)
            output[Layout.supportedISSI] = 1 << 1
        },
        Command(0x10b, "SET_ISSI", after: .enabled) { (hca, input, _) throws(CommandFailure) in
            guard input[Layout.newISSI] <= 1 else { throw CommandFailure(.badParameter, "only ISSI 0 and 1 exist") }
            hca.issi = input[int: Layout.newISSI]
        },
        Command(0x10d, "SET_DRIVER_VERSION", after: .enabled, in: 80) { (_, _, _) throws(CommandFailure) in },
        Command(0x80d, "NOP", after: .nothing) { (_, _, _) throws(CommandFailure) in },
        Command(0x100, "QUERY_HCA_CAP", after: .enabled, out: 4112) { (hca, input, output) throws(CommandFailure) in
            let modifier = input[int: CommandHeader.modifier]
            // A kind that it lacks reads 0: the driver asks for kinds that the general capabilities promise.
            guard let bytes = hca.capabilities.bytes(modifier >> 1, isCurrent: modifier & 1 == 1) else { return }
            output[Layout.capability].copyBytes(from: bytes)
        },
        Command(0x109, "SET_HCA_CAP", after: .enabled, in: 4112) { (hca, input, _) throws(CommandFailure) in
            guard hca.state == .enabled else {
                throw CommandFailure(.badSystemState, "capabilities are set before INIT_HCA")
            }
            guard let kind = Capabilities.Kind(rawValue: input[int: CommandHeader.modifier] >> 1) else {
                throw CommandFailure(.badParameter, "no capabilities of this kind")
            }
            hca.capabilities.set(kind, input[Layout.newCapability])
        },
        Command(0x101, "QUERY_ADAPTER", after: .enabled, out: 272) { (_, _, output) throws(CommandFailure) in
            output[Layout.vendor] = mellanox
            output[Layout.psid].copyBytes(from: board.utf8)
        },
    ]
}
