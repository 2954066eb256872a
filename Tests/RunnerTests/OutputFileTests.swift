import Glibc
import Kernel
import Runner
import Testing

/// What a command writes is there whole or not at all, and nothing else is touched.
@Suite struct OutputFileTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/peerlab-output.XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        let folder = String(cString: made)
        defer { _ = system("rm -r '\(folder)'") }
        try body(folder)
    }

    private static func put(_ text: String, _ path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o640)
        _ = text.withCString { write(descriptor, $0, strlen($0)) }
        close(descriptor)
    }

    private static func text(_ path: String) -> String? { try? InputFile.text(of: path, limit: 1 << 20) }

    private static func names(_ folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    @Test func whatWasThereStaysUntilAllIsWritten() throws {
        try Self.withFolder { folder in
            Self.put("before", folder + "/f")
            do {
                let file = try ResultFile(folder + "/f")
                try file.open()
                file.append(Array("half".utf8))
                #expect(Self.text(folder + "/f") == "before")
                #expect(Self.names(folder).count == 2)
            }
            #expect(Self.text(folder + "/f") == "before")
            #expect(Self.names(folder) == ["f"], "nothing is left of what was not ended")
            try ResultFile(folder + "/f").write(Array("after".utf8))
            #expect(Self.text(folder + "/f") == "after")
            var status = stat()
            stat(folder + "/f", &status)
            #expect(status.st_mode & 0o777 == 0o640)
        }
    }

    @Test func aStreamThatHasBecomeAFileIsNotWrittenOver() throws {
        try Self.withFolder { folder in
            Self.put("mine", folder + "/precious")
            mkfifo(folder + "/stream", 0o600)
            let file = try ResultFile(folder + "/stream")
            rename(folder + "/precious", folder + "/stream")
            let failure = #expect(throws: Failure.self) { try file.write(Array("lost".utf8)) }
            #expect(failure?.errno.name == "EEXIST" && Self.text(folder + "/stream") == "mine")
        }
    }

    @Test func aLinkIsFollowedOnceAtTheStart() throws {
        try Self.withFolder { folder in
            Self.put("mine", folder + "/precious")
            Self.put("before", folder + "/real")
            symlink("real", folder + "/link")
            let file = try ResultFile(folder + "/link")
            unlink(folder + "/link")
            symlink("precious", folder + "/link")
            try file.write(Array("after".utf8))
            #expect(Self.text(folder + "/real") == "after" && Self.text(folder + "/precious") == "mine")
        }
    }

    @Test func whatHasBecomeALinkIsNotReplacedNorFollowed() throws {
        try Self.withFolder { folder in
            Self.put("mine", folder + "/precious")
            for kind in ["link", "fifo"] {
                let path = folder + "/" + kind
                let file = try ResultFile(path)
                if kind == "link" { symlink("precious", path) } else { mkfifo(path, 0o600) }
                let error = #expect(throws: Failure.self) { try file.write(Array("after".utf8)) }
                #expect(error?.hint?.contains("no regular file") == true)
            }
            #expect(Self.text(folder + "/precious") == "mine")
            #expect(Self.names(folder) == ["fifo", "link", "precious"])
        }
    }

    @Test func theFolderIsTheOneThatWasThere() throws {
        try Self.withFolder { folder in
            mkdir(folder + "/a", 0o700)
            mkdir(folder + "/b", 0o700)
            let file = try ResultFile(folder + "/a/f")
            rename(folder + "/a", folder + "/c")
            symlink("b", folder + "/a")
            try file.write(Array("after".utf8))
            #expect(Self.names(folder + "/c") == ["f"] && Self.names(folder + "/b").isEmpty)
        }
    }

    @Test func namesOfOneFileAreOneIdentity() throws {
        try Self.withFolder { folder in
            Self.put("x", folder + "/f")
            link(folder + "/f", folder + "/hard")
            symlink(folder + "/f", folder + "/soft")
            let names = ["f", "hard", "soft", "./f", "../\(folder.split(separator: "/").last ?? "")/f"]
            let files = try names.map { try ResultFile("\(folder)/\($0)").identity }
            #expect(Set(files).count == 1)
            symlink("new", folder + "/dangling")
            let missing = try ["new", "dangling", "newer"].map { try ResultFile("\(folder)/\($0)").identity }
            #expect(missing[0] == missing[1] && missing[0] != missing[2])
            let null = try ResultFile("/dev/null")
            #expect(null.identity == nil)
        }
    }

    @Test(arguments: ["", "/", "/tmp", "/nonexistent/f", "/tmp/"])
    func whatCannotBeWrittenIsSaidAtTheStart(_ path: String) {
        #expect(throws: Failure.self) { _ = try ResultFile(path) }
    }
}
