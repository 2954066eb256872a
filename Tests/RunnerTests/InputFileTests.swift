import Glibc
import Kernel
import Runner
import Testing

/// How files are read that somebody else may have put there.
@Suite struct InputFileTests {
    private static func inFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/peerlab-input.XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        let folder = String(cString: made)
        defer { _ = system("rm -r '\(folder)'") }
        try body(folder)
    }

    @Test func onlySoMuchOfAFileIsRead() throws {
        try Self.inFolder { folder in
            try ResultFile(folder + "/f").write([UInt8](repeating: 1, count: 100))
            #expect(try InputFile.bytes(of: folder + "/f", limit: 100).count == 100)
            let error = #expect(throws: Failure.self) { try InputFile.bytes(of: folder + "/f", limit: 99) }
            #expect(error?.errno.name == "EFBIG")
            // A file without blocks that says it is large.
            truncate(folder + "/f", 1 << 40)
            #expect(throws: Failure.self) { try InputFile.bytes(of: folder + "/f", limit: 1 << 30) }
        }
    }

    @Test func whatIsNoFileIsRefusedBeforeItIsRead() throws {
        try Self.inFolder { folder in
            mkfifo(folder + "/fifo", 0o600)
            symlink("fifo", folder + "/link")
            for path in [folder, folder + "/fifo", folder + "/link", "/dev/zero", "/dev/tty", "/dev/null"] {
                #expect(throws: Failure.self) { try InputFile.bytes(of: path, limit: 100) }
            }
            let nothing = try InputFile.bytes(of: "/dev/null", limit: 100, mayBeStream: true)
            #expect(nothing.isEmpty)
            #expect(throws: Failure.self) {
                try InputFile.bytes(of: folder + "/fifo", limit: 100, mayBeStream: true)
            }
        }
    }

    @Test func aModuleLiesBelowItsFolderWithoutLinks() throws {
        try Self.inFolder { folder in
            mkdir(folder + "/sub", 0o700)
            try ResultFile(folder + "/sub/m.lua").write([1])
            symlink("sub", folder + "/linked")
            symlink("sub/m.lua", folder + "/m.lua")
            mkfifo(folder + "/fifo.lua", 0o600)
            mkdir(folder + "/folder.lua", 0o700)
            #expect(try ModuleFile.bytes(of: "sub/m.lua", in: folder) == [1])
            #expect(try ModuleFile.bytes(of: "sub/none.lua", in: folder) == nil)
            #expect(try ModuleFile.bytes(of: "none/m.lua", in: folder) == nil)
            let refused = [
                "m.lua", "linked/m.lua", "fifo.lua", "folder.lua", "../m.lua", "/etc/passwd", "sub//m.lua",
                "sub/./m.lua",
                "sub/m", ".lua", "", "sub/m.lua/",
            ]
            for path in refused { #expect(throws: Failure.self) { _ = try ModuleFile.bytes(of: path, in: folder) } }
        }
    }
}
