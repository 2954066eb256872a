/// The order of ids and measurements' names. Numbers in them are compared as numbers, with a unit of size after them:
/// "size=64" comes before "size=1K", and that before "size=16K".
public enum NaturalOrder {
    /// Whether one comes before the other; different texts are never equal.
    public static func precedes(_ one: String, _ other: String) -> Bool {
        var (one, other) = (one, other)
        return one.withUTF8 { a in other.withUTF8 { compare(a, $0) } } < 0
    }

    private static func compare(_ one: UnsafeBufferPointer<UInt8>, _ other: UnsafeBufferPointer<UInt8>) -> Int {
        var (i, j) = (0, 0)
        while i < one.count, j < other.count {
            if isDigit(one[i]), isDigit(other[j]) {
                let (a, b) = (number(one, &i), number(other, &j))
                if a != b { return a < b ? -1 : 1 }
            } else if one[i] != other[j] {
                return Int(one[i]) - Int(other[j])
            } else {
                i += 1
                j += 1
            }
        }
        let rest = (one.count - i) - (other.count - j)
        if rest != 0 { return rest }
        // "1K" and "1024" are equal numbers, but different texts.
        return one.elementsEqual(other) ? 0 : one.lexicographicallyPrecedes(other) ? -1 : 1
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// Reads the number at `index`, and moves `index` past it and its unit. Numbers that differ only beyond Double's
    /// precision are equal.
    private static func number(_ text: UnsafeBufferPointer<UInt8>, _ index: inout Int) -> Double {
        var value = 0.0
        while index < text.count, isDigit(text[index]) {
            value = value * 10 + Double(text[index] - 0x30)
            index += 1
        }
        guard index < text.count, let unit = Array("KMGT".utf8).firstIndex(of: text[index]) else { return value }
        var next = index + 1
        if text[next...].starts(with: "iB".utf8) { next += 2 }
        // A unit must end the word: in "4Kernel" there is none.
        if next < text.count, isLetter(text[next]) { return value }
        index = next
        for _ in 0...unit { value *= 1024 }
        return value
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte & ~0x20) || isDigit(byte) }
}
