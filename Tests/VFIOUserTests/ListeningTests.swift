import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// Sockets as files, and who may come.
@Suite struct ListeningTests {
    /// A folder that is gone afterwards.
    private final class Folder {
        let path: String

        init() {
            var template = Array("/tmp/peerlab-vfiouser-XXXXXX".utf8CString)
            path = mkdtemp(&template).map { String(cString: $0) } ?? ""
        }

        deinit {
            for name in ["socket", "file"] { unlink("\(path)/\(name)") }
            rmdir(path)
        }

        var socket: String { path + "/socket" }
    }

    private static func connect(_ path: String) -> Int32 {
        let socket = Glibc.socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result != 0 else { return socket }
        close(socket)
        return -1
    }

    private static func refusal(_ server: Server, _ path: String) -> String? {
        do throws(Failure) { try server.add("test", at: path) { Probe($0) } } catch { return error.errno.name }
        return nil
    }

    /// How many functions a server has made.
    private final class Count { var count = 0 }

    private static func counting(_ folder: Folder) throws -> (Server, Count) {
        let (server, made) = (Server(), Count())
        try server.add("test", at: folder.socket) { bus in
            made.count += 1
            return Probe(bus)
        }
        return (server, made)
    }

    /// Whether the other end has ended it.
    private static func isEnded(_ socket: Int32) -> Bool {
        var byte: UInt8 = 0
        return read(socket, &byte, 1) == 0
    }

    @Test func theSocketIsThisUsersAndGoneAtTheEnd() throws {
        let folder = Folder()
        do {
            let server = Server()
            #expect(Self.refusal(server, folder.socket) == nil)
            var found = stat()
            #expect(lstat(folder.socket, &found) == 0 && found.st_mode & 0o7777 == 0o600)
        }
        #expect(access(folder.socket, F_OK) != 0)
    }

    @Test func whatIsThereAlreadyStays() throws {
        let folder = Folder()
        let first = Server()
        #expect(Self.refusal(first, folder.socket) == nil)
        #expect(Self.refusal(Server(), folder.socket) == "EADDRINUSE")
        #expect(access(folder.socket, F_OK) == 0)
        let file = folder.path + "/file"
        close(open(file, O_CREAT | O_WRONLY, 0o600))
        #expect(Self.refusal(Server(), file) == "EEXIST")
        #expect(access(file, F_OK) == 0)
        #expect(Self.refusal(Server(), folder.path + "/none/socket") == "ENOENT")
        #expect(Self.refusal(Server(), folder.path + String(repeating: "x", count: 100)) == "ENAMETOOLONG")
    }

    @Test func whatADeadServerLeftIsReplacedAndASuccessorsStays() throws {
        let folder = Folder()
        var file = socket_file()
        close(Int32(socket_listen(folder.socket, &file)))
        #expect(access(folder.socket, F_OK) == 0)
        do {
            let server = Server()
            #expect(Self.refusal(server, folder.socket) == nil)
            // Somebody else's by the time that it ends.
            unlink(folder.socket)
            close(Int32(socket_listen(folder.socket, &file)))
        }
        #expect(access(folder.socket, F_OK) == 0)
    }

    @Test func oneClientAtATimeAndAFreshFunctionForEach() throws {
        let folder = Folder()
        let (server, made) = try Self.counting(folder)
        let first = Self.connect(folder.socket)
        server.turn(until: 0)
        #expect(made.count == 1 && server.isConnected)
        let second = Self.connect(folder.socket)
        server.turn(until: 0)
        #expect(Self.isEnded(second) && !Self.isEnded(first))
        close(first)
        for _ in 0..<2 { server.turn(until: 0) }
        #expect(!server.isConnected)
        let third = Self.connect(folder.socket)
        server.turn(until: 0)
        #expect(made.count == 2 && server.isConnected)
        close(second)
        close(third)
    }

    /// The next one has come by the time that the server sees the last one go.
    @Test func nothingOfAClientIsTheNextOnes() throws {
        let folder = Folder()
        let (server, made) = try Self.counting(folder)
        let first = Self.connect(folder.socket)
        server.turn(until: 0)
        close(first)
        let second = Self.connect(folder.socket)
        server.turn(until: 0)
        #expect(!server.isConnected)
        server.turn(until: 0)
        #expect(made.count == 2 && server.isConnected && !Self.isEnded(second))
        close(second)
    }

    @Test func aFunctionThatCannotBeMadeSendsItsClientAway() throws {
        let folder = Folder()
        var notes: [String] = []
        let server = Server { notes.append($0) }
        try server.add("test", at: folder.socket) { _ throws(Errno) in throw Errno(ENOMEM) }
        let client = Self.connect(folder.socket)
        server.turn(until: 0)
        #expect(Self.isEnded(client) && !server.isConnected)
        #expect(notes.count == 1 && notes[0].contains("ENOMEM"))
        close(client)
    }
}
