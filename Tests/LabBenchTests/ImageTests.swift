import FoundationEssentials
import Glibc
import Kernel
import Testing

@testable import LabBench

/// What a guest has of this machine.
@Suite struct ImageTests {
    /// The entries of an archive: what cpio(1) would list, with their contents.
    private func entries(_ archive: [UInt8]) throws -> [(name: String, mode: Int, contents: [UInt8])] {
        var entries: [(name: String, mode: Int, contents: [UInt8])] = []
        var at = 0
        func field(_ number: Int) throws -> Int {
            let start = at + 6 + 8 * number
            return try #require(Int(String(decoding: archive[start..<(start + 8)], as: UTF8.self), radix: 16))
        }
        while true {
            #expect(String(decoding: archive[at..<(at + 6)], as: UTF8.self) == "070701")
            let (mode, size, length) = (try field(1), try field(6), try field(11))
            let name = String(decoding: archive[(at + 110)..<(at + 109 + length)], as: UTF8.self)
            let start = (at + 110 + length + 3) & ~3
            if name == "TRAILER!!!" { return entries }
            entries.append((name, mode, Array(archive[start..<(start + size)])))
            at = (start + size + 3) & ~3
        }
    }

    private func temporaryFolder() throws -> String {
        var template = Array("/tmp/peerlab-image.XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private func put(_ text: String, at path: String) throws {
        try #require(FileManager.default.createFile(atPath: path, contents: Data(text.utf8)))
    }

    @Test func anArchiveHasFoldersBeforeWhatIsInThem() throws {
        var archive = CPIOArchive()
        archive.file("/a/b/c.lua", Array("hello".utf8))
        archive.file("/a/b/c.lua", Array("again".utf8))
        archive.file("/a/d", [], isExecutable: true)
        archive.finish()
        let found = try entries(archive.bytes)
        #expect(found.map(\.name) == ["dev", "dev/console", "a", "a/b", "a/b/c.lua", "a/d"])
        #expect(found.map(\.mode) == [0o40755, 0o20600, 0o40755, 0o40755, 0o100644, 0o100755])
        #expect(found[4].contents == Array("hello".utf8))
        #expect(archive.bytes.count % 4 == 0)
    }

    /// Only Lua files come along; nothing that a link leads to, nothing hidden, nothing that waits for a writer.
    @Test func aFolderGivesItsLuaFilesAndNothingElse() throws {
        let folder = try temporaryFolder(), secrets = try temporaryFolder()
        defer { for path in [folder, secrets] { try? FileManager.default.removeItem(atPath: path) } }
        try put("secret", at: secrets + "/key.lua")
        try put("return 1", at: folder + "/module.lua")
        mkdir(folder + "/below", 0o700)
        try put("return 2", at: folder + "/below/other.lua")
        mkdir(folder + "/.git", 0o700)
        try put("return 3", at: folder + "/.git/hidden.lua")
        try put("password", at: folder + "/notes.txt")
        symlink(secrets + "/key.lua", folder + "/notes.lua")
        symlink(secrets, folder + "/linked")
        mkfifo(folder + "/fifo.lua", 0o600)
        var image = try GuestImage(stdlib: [])
        image.addModules(of: folder, at: "/scenario")
        let job = GuestJob(
            command: ["/x"], environment: [], directory: "/scenario", modules: [], bindings: [], files: 0)
        let found = try entries(try image.bytes(job)[0]).filter {
            $0.name.hasPrefix("scenario/") && $0.mode & 0o100000 != 0
        }
        #expect(found.map(\.name) == ["scenario/module.lua", "scenario/below/other.lua"])
        #expect(image.notes.isEmpty)
    }

    @Test func aFolderThatIsTooLargeIsSaid() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for number in 0...GuestImage.mostFiles { try put("", at: "\(folder)/\(number).lua") }
        var image = try GuestImage(stdlib: [])
        image.addModules(of: folder, at: "/scenario")
        #expect(image.notes.count == 1)
        #expect(image.notes.first?.contains("too much in it") == true)
    }

    @Test func anImageHasTheProgramItsLibrariesAndTheJob() throws {
        let image = try GuestImage(stdlib: [])
        let job = GuestJob(
            command: ["/usr/bin/peerlab"], environment: ["A=b"], directory: "/somewhere",
            modules: [.init(path: "/m.ko", parameters: ["a=1"])],
            bindings: [.init(identity: "1af4:1110", driver: "vfio-pci")], files: 2)
        let found = try entries(try image.bytes(job)[0])
        let names = found.map(\.name)
        #expect(names.contains("usr/bin/peerlab"))
        #expect(names.contains { $0.hasSuffix("/libc.so.6") })
        #expect(names.contains("somewhere"))
        let text = try #require(found.first { "/" + $0.name == GuestJob.path })
        #expect(try JSONDecoder().decode(GuestJob.self, from: Data(text.contents)) == job)
    }

    @Test func anArchiveOfTheUsersIsOne() throws {
        let image = try GuestImage(stdlib: [])
        for text in ["hello", ""] {
            #expect(throws: Failure.self) {
                var image = image
                try image.append(archive: Array(text.utf8), from: "a file")
            }
        }
    }

    @Test func aProgramWithoutItsSymbolsEndsWithWhatIsLoaded() throws {
        let program = try #require(LabFile.contents(of: "/proc/self/exe"))
        let less = ELFFile.withoutSymbols(program)
        #expect(less.count < program.count)
        #expect(Array(less[64..<1024]) == Array(program[64..<1024]))
        #expect(less[60..<64] == [0, 0, 0, 0])
    }

    /// Headers that lie about where things are leave a file as it is.
    @Test(
        arguments: [
            (32, [255, 255, 255, 255, 255, 255, 255, 127]), (56, [255, 255]), (54, [0, 0]),
            (64 + 32, [255, 255, 255, 255, 255, 255, 255, 255]),
            (64 + 8, [0, 0, 0, 0, 0, 0, 0, 128]),
        ] as [(Int, [UInt8])])
    func whatIsNoProgramStaysAsItIs(at place: Int, bytes: [UInt8]) throws {
        var program = Array(try #require(LabFile.contents(of: "/proc/self/exe")).prefix(4096))
        program.replaceSubrange(place..<(place + bytes.count), with: bytes)
        #expect(ELFFile.withoutSymbols(program) == program)
        #expect(ELFFile.withoutSymbols([1, 2, 3]) == [1, 2, 3])
    }
}
