import FoundationEssentials

/// What both ends tell each other with the version, as JSON that ends with a zero byte.
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

    /// What this server tells: no migration, no several writes in one message.
    static let own = ProtocolCapabilities(
        capabilities: Limits(
            max_msg_fds: Command.mostDescriptors, max_data_xfer_size: Command.mostData,
            max_dma_maps: GuestMemory.mostRanges, pgsizes: 4096))

    /// With the zero byte.
    var bytes: [UInt8] { ((try? JSONEncoder().encode(self)).map { Array($0) } ?? Array("{}".utf8)) + [0] }

    /// What a client tells; nil where that is none of it. Nothing at all is fine.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> ProtocolCapabilities? {
        guard !bytes.isEmpty else { return ProtocolCapabilities() }
        guard bytes.last == 0 else { return nil }
        return try? JSONDecoder().decode(ProtocolCapabilities.self, from: Data(bytes.dropLast()))
    }
}
