/// The last lines of a guest's console; for a crashed kernel, those around the first sign of the crash. Its size is
/// limited.
struct GuestConsole {
    private static let most = 256 << 10
    private static let deaths = ["Kernel panic - not syncing", "] Oops: ", "] BUG: "]
    private var bytes: [UInt8] = []

    mutating func add(_ more: some Collection<UInt8>) {
        bytes += more
        if bytes.count > 2 * GuestConsole.most { bytes.removeFirst(bytes.count - GuestConsole.most) }
    }

    private var lines: [Substring] {
        // The serial line ends lines with "\r\n", which is one Character.
        String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
    }

    /// The last lines; for a crashed kernel, those around the first sign of the crash.
    var tail: String {
        let lines = lines
        let death = lines.firstIndex { line in GuestConsole.deaths.contains { line.contains($0) } }
        let tail = death.map { lines[max(0, $0 - 5)...].prefix(100) } ?? lines.suffix(40)
        return tail.joined(separator: "\n")
    }

    /// Whether the kernel reported a panic.
    var hasPanicked: Bool { lines.contains { $0.contains("Kernel panic - not syncing") } }
}
