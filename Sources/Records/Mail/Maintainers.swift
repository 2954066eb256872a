/// The kernel's MAINTAINERS: who gets mail about a file. It is a text from outside, so sizes are limited.
public struct Maintainers: Sendable {
    /// Most bytes of the file, and most addresses that it gives.
    public static let longest = 8 << 20
    private static let mostAddresses = 24
    /// Of these, lists.
    private static let mostLists = 8

    /// One subsystem.
    private struct Section {
        var people: [String] = []
        var reviewers: [String] = []
        var lists: [String] = []
        var files: [String] = []
        var excluded: [String] = []
    }

    /// Who a mail goes to.
    public struct Addressees: Sendable, Equatable {
        /// Those who maintain the files ("M:").
        public var to: [String] = []
        /// Lists, which every mail goes to, then reviewers ("L:", "R:").
        public var cc: [String] = []
    }

    private var sections: [Section] = []

    /// Reads the file's text; lines of another form are skipped.
    public init(parsing text: String) {
        var section: Section?
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            guard let key = line.first, line.dropFirst().first == ":" else {
                // A section begins with its title; a blank line ends it.
                if let done = section, !done.files.isEmpty { sections.append(done) }
                section = Section()
                continue
            }
            let value = String(line.dropFirst(2).drop { $0 == " " || $0 == "\t" })
            switch key {
            case "M": section?.people.append(value)
            case "R": section?.reviewers.append(value)
            case "L": section?.lists.append(value)
            case "F": section?.files.append(value)
            case "X": section?.excluded.append(value)
            default: break
            }
        }
        if let section, !section.files.isEmpty { sections.append(section) }
    }

    /// Who gets mail about these files of the kernel's tree. The section of all files ("*", "*/") counts for none.
    public func addressees(of paths: [String]) -> Addressees {
        var found = Addressees()
        var known: Set<String> = []
        func add(_ addresses: [String], to list: inout [String], most: Int = Maintainers.mostAddresses) {
            for address in addresses.compactMap(Maintainers.address) where known.count < most {
                if known.insert(address).inserted { list.append(address) }
            }
        }
        let concerned = sections.filter { section in
            paths.contains { path in
                section.files.contains { $0 != "*" && $0 != "*/" && Maintainers.matches($0, path) }
                    && !section.excluded.contains { Maintainers.matches($0, path) }
            }
        }
        // However many people there are: a mail without its list is not archived.
        for section in concerned { add(section.lists, to: &found.cc, most: Maintainers.mostLists - 1) }
        add(["linux-kernel@vger.kernel.org"], to: &found.cc)
        for section in concerned { add(section.people, to: &found.to) }
        for section in concerned { add(section.reviewers, to: &found.cc) }
        return found
    }

    /// An address without what stands behind it ("(moderated list)"); nil of what is none.
    private static func address(_ text: String) -> String? {
        var text = text[...]
        if let end = text.firstIndex(of: ">") {
            text = text[...end]
        } else {
            text = text.prefix { $0 != " " && $0 != "\t" }
        }
        let isPlain = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
        guard text.contains("@"), text.utf8.count <= 120, isPlain else { return nil }
        return String(text)
    }

    /// Whether a pattern of "F:" covers a path: "dir/" with all below it, "dir/*" with its files alone, "?" one character.
    static func matches(_ pattern: String, _ path: String) -> Bool {
        let isFolder = pattern.hasSuffix("/")
        let parts = pattern.split(separator: "/"), names = path.split(separator: "/")
        guard isFolder ? names.count > parts.count : names.count == parts.count || isBelow(parts, names, pattern) else {
            return false
        }
        return zip(parts, names).allSatisfy { fits(Array($0.utf8), Array($1.utf8)) }
    }

    /// A pattern without a wildcard may name a folder without "/" behind it.
    private static func isBelow(_ parts: [Substring], _ names: [Substring], _ pattern: String) -> Bool {
        names.count > parts.count && !pattern.contains("*") && !pattern.contains("?")
            && !(parts.last ?? "").contains(".")
    }

    /// "*" and "?" within a name; linear but for the last "*".
    private static func fits(_ pattern: [UInt8], _ name: [UInt8]) -> Bool {
        var (place, index) = (0, 0)
        var star: (place: Int, index: Int)?
        while index < name.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "?") || pattern[place] == name[index] {
                place += 1
                index += 1
            } else if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, index)
                place += 1
            } else if let last = star {
                star = (last.place, last.index + 1)
                place = last.place + 1
                index = last.index + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
