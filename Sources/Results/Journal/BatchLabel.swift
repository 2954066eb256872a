/// A user's name for a batch.
public enum BatchLabel {
    /// The rule, in words.
    public static let rule = "1 to 64 letters, digits, '-', '_' and '.', not a number"

    /// Whether a text is a label.
    public static func isUsable(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
            default: false
            }
        }
        return isPlain && (1...64).contains(text.utf8.count) && Int64(text) == nil && text.first != "-"
            && text.first != "."
    }
}
