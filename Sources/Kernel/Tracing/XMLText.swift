/// Text for XML 1.0, such as JUnit's and SVG's. It cannot represent most control characters: they are escaped as by
/// ``PrintableText``.
public enum XMLText {
    /// For the inside of an element or of an attribute in double quotes.
    public static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in PrintableText.lines(text).joined(separator: "\n").unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\n": result += "&#10;"
            case "\t": result += "&#9;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
