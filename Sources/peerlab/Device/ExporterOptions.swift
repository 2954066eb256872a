import ArgumentParser
import Kernel
import LuaKit
import VFIOUser

/// Options of an exporter, in text form: KEY=VALUE, with commas between.
extension Exporter.Description {
    /// A key, and its meaning.
    struct Key: Sendable {
        let name: String
        /// Its valid values, as help shows them.
        let values: String
        let help: String
        let set: @Sendable (inout Exporter.Description, String) -> Bool
    }

    static let keys: [Key] = [
        Key(name: "size", values: "4K...64T", help: "bytes of memory, a power of two") { description, value in
            guard let bytes = parseSize(value).flatMap(UInt64.init(exactly:)) else { return false }
            description.size = bytes
            return description.refusal == nil
        },
        Key(
            name: "completer", values: "none|tph|extended",
            help: "what Device Capabilities 2 says of it as a completer: steering tags of 8 bits, or of 16 too"
        ) { description, value in
            guard let support = TPHSupport(rawValue: value) else { return false }
            description.completer = support
            return true
        },
        Key(name: "vectors", values: "1...64", help: "MSI-X vectors") { description, value in
            guard let count = Int(value) else { return false }
            description.vectors = count
            return description.refusal == nil
        },
        Key(name: "flr", values: "on|off", help: "function level reset") { description, value in
            description.functionLevelReset = value == "on"
            return value == "on" || value == "off"
        },
        Key(name: "d3", values: "keep|reset", help: "whether D3hot keeps its state (No_Soft_Reset)") {
            description, value in
            description.keepsStateInD3 = value == "keep"
            return value == "keep" || value == "reset"
        },
    ]

    /// The default exporter, changed by a text such as "size=16M,completer=extended".
    init(_ text: String) throws(ValidationError) {
        self.init()
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw ValidationError("'\(item)' is no KEY=VALUE") }
            try set(parts[0], parts[1])
        }
    }

    /// Sets the value of a key.
    mutating func set(_ name: String, _ value: String) throws(ValidationError) {
        guard let key = Self.keys.first(where: { $0.name == name }) else {
            throw ValidationError("'\(name)' is none of \(Self.keys.map(\.name).joined(separator: ", "))")
        }
        guard key.set(&self, value) else {
            throw ValidationError("\(name) is \(key.values) (\(key.help)), not '\(value)'\(nearSize(value))")
        }
    }
}
