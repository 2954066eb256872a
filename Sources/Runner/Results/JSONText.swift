import FoundationEssentials
import Kernel

/// The one writer of JSON: sorted keys, and what ``PrintableText`` does not show stands there as \uXXXX.
public struct JSONText: Sendable {
    private let isPretty: Bool

    /// One line for each value, or, where it is pretty, one for each member.
    public init(pretty: Bool = false) { isPretty = pretty }

    /// A value, without a line end behind it.
    public func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if isPretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return JSONText.escaped([UInt8](try encoder.encode(value)))
    }

    /// JSON that others wrote, or that an encoder made: beyond ASCII there is something in strings alone, where an escape
    /// means the same.
    public static func escaped(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(where: { $0 >= 0x7f }) else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.value < 0x7f || PrintableText.isShown(scalar) {
                result += UTF8.encode(scalar)?.map { $0 } ?? []
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    result += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
                }
            }
        }
        return result
    }
}
