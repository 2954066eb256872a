import Kernel

/// Text of a mail in lines of at most 72 characters.
public enum Wrapped {
    /// Most characters of a line.
    public static let width = 72

    /// One paragraph, made safe: the first line after `first`, others after `rest`. A word that is longer stays whole.
    public static func lines(_ text: String, first: String = "", rest: String? = nil, width: Int = width) -> [String] {
        let rest = rest ?? String(repeating: " ", count: first.count)
        var lines: [String] = []
        var line = first
        var isEmpty = true
        for word in PrintableText.line(text).split(separator: " ") {
            if !isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = rest
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return lines + [line]
    }
}
