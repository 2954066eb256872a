import Glibc
import Testing

@testable import LabBench

/// What a confined program gets that asks for a connection. The program is a line of Perl, which every Debian has.
@Suite(.enabled(if: access("/usr/bin/perl", X_OK) == 0)) struct ConnectionTests {
    /// What it says on the connections that it is given, one after the other.
    private func said(_ program: String, connections count: Int) throws -> [String] {
        var open = Descriptors()
        var pairs: [[Int32]] = []
        for _ in 0..<count { pairs.append(try open.connection()) }
        let messages = try open.connection()
        let process = try ConfinedProcess(
            ConfinedProcess.Launch(
                program: "/usr/bin/perl", arguments: ["-MSocket", "-e", program], descriptors: [messages[1]],
                folders: ["/usr", "/lib", "/lib64", "/etc"], addresses: 1 << 30, longestFile: 1 << 20, time: 60,
                asksForConnections: count > 0))
        var devices = DeviceConnections(
            requests: process.requests, connections: pairs.map { $0[1] }, ended: process.ended)
        while true {
            var polled = [devices.requests, devices.ended].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            _ = poll(&polled, 2, -1)
            if polled[0].revents & Int16(POLLIN) != 0 { devices.give() } else if polled[1].revents != 0 { break }
        }
        _ = process.end()
        return (pairs.map { $0[0] } + [messages[0]]).map { descriptor in
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            return String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
        }
    }

    private static let connects = """
        sub ask { socket(my $s, $_[0], SOCK_STREAM, 0) or return "$!"; \
        connect($s, pack_sockaddr_un("/run/nobody-listens")) or return "$!"; syswrite($s, $_[1]); "given" }

        """

    @Test func itGetsThoseItWasGivenInOrderAndNoMore() throws {
        let said = try said(
            Self.connects + "$_ = join ' ', map { ask(AF_UNIX, $_) } 'one', 'two', 'three'; syswrite(STDERR, $_)",
            connections: 2)
        #expect(said == ["one", "two", "given given Permission denied"])
    }

    @Test func itGetsNoOtherKind() throws {
        let said = try said(Self.connects + "syswrite(STDERR, ask(AF_INET, 'x'))", connections: 1)
        #expect(said == ["", "Permission denied"])
    }

    @Test func itGetsNoneWhereItWasGivenNone() throws {
        let said = try said(Self.connects + "syswrite(STDERR, ask(AF_UNIX, 'x'))", connections: 0)
        #expect(said == ["Permission denied"])
    }
}
