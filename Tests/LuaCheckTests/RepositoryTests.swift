import Glibc
import Runner
import Testing

@testable import LuaCheck

/// Files of this repository.
enum Repository {
    static let root = String(#filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined())

    /// A checker that finds what the repository's own runs find.
    static func checker() throws -> LuaChecker {
        try LuaChecker(Library(stdlib: ["\(root)/stdlib", "\(root)/Tests/Conformance"]))
    }

    /// Every Lua file below a folder.
    static func files(in folder: String) -> [String] {
        var files: [String] = []
        for name in names(inFolder: folder).sorted() {
            let path = "\(folder)/\(name)"
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                files += self.files(in: path)
            } else if name.hasSuffix(".lua") {
                files.append(path)
            }
        }
        return files
    }

    static func bytes(_ path: String) throws -> [UInt8] { try InputFile.bytes(of: path, limit: 1 << 22) }

    static func folder(_ path: String) -> String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }
}

@Suite struct RepositoryTests {
    /// What works has no finding: a false one would teach authors to look away.
    @Test func scenariosAndModulesHaveNoFinding() throws {
        let checker = try Repository.checker()
        var files: [String] = []
        for folder in ["stdlib", "scripts", "Tests"] { files += Repository.files(in: "\(Repository.root)/\(folder)") }
        // What tries to escape is wrong on purpose.
        files.removeAll { $0.contains("/Tests/Escapes/") }
        #expect(files.count > 120)
        for file in files {
            let found = checker.findings(in: try Repository.bytes(file), folder: Repository.folder(file))
            #expect(found.isEmpty, "\(file): \(found)")
        }
    }

    /// Files that would break out of Lua are read to their end.
    @Test func filesThatTryToEscapeAreRead() throws {
        let checker = try Repository.checker()
        let files = Repository.files(in: "\(Repository.root)/Tests/Escapes")
        #expect(files.count > 50)
        for file in files {
            let found = checker.findings(in: try Repository.bytes(file), folder: Repository.folder(file))
            #expect(!found.contains { $0.message.contains("not checked") }, "\(file)")
        }
    }
}
