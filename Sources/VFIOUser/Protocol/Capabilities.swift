import FoundationEssentials

/// Capabilities that both ends send with the protocol's version: JSON, with a zero byte at its end.
struct ProtocolCapabilities: Codable {
    struct Limits: Codable {
        /// Descriptors of one message.
        var max_msg_fds: Int?
        /// Bytes of data of one message, whoever sends it.
        var max_data_xfer_size: Int?
        /// Ranges of DMA_MAP.
        var max_dma_maps: Int?
        /// The page sizes of DMA_MAP, a bit each.
        var pgsizes: Int?
    }

    var capabilities: Limits?

    /// Capabilities of this server: no migration, one write a message.
    static let own = ProtocolCapabilities(
        capabilities: Limits(
            max_msg_fds: Command.mostDescriptors, max_data_xfer_size: Command.mostData,
            max_dma_maps: GuestMemory.mostRanges, pgsizes: 4096))

    /// With the zero byte.
    var bytes: [UInt8] { ((try? JSONEncoder().encode(self)).map { Array($0) } ?? Array("{}".utf8)) + [0] }

    /// A client's capabilities; nil where the text is not such JSON. An empty text is allowed.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> ProtocolCapabilities? {
        guard !bytes.isEmpty else { return ProtocolCapabilities() }
        guard bytes.last == 0 else { return nil }
        return try? JSONDecoder().decode(ProtocolCapabilities.self, from: Data(bytes.dropLast()))
    }
}
