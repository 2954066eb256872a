/// What a part of the exported program consists of.
enum CEntry {
    case comment(String)
    /// A call: its comment, and its code, each line with one tab before it.
    case step(comment: String, code: [String], number: Int)
}

/// Repeated calls as loops: a block of calls that follows itself at least twice, in which every number is the same each time,
/// or grows by the same amount.
struct CLoop {
    /// Most calls of a block, and fewest repetitions that become a loop.
    private static let longestBlock = 64, fewest = 3

    /// The code of a call with its numbers taken out.
    private struct Template {
        let pieces: [Substring]
        let literals: [Substring]
        let numbers: [UInt64]
    }

    private let entries: [CEntry]
    private var templates: [Template?] = []
    /// The same number for the same pieces; -1, which equals nothing, for comments.
    private var kinds: [Int] = []

    private init(_ entries: [CEntry]) {
        self.entries = entries
        var known: [[Substring]: Int] = [:]
        for entry in entries {
            guard case .step(_, let code, _) = entry else {
                templates.append(nil)
                kinds.append(-1)
                continue
            }
            let template = CLoop.template(code.joined(separator: "\n"))
            templates.append(template)
            let kind = known[template.pieces] ?? known.count
            known[template.pieces] = kind
            kinds.append(kind)
        }
    }

    /// The lines of a part, with loops.
    static func lines(_ entries: [CEntry]) -> [String] {
        let loop = CLoop(entries)
        var lines: [String] = []
        var index = 0
        while index < entries.count {
            if let (period, count) = loop.best(at: index) {
                lines += loop.lines(at: index, period, count)
                index += period * count
                continue
            }
            switch entries[index] {
            case .comment(let text): lines.append(text)
            case .step(let comment, let code, _): lines += [comment] + code
            }
            index += 1
        }
        return lines
    }

    /// The block at an index that takes the most calls into its loop.
    private func best(at index: Int) -> (period: Int, count: Int)? {
        guard kinds[index] >= 0 else { return nil }
        var best: (period: Int, count: Int)?
        for period in 1...CLoop.longestBlock where index + period * CLoop.fewest <= kinds.count {
            guard kinds[index] == kinds[index + period], !kinds[index..<(index + period)].contains(-1) else { continue }
            let count = count(at: index, period)
            if count >= CLoop.fewest, count * period > best.map({ $0.count * $0.period }) ?? 0 {
                best = (period, count)
            }
        }
        return best
    }

    private func count(at index: Int, _ period: Int) -> Int {
        var count = 1
        while index + (count + 1) * period <= kinds.count,
            (0..<period).allSatisfy({ fits(index + $0, count, period) })
        {
            count += 1
        }
        return count
    }

    /// Whether the call that follows `first` by so many periods is what the loop makes of it.
    private func fits(_ first: Int, _ turn: Int, _ period: Int) -> Bool {
        let other = first + turn * period
        guard kinds[first] == kinds[other], let base = templates[first]?.numbers,
            let next = templates[first + period]?.numbers, let found = templates[other]?.numbers
        else { return false }
        return base.indices.allSatisfy { index in
            found[index] == base[index] &+ UInt64(turn) &* (next[index] &- base[index])
        }
    }

    private func lines(at index: Int, _ period: Int, _ count: Int) -> [String] {
        var lines: [String] = []
        if case .step(_, _, let first) = entries[index],
            case .step(_, _, let last) = entries[index + period * count - 1]
        {
            lines.append("\t/* calls \(first) to \(last): \(count) times alike */")
        }
        lines.append("\tfor (uint64_t turn = 0; turn < \(count); turn++) {")
        for step in index..<(index + period) {
            guard case .step(let comment, _, _) = entries[step], let template = templates[step],
                let next = templates[step + period]
            else { continue }
            var code = String(template.pieces[0])
            for (number, piece) in template.pieces.dropFirst().enumerated() {
                let literal = template.literals[number]
                code += CLoop.expression(literal, next.numbers[number] &- template.numbers[number]) + piece
            }
            for line in [comment[...]] + code.split(separator: "\n", omittingEmptySubsequences: false) {
                lines.append(line.isEmpty ? "" : "\t" + line)
            }
        }
        return lines + ["\t}"]
    }

    private static func expression(_ literal: Substring, _ step: UInt64) -> String {
        if step == 0 { return String(literal) }
        let isNegative = step > UInt64(Int64.max)
        let amount = isNegative ? 0 &- step : step
        return "(\(literal) \(isNegative ? "-" : "+") turn * \(CText.number(amount)))"
    }

    /// Takes out the numbers in whose place an expression may stand: none of a string, a comment, an index or a declaration.
    private static func template(_ code: String) -> Template {
        var pieces: [Substring] = []
        var literals: [Substring] = []
        var numbers: [UInt64] = []
        var start = code.startIndex
        for token in CTokens(code) where token.kind == .number && !token.isFixed {
            let text = code[token.range]
            let digits = text.prefix { $0 != "U" }
            let value = digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
            guard let value else { continue }
            pieces.append(code[start..<token.range.lowerBound])
            literals.append(text)
            numbers.append(value)
            start = token.range.upperBound
        }
        pieces.append(code[start...])
        return Template(pieces: pieces, literals: literals, numbers: numbers)
    }
}
