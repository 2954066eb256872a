import Commands
import Glibc

/// What a guest prints, line by line, with escapes, and bounded: a guest that was taken over prints what it likes.
final class GuestOutput {
    /// Bytes of a line that are kept until its end has come.
    private static let longest = 64 << 10
    private var line: [UInt8] = []
    /// Bytes of a line that are not kept.
    private var dropped = 0

    func add(_ bytes: [UInt8], to descriptor: Int32) {
        for part in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            if part.offset > 0 { show(to: descriptor) }
            let kept = part.element.prefix(GuestOutput.longest - line.count)
            line += kept
            dropped += part.element.count - kept.count
        }
    }

    /// What came without an end of its line.
    func end(to descriptor: Int32) {
        if !line.isEmpty { show(to: descriptor) }
    }

    /// Whether a line could be taken for the one that says where a report comes from, and is not the lab's: no guest is
    /// another bench. Blanks, marks and what joins to a letter before it do not count.
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
