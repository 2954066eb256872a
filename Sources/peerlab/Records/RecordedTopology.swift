import Devices
import Kernel
import LuaKit
import Records
import Runner
import SimKernel

/// The simulated bench that a record's header describes, in the lines that `MachineTopology` wrote.
enum RecordedTopology {
    /// Keys whose values form a list, of a bench and of a device.
    private static let lists = [
        "host bridge": "host_bridges", "port": "ports", "device": "devices", "software rdma": "rdma",
    ]
    private static let parts = ["bar": "bars", "config": "config"]

    /// A kernel's release in the form that a bench accepts: a redacted one contains brackets.
    private static func release(_ text: String) -> String {
        String(text.prefix(64).map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.+~".contains($0)) ? $0 : "-" })
    }

    /// The bench; nil where the header describes none.
    static func topology(of record: Record) throws(ErrorValue) -> Topology? {
        guard record["device"] != nil || record["platform"] != nil else { return nil }
        var bench: [String: LuaValue] = ["name": .string("the recorded machine")]
        var kernel: [String: LuaValue] = ["release": .string(release(record["kernel"] ?? "unknown"))]
        if let (number, revision) = hints(record) {
            kernel["tph"] = .string(revision)
            kernel["tph_feature"] = .integer(Int64(number))
        }
        bench["kernel"] = .table(kernel)
        var found: [String: [[String: LuaValue]]] = [:]
        for (key, value) in record.header {
            if let list = lists[key] {
                try check(count: found[list]?.count ?? 0, key)
                found[list, default: []].append(try fields(value, of: key))
            } else if let part = parts[key] {
                let line = LuaValue.table(try fields(value, of: key))
                try change(&found, key) { device throws(ErrorValue) in
                    guard case .list(let before)? = device[part] else { return device[part] = .list([line]) }
                    try check(count: before.count, key)
                    device[part] = .list(before + [line])
                }
            } else if key == "rdma" {
                let line = LuaValue.table(try fields(value, of: key))
                try change(&found, key) { $0[key] = line }
            } else if key == "iommu" || key == "platform" {
                bench[key] = .table(try fields(value, of: key))
            } else if key == "limits" {
                let limits = try fields(value, of: key)
                // For one with CAP_IPC_LOCK the limit did not count, as for one whose rights are not known.
                if limits["ipc_lock"] == .boolean(false), case .integer? = limits["memlock"] {
                    bench["memlock"] = limits["memlock"]
                }
            }
        }
        if takeUnreadBridgesForUnlisted(&found) {
            bench["name"] = .string("the recorded machine with an unread host bridge taken for one that is not listed")
        }
        for (list, tables) in found { bench[list] = .list(tables.map { .table($0) }) }
        do throws(ErrorValue) { return try TopologyFile.topology(Fields(bench, at: "")) } catch {
            throw ErrorValue(kind: .usage, "the machine in the record's header: \(error.message)")
        }
    }

    /// Whether the kernel's list has a host bridge that was not read is not known; the model needs one of the two.
    private static func takeUnreadBridgesForUnlisted(_ found: inout [String: [[String: LuaValue]]]) -> Bool {
        let key = "peer_to_peer", unread = LuaValue.string(MachineTopology.unread)
        let bridges = found["host_bridges"] ?? []
        guard bridges.contains(where: { $0[key] == unread }) else { return false }
        found["host_bridges"] = bridges.map { bridge in
            bridge[key] == unread
                ? bridge.merging([key: .string(HostBridgeListing.none.rawValue)]) { $1 } : bridge
        }
        return true
    }

    /// Number and revision of DMA_BUF_TPH in the record.
    static func hints(_ record: Record) -> (UInt32, String)? {
        for entry in record.entries {
            if case .feature(let feature) = entry.kind, let revision = feature.revision {
                return (feature.number, revision)
            }
        }
        return nil
    }

    /// Changes the device that the latest "devices" line began.
    private static func change(
        _ found: inout [String: [[String: LuaValue]]], _ key: String,
        _ body: (inout [String: LuaValue]) throws(ErrorValue) -> Void
    ) throws(ErrorValue) {
        guard let last = found["devices"]?.indices.last else {
            throw ErrorValue(kind: .usage, "the record's header: a line '\(key)' follows the device it is of")
        }
        try body(&found["devices", default: []][last])
    }

    /// Limits the number of lines with one key.
    private static func check(count: Int, _ key: String) throws(ErrorValue) {
        guard count < Fields.longestList else {
            throw ErrorValue(kind: .usage, "the record's header has more than \(Fields.longestList) lines '\(key)'")
        }
    }

    /// `address="0000:01:00.0" group=3 tph_requester=false`
    private static func fields(_ text: String, of key: String) throws(ErrorValue) -> [String: LuaValue] {
        var fields: [String: LuaValue] = [:]
        var rest = text[...].drop { $0 == " " }
        while !rest.isEmpty {
            guard let equals = rest.firstIndex(of: "=") else { throw wrong(rest, key) }
            let name = String(rest[..<equals])
            rest = rest[rest.index(after: equals)...]
            if rest.first == "\"" {
                rest = rest.dropFirst()
                guard let end = rest.firstIndex(of: "\"") else { throw wrong(rest, key) }
                let text = String(rest[..<end])
                // The only field that is a list.
                fields[name] =
                    name == "acs" ? .list(text.split(separator: ",").map { .string(String($0)) }) : .string(text)
                rest = rest[rest.index(after: end)...]
            } else {
                let word = rest.prefix { $0 != " " }
                guard let value = value(word) else { throw wrong(word, key) }
                fields[name] = value
                rest = rest[word.endIndex...]
            }
            guard rest.isEmpty || rest.first == " " else { throw wrong(rest, key) }
            rest = rest.drop { $0 == " " }
        }
        return fields
    }

    private static func value(_ word: Substring) -> LuaValue? {
        if word == "true" || word == "false" { return .boolean(word == "true") }
        if word.hasPrefix("0x") {
            return UInt64(word.dropFirst(2), radix: 16).map { .integer(Int64(bitPattern: $0)) }
        }
        return Int64(word).map { .integer($0) }
    }

    private static func wrong(_ text: Substring, _ key: String) -> ErrorValue {
        ErrorValue(
            kind: .usage,
            "the record's header, '\(key)': '\(text.prefix(40))' is no name=value with a number, true, false or \"text\""
        )
    }
}
