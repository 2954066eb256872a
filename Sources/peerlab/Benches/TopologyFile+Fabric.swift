import Kernel
import LuaKit
import Runner
import SimKernel

/// NICs, and the fabric between devices.
extension TopologyFile {
    /// An RDMA device; without a PCI function it is a software device.
    static func addNIC(_ fields: Fields, on address: String?, to bench: inout Topology) throws(ErrorValue) {
        let nic = try nic(fields, address)
        guard !bench.nics.contains(where: { $0.name == nic.name }) else {
            throw ErrorValue(kind: .usage, "\(fields.place): there is another RDMA device named \(nic.name)")
        }
        guard address != nil || nic.driver == .rxe else {
            throw ErrorValue(
                kind: .usage, "\(fields.place): \(nic.driver.rawValue) is of a device; rxe alone needs none")
        }
        bench.nics.append(nic)
    }

    private static func nic(_ fields: Fields, _ address: String?) throws(ErrorValue) -> Topology.NIC {
        try fields.allow([
            "name", "driver", "odp", "requester", "steering_table", "data_direct", "raw_dumps", "own_memory", "subnet",
            "firmware", "limits",
        ])
        let driver = try fields.choice(
            "driver", Topology.NIC.Driver.init(rawValue:), Topology.NIC.Driver.allCases.map(\.rawValue))
        var nic = Topology.NIC(
            name: try entry("name", fields, "mlx5_0"), driver: driver ?? .mlx5, address: address,
            odp: try fields.boolean("odp") ?? true, requester: try support("requester", fields))
        let entries = try fields.integer("steering_table") ?? 0
        guard entries == 0 || (2...64).contains(entries) else {
            throw ErrorValue(
                kind: .usage,
                "\(fields.place).steering_table has 2 to 64 entries, or 0 for direct mode, not \(entries)")
        }
        nic.steeringTable = Int(entries)
        nic.dataDirect = try fields.boolean("data_direct") ?? true
        nic.rawDumps = try fields.boolean("raw_dumps") ?? true
        let ownMemory = try fields.size("own_memory") ?? Int64(nic.ownMemory)
        guard (0...mostOwnMemory).contains(ownMemory) else {
            throw ErrorValue(
                kind: .usage, "\(fields.place).own_memory is at most \(mostOwnMemory >> 20)M, not \(ownMemory) bytes")
        }
        nic.ownMemory = UInt64(ownMemory)
        nic.subnet = try subnet(try fields.table("subnet"))
        if let firmware = try fields.text("firmware") { nic.firmware = firmware }
        nic.limits = try limits(try fields.table("limits"))
        return nic
    }

    /// Most bytes of a NIC's own memory, which is allocated in this process.
    private static let mostOwnMemory: Int64 = 16 << 20

    private static func subnet(_ fields: Fields) throws(ErrorValue) -> Topology.NIC.Subnet? {
        guard !fields.isEmpty else { return nil }
        try fields.allow(["lid", "guid"])
        guard let guid = try fields.integer("guid") else {
            throw ErrorValue(kind: .usage, "\(fields.place) needs the port's guid")
        }
        // A port's LID is unicast: neither multicast (from 0xc000) nor the permissive LID (0xffff).
        return Topology.NIC.Subnet(
            lid: UInt16(try number("lid", fields, 1...0xbfff, 1)), guid: UInt64(bitPattern: guid))
    }

    private static func limits(_ fields: Fields) throws(ErrorValue) -> Topology.NIC.Limits {
        try fields.allow(["regions", "domains", "queue_pairs", "completion_queues", "shared_queues"])
        var limits = Topology.NIC.Limits()
        func read(_ key: String, _ place: WritableKeyPath<Topology.NIC.Limits, Int32>) throws(ErrorValue) {
            limits[keyPath: place] = Int32(
                try number(key, fields, 1...Int64(Int32.max), Int64(limits[keyPath: place])))
        }
        try read("regions", \.regions)
        try read("domains", \.domains)
        try read("queue_pairs", \.queuePairs)
        try read("completion_queues", \.completionQueues)
        try read("shared_queues", \.sharedQueues)
        return limits
    }

    /// Host bridges, ports and processors; every parent must exist, and be above its child.
    static func addFabric(_ fields: Fields, to bench: inout Topology) throws(ErrorValue) {
        for bridge in try fields.list("host_bridges") {
            try bridge.allow(["name", "peer_to_peer"])
            guard let name = try bridge.text("name") else {
                throw ErrorValue(kind: .usage, "\(bridge.place) needs a name, \"pci0000:00\"")
            }
            let listing = try bridge.choice(
                "peer_to_peer", Topology.HostBridge.Listing.init(rawValue:),
                Topology.HostBridge.Listing.allCases.map(\.rawValue))
            bench.hostBridges.append(Topology.HostBridge(name: name, listing: listing ?? .any))
        }
        for port in try fields.list("ports") {
            try port.allow(["address", "id", "parent", "acs", "completer"])
            guard let address = try port.text("address") else {
                throw ErrorValue(kind: .usage, "\(port.place) needs an address, \"0000:00:01.0\"")
            }
            let hasCompleter = try port.text("completer") != nil
            var added = Topology.Port(
                address: address, parent: try port.text("parent"), acs: try acs(port),
                completer: hasCompleter ? try support("completer", port) : .extended)
            added.id = try ids(port)
            let hasID = try port.text("id") != nil
            guard added.id != nil || !hasID else {
                throw ErrorValue(kind: .usage, "\(port.place).id is \"vendor:device\", \"1000:c030\"")
            }
            bench.ports.append(added)
        }
        try checkParents(bench)
        bench.platform = try platform(try fields.table("platform"))
    }

    /// Ports are listed from the top: each parent is a host bridge or an earlier port.
    private static func checkParents(_ bench: Topology) throws(ErrorValue) {
        var known = Set(bench.hostBridges.map(\.name))
        func check(_ address: String, _ parent: String?) throws(ErrorValue) {
            guard let parent, !known.contains(parent) else { return }
            throw ErrorValue(
                kind: .usage, "\(address): its parent '\(parent)' is no host bridge and no port listed before it")
        }
        for port in bench.ports {
            try check(port.address, port.parent)
            guard known.insert(port.address).inserted else {
                throw ErrorValue(kind: .usage, "'\(port.address)' is there twice")
            }
        }
        for device in bench.devices { try check(device.address, device.parent) }
    }

    static func acs(_ fields: Fields) throws(ErrorValue) -> Topology.ACS {
        let named = try fields.values("acs", "rr, cr, ec") { (value) -> Topology.ACS? in
            if case .string(let name) = value { Topology.ACS(short: name) } else { nil }
        }
        return Topology.ACS(named)
    }

    private static func platform(_ fields: Fields) throws(ErrorValue) -> Topology.Platform {
        try fields.allow(["zen", "cpus", "allowed_cpus", "cpu_tags", "persistent_tags"])
        var platform = Topology.Platform()
        platform.isZen = try fields.boolean("zen") ?? false
        platform.cpus = Int(try number("cpus", fields, 1...8192, 4))
        platform.allowedCPUs = Int(
            try number("allowed_cpus", fields, 1...Int64(platform.cpus), Int64(platform.cpus)))
        func tags(_ key: String) throws(ErrorValue) -> [UInt16] {
            try fields.values(key, "0 to 0xffff") { value in
                if case .integer(let tag) = value { UInt16(exactly: tag) } else { nil }
            }
        }
        platform.cpuTags = try tags("cpu_tags")
        platform.persistentTags = try tags("persistent_tags")
        return platform
    }
}
