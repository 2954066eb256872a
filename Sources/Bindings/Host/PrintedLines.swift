/// The beginning of what a script printed, for its result. The rest is shown and not kept.
public struct PrintedLines: Sendable {
    /// Most bytes, with an allowance for each line: as JSON they are at most twice as many.
    static let most = 8 << 20, lineCost = 64
    private var lines: [String] = []
    private var room = PrintedLines.most
    private var left = 0
    private var isEnded = false

    /// Of a script that has printed nothing.
    public init() {}

    /// Adds lines, as long as there is room. Of the line for which there is too little, the beginning is kept.
    public mutating func add(_ more: [String]) {
        guard !isEnded else { return }
        for line in more {
            guard left == 0 else {
                left += 1
                continue
            }
            room -= line.utf8.count + PrintedLines.lineCost
            if room >= 0 {
                lines.append(line)
            } else {
                let fitting = max(0, line.utf8.count + room)
                if fitting > 0 { lines.append(String(decoding: line.utf8.prefix(fitting), as: UTF8.self)) }
                left = 1
            }
        }
    }

    /// Forgets all lines, and keeps none from now on: the script's cases begin, which have logs of their own.
    public mutating func end() { (lines, left, isEnded) = ([], 0, true) }

    /// The lines; where some are not kept, the last one says so.
    public var kept: [String] {
        guard left > 0 else { return lines }
        return lines + ["... cut here: the rest (\(left == 1 ? "1 line" : "\(left) lines")) is not kept"]
    }
}
