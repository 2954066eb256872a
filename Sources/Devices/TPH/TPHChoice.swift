/// What the command line says about DMA_BUF_TPH: `--tph-abi NAME[@NUMBER]|auto|off`.
public enum TPHChoice: Hashable, Sendable {
    /// Find number and revision.
    case auto
    /// Do not look for it at all.
    case off
    /// The user knows the revision, not the number: there is no default number, so it is looked for.
    case named(TPHABI)
    /// The user knows both. Number 13 to 65535.
    case fixed(TPHABI, number: UInt32)

    /// Reads the option's value. Throws a sentence that lists what is possible.
    public init(_ text: String) throws(TPHChoiceError) {
        switch text {
        case "auto": self = .auto
        case "off": self = .off
        default: self = try Self.revision(text)
        }
    }

    private static func revision(_ text: String) throws(TPHChoiceError) -> TPHChoice {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let abi = TPHABI.named(name) else { throw TPHChoiceError(unknown: name) }
        guard parts.count == 2 else { return .named(abi) }
        return .fixed(abi, number: try number(parts[1]))
    }

    private static func number(_ text: Substring) throws(TPHChoiceError) -> UInt32 {
        let digits = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        let numbers = TPHFeature.numbers
        guard digits, let number = UInt32(text), number <= numbers.upperBound else {
            throw TPHChoiceError(
                message: "\"\(text)\" is not a feature number: \(numbers.lowerBound) to \(numbers.upperBound), decimal")
        }
        guard numbers.contains(number) else {
            throw TPHChoiceError(
                message: "feature \(number) of released kernels is another one (all below \(numbers.lowerBound) are "
                    + "taken), so DMA_BUF_TPH cannot have it")
        }
        return number
    }
}

/// A value of `--tph-abi` that cannot be used.
public struct TPHChoiceError: Error, Hashable, Sendable {
    /// A sentence that says what is wrong and what would be right.
    public let message: String

    init(message: String) { self.message = message }

    init(unknown name: String) {
        let names = TPHABI.all.map(\.name).joined(separator: ", ")
        let earlier =
            name.hasPrefix("rfc") || name == "v1" ? "; RFC to v1 changed DMA_BUF itself and are not offered" : ""
        message = "\"\(name)\" is no TPH ABI: auto, off, or one of \(names), each with @NUMBER or without\(earlier)"
    }
}
