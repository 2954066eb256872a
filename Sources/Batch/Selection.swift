import Glibc
public import Kernel

/// The files that a command line's paths select.
public struct Selection: Sendable {
    /// A file, and whether it was found in a folder; a found one is left out where it is no scenario.
    public struct File: Sendable, Equatable {
        /// The path as named, or below a folder as named.
        public let path: String
        /// Whether it was found in a folder.
        public let isFound: Bool
    }
    /// Sorted, without duplicates; files named on the command line come first, in that order.
    public private(set) var files: [File] = []
    /// Number of names in folders that are not UTF-8; such files are left out.
    public private(set) var unreadableNames = 0
    /// Number of symbolic links to files below folders; they are left out, as they may lead anywhere.
    public private(set) var links = 0

    /// Selects files, folders (every .lua file in and below them, hidden ones left out) and patterns such as
    /// "tph-*.lua". Throws where one of them selects nothing.
    public init(_ paths: [String]) throws(Failure) {
        var seen: Set<String> = []
        for path in paths {
            for file in try filesOf(path) where seen.insert(file.path).inserted { files.append(file) }
        }
    }

    private mutating func filesOf(_ path: String) throws(Failure) -> [File] {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                // A pipe or a device may be endless, or readable only once.
                guard status.st_mode & S_IFMT == S_IFREG else {
                    throw Failure("open", Errno(EINVAL), object: path, hint: "a scenario is a regular file")
                }
                return [File(path: path, isFound: false)]
            }
            let found = try below(path).sorted()
            guard !found.isEmpty else {
                throw Failure("open", Errno(ENOENT), object: path, hint: "the folder has no .lua files")
            }
            return found.map { File(path: $0, isFound: true) }
        }
        let code = errno
        let matches = Selection.expand(path)
        guard !matches.isEmpty else { throw Failure("open", Errno(code), object: path) }
        var files: [File] = []
        for match in matches { files += try filesOf(match) }
        return files
    }

    private static func expand(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, GLOB_NOMAGIC, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
            .filter { access($0, F_OK) == 0 }
    }

    private mutating func below(_ folder: String) throws(Failure) -> [String] {
        guard let directory = opendir(folder) else { throw Failure("open", Errno(errno), object: folder) }
        defer { closedir(directory) }
        var files: [String] = []
        while let entry = readdir(directory) {
            let text = withUnsafeBytes(of: entry.pointee.d_name) {
                String(validating: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let name = text else {
                unreadableNames += 1
                continue
            }
            guard !name.hasPrefix(".") else { continue }
            let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            // Links are not followed: those to folders may form a loop, those to files may leave the named folder.
            if status.st_mode & S_IFMT == S_IFDIR { files += try below(path) }
            if name.hasSuffix(".lua"), status.st_mode & S_IFMT == S_IFLNK { links += 1 }
            guard name.hasSuffix(".lua"), status.st_mode & S_IFMT == S_IFREG else { continue }
            files.append(path)
        }
        return files
    }
}

/// A run of a batch: a file with values for some of its options.
public struct Cell: Sendable, Equatable {
    /// Stable over batches: "tph.lua[size=64,st=0x10]#2".
    public let id: String
    /// Index of its file.
    public let file: Int
    /// Options that the matrix sets, in order.
    public let settings: [(name: String, value: String)]

    /// A run.
    public init(id: String, file: Int, settings: [(name: String, value: String)]) {
        self.id = id
        self.file = file
        self.settings = settings
    }

    /// See `Equatable`.
    public static func == (one: Cell, other: Cell) -> Bool {
        one.id == other.id && one.file == other.file && one.settings.elementsEqual(other.settings, by: ==)
    }

    /// All combinations of the rows' values, the last row changing fastest; each `repeats` times.
    public static func all(
        _ file: Int, _ path: String, _ matrix: [(option: String, values: [String])], repeats: Int
    ) -> [Cell] {
        // Fast path: most files have no matrix, and a batch may have very many files.
        if matrix.isEmpty, repeats == 1 { return [Cell(id: path, file: file, settings: [])] }
        var combinations: [[(name: String, value: String)]] = [[]]
        for row in matrix {
            combinations = combinations.flatMap { start in row.values.map { start + [(row.option, $0)] } }
        }
        return combinations.flatMap { settings in
            (1...repeats).map { number in
                let text = settings.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
                let id = path + (text.isEmpty ? "" : "[\(text)]") + (repeats > 1 ? "#\(number)" : "")
                return Cell(id: id, file: file, settings: settings)
            }
        }
    }
}

/// One of several parts of a batch: "2/5".
public struct Shard: Sendable, Equatable {
    /// From 1.
    public let number: Int
    /// Number of parts.
    public let count: Int

    /// nil where `number` is not in 1 to `count`.
    public init?(_ number: Int, of count: Int) {
        guard (1...max(count, 1)).contains(number), count > 0 else { return nil }
        self.number = number
        self.count = count
    }

    /// "2/5"
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let number = parts[0], let count = parts[1] else { return nil }
        self.init(number, of: count)
    }

    /// The cells of this part: every `count`-th one. Neighbours, which often take equally long, go to different parts.
    public func part(of cells: [Cell]) -> [Cell] {
        cells.enumerated().filter { $0.offset % count == number - 1 }.map(\.element)
    }
}
