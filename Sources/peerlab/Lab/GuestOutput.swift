import Commands
import Glibc

/// A guest's output, printed line by line, escaped and limited: a compromised guest may print anything.
final class GuestOutput {
    /// Bytes kept of a line whose end has not come.
    private static let longest = 64 << 10
    private var line: [UInt8] = []
    /// Bytes of the current line that were dropped.
    private var dropped = 0

    func add(_ bytes: [UInt8], to descriptor: Int32) {
        for part in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            if part.offset > 0 { show(to: descriptor) }
            let kept = part.element.prefix(GuestOutput.longest - line.count)
            line += kept
            dropped += part.element.count - kept.count
        }
    }

    /// Prints a last line without a line end.
    func end(to descriptor: Int32) {
        if !line.isEmpty { show(to: descriptor) }
    }

    /// Whether a line could be taken for a report's first line of a bench other than the lab. Blanks, marks and
    /// combining characters before it are ignored.
    static func namesBench(_ text: String) -> Bool {
        let letters = text.unicodeScalars.lazy.filter { $0.properties.isAlphabetic || $0.properties.numericType != nil }
        let start = String(String.UnicodeScalarView(letters.prefix(5)))
        guard start.lowercased() == "bench" else { return false }
        return !text.utf8.starts(with: "bench: lab (kernel ".utf8)
            || !LabOptions.insides.contains { text.contains(" in \($0))") }
    }

    private func show(to descriptor: Int32) {
        var text = String(decoding: line, as: UTF8.self)
        if GuestOutput.namesBench(text) { text = "guest> " + text }
        if dropped > 0 { text += " [\(dropped) more bytes]" }
        printRelayed(text, to: descriptor)
        line = []
        dropped = 0
    }
}
