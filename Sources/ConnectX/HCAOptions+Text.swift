/// Options as people write them: KEY=VALUE, with commas between.
extension HCAOptions {
    /// What is wrong with a text.
    public struct Invalid: Error, Sendable {
        /// What, and what would be right.
        public let reason: String
    }

    /// A key, and what it means.
    public struct Key: Sendable {
        /// Its name.
        public let name: String
        /// The values it takes, as a help shows them.
        public let values: String
        /// What it is for.
        public let help: String
        let set: @Sendable (inout HCAOptions, String) -> Bool
    }

    /// All keys. Others are names of capabilities.
    public static let keys: [Key] = [
        Key(name: "tph", values: "none|tph|extended", help: "no steering tags, of 8 bits, or of 16") {
            options, value in
            switch value {
            case "none": options.tph = .none
            case "tph", "extended":
                if options.tph == .none { options.tph = .table(64) }
                options.hasExtendedTPH = value == "extended"
            default: return false
            }
            return true
        },
        Key(name: "table", values: "2...64|msix|none", help: "where tags come from: none is the memory key itself") {
            options, value in
            switch value {
            case "msix": options.tph = .vectors
            case "none": options.tph = .direct
            default:
                guard let entries = number(value, 2...64) else { return false }
                options.tph = .table(entries)
            }
            return true
        },
        Key(name: "odp", values: "on|off", help: "on-demand paging, without which no dma-buf is registered") {
            options, value in
            options.hasOnDemandPaging = value == "on"
            return value == "on" || value == "off"
        },
        Key(name: "vectors", values: "2...256", help: "MSI-X vectors") { options, value in
            guard let count = number(value, 2...256) else { return false }
            options.vectorCount = count
            return true
        },
        Key(name: "lid", values: "1...0xbfff", help: "its port's LID; a further NIC has the next") { options, value in
            guard let lid = number(value, 1...0xbfff) else { return false }
            options.lid = UInt16(lid)
            options.managerLID = options.lid
            return true
        },
    ]

    /// A decimal or hexadecimal number.
    private static func number(_ text: String, _ range: ClosedRange<Int>) -> Int? {
        let number = text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
        return number.flatMap { range.contains($0) ? $0 : nil }
    }

    /// The usual function with the changes of a text such as "tph=extended,table=8,odp=off".
    public init(_ text: String) throws(Invalid) {
        self.init()
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw Invalid(reason: "'\(item)' is no KEY=VALUE") }
            try set(parts[0], parts[1])
        }
    }

    private mutating func set(_ name: String, _ value: String) throws(Invalid) {
        if let key = Self.keys.first(where: { $0.name == name }) {
            guard key.set(&self, value) else { throw Invalid(reason: "\(name) is \(key.values), not '\(value)'") }
            return
        }
        guard let field = Capabilities.general.first(where: { Capabilities.memberName($0.0) == name })?.0 else {
            let keys = Self.keys.map(\.name).joined(separator: ", ")
            throw Invalid(reason: "'\(name)' is neither \(keys) nor a capability of cmd_hca_cap that can be set")
        }
        let most = Int(truncatingIfNeeded: UInt64.max >> UInt64(64 - min(field.width, 62)))
        guard let number = Self.number(value, 0...most) else {
            throw Invalid(reason: "\(name) is a number from 0 to \(most), not '\(value)'")
        }
        capabilities[name] = UInt64(number)
    }

    /// The same for a further NIC on the fabric: with numbers of its own.
    public func next(_ index: Int) -> HCAOptions {
        var options = self
        options.guid &+= UInt64(index) << 8
        options.lid &+= UInt16(truncatingIfNeeded: index)
        return options
    }
}
