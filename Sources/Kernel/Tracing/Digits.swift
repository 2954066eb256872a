/// "0x1f"
public func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }

/// Hexadecimal digits with leading zeros, at least `width` of them: "001f".
public func hexDigits(_ value: some BinaryInteger, width: Int) -> String {
    zeroPadded(String(value, radix: 16), to: width)
}

/// A text with leading zeros, at least `width` characters long.
public func zeroPadded(_ digits: String, to width: Int) -> String {
    String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A time in nanoseconds as seconds with six decimals, "0.000003", for traces and records.
public func secondsText(nanoseconds: UInt64) -> String {
    let microseconds = nanoseconds / 1000
    return "\(microseconds / 1_000_000)." + zeroPadded(String(microseconds % 1_000_000), to: 6)
}
