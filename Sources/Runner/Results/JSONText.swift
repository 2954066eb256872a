import FoundationEssentials
import Kernel

/// The only writer of JSON. Keys are sorted; characters that ``PrintableText`` would escape are written as \uXXXX.
public struct JSONText: Sendable {
    private let isPretty: Bool

    /// Writes one line for each value or, where pretty, one for each member.
    public init(pretty: Bool = false) { isPretty = pretty }

    /// A value, without a final line end.
    public func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if isPretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return JSONText.escaped([UInt8](try encoder.encode(value)))
    }

    /// Escapes characters in finished JSON. Outside ASCII, JSON has characters only inside strings, where an escape is
    /// equivalent.
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
