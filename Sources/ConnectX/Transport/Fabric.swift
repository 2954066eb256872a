/// The InfiniBand fabric of one process: its NICs reach each other, and themselves.
public final class Fabric {
    private var nics: [DataPath] = []

    /// One without ports.
    public init() {}

    func join(_ nic: DataPath) { nics.append(nic) }

    func leave(_ nic: DataPath) { nics.removeAll { $0 === nic } }

    /// The NIC with a port of a LID.
    func nic(_ lid: UInt16) -> DataPath? {
        nics.first { $0.ports.contains { $0.isActive && $0.has(lid) } }
    }

    /// The NIC with a port of a GID.
    func nic(_ gid: GID) -> DataPath? {
        nics.first { $0.ports.contains { $0.isActive && $0.gids.contains(gid) } }
    }

    /// All with queue pairs that a multicast group's messages go to.
    func members(_ group: GID) -> [DataPath] { nics.filter { $0.multicast[group] != nil } }
}

/// A port of a NIC.
struct Port {
    var lid: UInt16 = 0
    /// log2 of how many LIDs it has from there.
    var lmc = 0
    var gids: [GID] = []
    var isActive = true
    /// Bytes of the longest packet's payload.
    var mtu = 4096

    func has(_ lid: UInt16) -> Bool { lid >> UInt16(lmc) == self.lid >> UInt16(lmc) }
}
