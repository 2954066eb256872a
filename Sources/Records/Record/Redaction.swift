/// Replaces host names, user names, folders, network addresses and GUIDs by placeholders; one value always gets the same
/// placeholder. GUIDs that are written as one number (0x0c42a10300aabb00) stay.
public struct Redaction: Sendable {
    private let words: [(word: String, kind: String)]
    private var names: [String: String] = [:]
    private var counts: [String: Int] = [:]

    /// `hosts`, `users` and `folders` are this machine's.
    public init(hosts: [String], users: [String], folders: [String]) {
        // The longest first: a folder has a user's name in it.
        words = (folders.map { ($0, "folder") } + hosts.map { ($0, "host") } + users.map { ($0, "user") })
            .filter { $0.0.utf8.count > 2 && $0.0 != "root" && $0.0 != "localhost" }
            .sorted { $0.0.utf8.count > $1.0.utf8.count }
    }

    /// What was taken out: "mac address: 2", sorted.
    public var taken: [String] { counts.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" } }

    /// The text without it.
    public mutating func apply(_ text: String) -> String {
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            // libibverbs' version ("1.14.44.0") has the form of an IPv4 address.
            let isVersion = line.contains("libibverbs")
            var result = ""
            var token = ""
            for character in line {
                if Redaction.isPart(character) {
                    token.append(character)
                } else {
                    result += replaced(token, isVersion) + String(character)
                    token = ""
                }
            }
            lines.append(words(in: result + replaced(token, isVersion)))
        }
        return lines.joined(separator: "\n")
    }

    private static func isPart(_ character: Character) -> Bool {
        character.isHexDigit || character == ":" || character == "."
    }

    private mutating func name(_ kind: String, of word: String) -> String {
        if let known = names[word] { return known }
        counts[kind, default: 0] += 1
        let name = "\(kind.filter { $0 != " " })-\(counts[kind, default: 0])"
        names[word] = name
        return name
    }

    /// A run of hexadecimal digits, colons and dots, which may be an address, or have one among its colons: "10.1.2.3:7471".
    private mutating func replaced(_ token: String, _ isVersion: Bool) -> String {
        guard !token.isEmpty else { return token }
        if let whole = replacedWhole(token, isVersion) { return whole }
        return token.split(separator: ":", omittingEmptySubsequences: false)
            .map { replacedWhole(String($0), isVersion) ?? String($0) }.joined(separator: ":")
    }

    /// With what a sentence or a list has behind an address; nil where it is none.
    private mutating func replacedWhole(_ token: String, _ isVersion: Bool) -> String? {
        let end = token.lastIndex { $0 != "." && $0 != ":" }.map(token.index(after:)) ?? token.startIndex
        let word = token[..<end]
        let candidates = [token[...], token[end...].hasPrefix("::") ? word + "::" : word, word]
        for candidate in candidates where candidate.utf8.count <= Redaction.longest {
            guard let kind = Redaction.kind(of: String(candidate), isVersion) else { continue }
            return name(kind, of: String(candidate)) + token.dropFirst(candidate.count)
        }
        return nil
    }

    /// Of an IPv6 address with an IPv4 address at its end (RFC 4291), in characters.
    private static let longest = 45

    private static func kind(of token: String, _ isVersion: Bool) -> String? {
        let groups = token.split(separator: ":", omittingEmptySubsequences: false)
        if groups.count == 6, groups.allSatisfy({ $0.utf8.count == 2 }) { return "mac address" }
        // "0011:2233:4455:6677"; a PCI address has a dot.
        if groups.count == 4, groups.allSatisfy({ $0.utf8.count == 4 }), !token.contains(".") { return "guid" }
        // The last 32 bits may stand as an IPv4 address: "::ffff:10.1.2.3".
        let isMapped = groups.last.map(isIPv4) ?? false
        let count = groups.count + (isMapped ? 1 : 0)
        if groups.count >= 3, count <= 8, token.contains("::") || count == 8,
            groups.dropLast(isMapped ? 1 : 0).allSatisfy({ $0.utf8.count <= 4 && !$0.contains(".") }), token != "::",
            !token.hasSuffix(":") || token.hasSuffix("::")
        {
            return "ip address"
        }
        return !isVersion && isIPv4(token) && token != "127.0.0.1" ? "ip address" : nil
    }

    private static func isIPv4(_ text: some StringProtocol) -> Bool {
        let numbers = text.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers.allSatisfy { Int($0).map { (0...255).contains($0) } ?? false }
    }

    private mutating func words(in line: String) -> String {
        var line = line
        for (word, kind) in words where line.contains(word) {
            let name = name(kind, of: word)
            line = line.split(separator: word, omittingEmptySubsequences: false).joined(separator: name)
        }
        return line
    }
}
