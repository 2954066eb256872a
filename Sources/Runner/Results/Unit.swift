import Glibc

/// A unit as scripts write it: "ns", "GB/s", "KiB". An unknown text is a unit that is comparable only with itself.
public struct Unit: Hashable, Sendable {
    /// The script's text.
    public let text: String
    /// The unit to which numbers of its kind are converted: "ns", "B", "B/s".
    public let base: String
    /// Size of one unit, in `base`.
    public let scale: Double

    private static let times: [(name: String, scale: Double)] = [("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1)]
    private static let decimal: [(name: String, scale: Double)] = [
        ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1),
    ]
    private static let binary: [(name: String, scale: Double)] = [
        ("Ti", 0x1p40), ("Gi", 0x1p30), ("Mi", 0x1p20), ("Ki", 0x1p10),
    ]
    private static let bases = ["B", "B/s", "bit", "bit/s", "Hz"]

    /// A unit of that name.
    public init(_ text: String) {
        self.text = text
        if let time = Unit.times.first(where: { $0.name == text || ($0.name == "us" && text == "\u{b5}s") }) {
            (base, scale) = ("ns", time.scale)
            return
        }
        for base in Unit.bases where text.hasSuffix(base) {
            let prefix = text.dropLast(base.count)
            if let found = (Unit.decimal + Unit.binary).first(where: { $0.name == prefix }) {
                (self.base, scale) = (base, found.scale)
                return
            }
        }
        (base, scale) = (text, 1)
    }

    /// Converts a number from another unit of the same kind. Rounded to twelve digits, so that equal quantities in
    /// different units stay equal.
    public func converted(_ value: Double, from other: Unit) -> Double {
        Unit.rounded(value * (other.scale / scale), digits: 12)
    }

    static func rounded(_ value: Double, digits: Int) -> Double {
        guard value.isFinite else { return value }
        return strtod(formatted("%.*e", Int32(digits - 1), value), nil)
    }

    /// A number with a precision; the text has less than 60 characters.
    private static func formatted(_ format: String, _ precision: Int32, _ value: Double) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([precision, value]) { vsnprintf(&buffer, buffer.count, format, $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: Readable numbers

    /// "1.07 ms", "12.5 GB/s", "4096 B", "3.2 M": at least three digits, and all digits before the point.
    public func amount(_ value: Double) -> String { shown(value, in: reading(value), digits: 3).text }

    /// Two numbers of one measurement, with enough digits to agree with the shown difference.
    public func amounts(_ one: Double, _ other: Double, isShare: Bool) -> (String, String) {
        let (least, most) = abs(one) < abs(other) ? (one, other) : (other, one)
        // The same unit for both, unless that makes one of them unreadable.
        let common = reading(least == 0 ? most : least)
        let isCommon = abs(most) * scale / common.scale < 10_000
        let readings = isCommon ? (common, common) : (reading(one), reading(other))
        func text(_ one: Double, _ other: Double) -> String {
            isShare ? Unit.percent(other / one - 1) : Unit.signed(other - one) { amount($0) }
        }
        let wanted = text(one, other)
        var digits = 3
        while true {
            let (first, second) = (
                shown(one, in: readings.0, digits: digits), shown(other, in: readings.1, digits: digits)
            )
            if digits == 17 || text(first.value, second.value) == wanted { return (first.text, second.text) }
            digits += 1
        }
    }

    /// A change as text: a fraction of the old value ("-7.5 %", "1000 times"), or a number with its unit.
    public func difference(_ value: Double, isShare: Bool) -> String {
        isShare ? Unit.percent(value) : Unit.signed(value) { amount($0) }
    }

    private static func signed(_ value: Double, _ text: (Double) -> String) -> String {
        (value > 0 ? "+" : "") + text(value == 0 ? 0 : value)
    }

    /// A fraction as a signed percentage; as a factor from 100 times on.
    static func percent(_ share: Double) -> String {
        guard share < 99 else {
            return share.isFinite ? "\(digits(share + 1, 3)) times" : "more than 1e308 times"
        }
        let value = share * 100
        // Two digits for small values; less than a millionth counts as a rounding error.
        var places = 1.0
        while places < 6, abs(value) * pow(10, places) < 0.5, abs(value) >= 5e-7 { places += 1 }
        let text = formatted("%.*f", Int32(places), value)
        return strtod(text, nil) == 0 ? "0.0 %" : (value > 0 ? "+" : "") + text + " %"
    }

    /// A unit in which a number is shown.
    private struct Reading {
        let name: String
        let scale: Double
    }

    private func reading(_ value: Double) -> Reading {
        let size = abs(value) * scale
        if base == "ns" {
            // Seconds are the largest unit of time.
            let time = Unit.times.first { size >= $0.scale } ?? ("ns", 1)
            return Reading(name: time.name, scale: time.scale)
        }
        // Sizes are often powers of two, which are easiest to read unscaled.
        let isRate = base.isEmpty || base.hasSuffix("/s") || base == "Hz"
        guard isRate, !Unit.binary.contains(where: { text.hasPrefix($0.name) }) || scale == 1,
            let found = Unit.decimal.first(where: { size >= $0.scale }) ?? Unit.decimal.last
        else { return Reading(name: text, scale: scale) }
        return Reading(name: found.name + base, scale: found.scale)
    }

    /// The text of a number, and the number that a reader takes from it.
    private func shown(_ value: Double, in reading: Reading, digits: Int) -> (text: String, value: Double) {
        guard value.isFinite else { return ("\(value)", value) }
        let shown = Unit.digits(value * (scale / reading.scale), digits)
        return (shown + (reading.name.isEmpty ? "" : " " + reading.name), strtod(shown, nil) * (reading.scale / scale))
    }

    /// At least `count` significant digits, and all digits before the point.
    private static func digits(_ value: Double, _ count: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        let before = value == 0 ? 1 : Int(min(17, max(1, floor(log10(abs(value))) + 1)))
        let rounded = Unit.rounded(value, digits: max(count, before))
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int64(rounded))" : "\(rounded)"
    }
}
