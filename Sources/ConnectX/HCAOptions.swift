/// What an emulated ConnectX is like.
public struct HCAOptions: Sendable {
    /// Where the steering tags of its requests come from.
    public enum TPH: Sendable, Equatable {
        /// It sends none, and has no TPH capability.
        case none
        /// A table of 2 to 64 entries in the TPH capability.
        case table(Int)
        /// A table in the MSI-X table, one entry a vector.
        case vectors
        /// No table: a memory key names the tag itself.
        case direct
    }

    /// Steering tags.
    public var tph = TPH.table(64)
    /// Whether tags may have 16 bits.
    public var hasExtendedTPH = true
    /// On-demand paging; dma-bufs need it.
    public var hasOnDemandPaging = true
    /// MSI-X vectors.
    public var vectorCount = 16
    /// GUID of the node; the port's GUID is one higher.
    public var guid: UInt64 = 0x0c42_a103_00aa_bb00
    /// Its port's local identifier, and that of the subnet's manager.
    public var lid: UInt16 = 1
    /// See ``lid``.
    public var managerLID: UInt16 = 1
    /// Capabilities by the names of struct mlx5_ifc_cmd_hca_cap_bits, in place of what it would say.
    public var capabilities: [String: UInt64] = [:]

    /// Of all its GIDs: the link-local subnet.
    static let gidPrefix: UInt64 = 0xfe80_0000_0000_0000

    /// The GUID of its port.
    var portGUID: UInt64 { guid &+ 1 }

    /// The usual one.
    public init() {}
}
