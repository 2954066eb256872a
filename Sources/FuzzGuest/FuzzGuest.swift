import CKernel
import ConnectX
import Glibc
import Kernel
import SeededRandom
import VFIOUser

/// `FuzzGuest COUNT SEED FORMATS [SESSION]`: a guest that is hostile at every level, at emulated ConnectX that another process
/// serves, as `peerlab device connectx` does. A crash there, a reply that does not come, an access outside of what was mapped,
/// memory or descriptors that become ever more end it, with the session and the number of the input in it; SESSION begins there
/// again. Tests/Escapes/fuzz-guest has it built with AddressSanitizer.
@main
struct FuzzGuest {
    /// What the server's process may have in memory, with what the sanitizer needs.
    private static let mostResident: UInt64 = 1536 << 20
    /// What it may grow by after a tenth of the sessions.
    private static let slack: UInt64 = 96 << 20

    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4, let count = Int(arguments[1]), let seed = UInt64(arguments[2]),
            let formats = Formats(arguments[3]), let first = arguments.count > 4 ? UInt64(arguments[4]) : 0
        else {
            print("FuzzGuest COUNT SEED FORMATS [SESSION]")
            exit(2)
        }
        var ends: [Int32] = [-1, -1]
        guard socket_pair(&ends) == 0 else { exit(2) }
        let child = process_fork()
        if child == 0 {
            close(ends[0])
            FuzzServer.serve(ends[1])
            exit(0)
        }
        close(ends[1])
        var fuzz = FuzzGuest(seed: seed, formats: formats, control: ends[0], server: pid_t(child))
        fuzz.run(from: first, count)
    }

    private let seed: UInt64
    private let formats: Formats
    private let control: Int32
    private let server: pid_t
    private var session: UInt64 = 0
    private var number = 0
    private var counts: [String: Int] = [:]
    private var longest: UInt64 = 0

    private init(seed: UInt64, formats: Formats, control: Int32, server: pid_t) {
        (self.seed, self.formats, self.control, self.server) = (seed, formats, control, server)
    }

    private mutating func run(from first: UInt64, _ count: Int) {
        var early: UInt64 = 0, most: UInt64 = 0, files: Int?, more = 0
        var done = 0, told = 0
        session = first
        while done < count {
            guard var one = begin() else { fail("the server is not there") }
            do throws(Ending) { try one.run(min(Session.length, count - done)) } catch {
                number = one.sent
                if case .failure(let text) = error { fail(text) }
            }
            number = one.sent
            done += number
            for (kind, count) in one.counts { counts[kind, default: 0] += count }
            longest = max(longest, one.longest)
            if isGone() { fail("the server's process has ended") }
            let resident = process_resident(server)
            most = max(most, resident)
            if resident > FuzzGuest.mostResident { fail("the server's process has \(resident >> 20) MiB in memory") }
            if done <= count / 10 { early = max(early, resident) }
            if session % 16 == 0 {
                let open = descriptors()
                // Once it may still have those of a session that has just ended; what is lost stays.
                more = open > (files ?? open) + 8 ? more + 1 : 0
                if let files, more == 4 { fail("the server has \(open) descriptors, and had \(files)") }
                files = files ?? open
            }
            session += 1
            guard done / 100_000 > told else { continue }
            told = done / 100_000
            tell("\(done)")
        }
        tell("\(done) inputs in \(session - first) sessions, seed \(seed)")
        print("at most \(most >> 20) MiB in memory; the longest input took \(longest / 1_000_000) ms")
        if count >= 50_000, most > early + FuzzGuest.slack {
            fail("the server's process grows: \(early >> 20) MiB after a tenth, \(most >> 20) MiB later")
        }
        close(control)
        var end = process_end()
        while process_reap(server, &end) == 0 { usleep(1000) }
        guard end.status == 0 else {
            print("the server ended with status \(end.status)")
            exit(1)
        }
    }

    /// A session's connections, whose other ends the server gets with a byte that says what the NICs are like.
    private func begin() -> Session? {
        var sockets: [Int32] = [], others: [Int32] = []
        for _ in 0..<FuzzServer.nics {
            var ends: [Int32] = [-1, -1]
            guard socket_pair(&ends) == 0 else { return nil }
            sockets.append(ends[0])
            others.append(ends[1])
        }
        defer { for other in others { close(other) } }
        guard socket_send(control, [UInt8(session % 8)], 1, others, others.count) == 1 else { return nil }
        var random = Random(seed: seed &* 0x1_0000_01b3 &+ session)
        return Session(random.next(), formats, sockets: sockets)
    }

    private func isGone() -> Bool {
        var one = pollfd(fd: control, events: 0, revents: 0)
        return poll(&one, 1, 0) > 0
    }

    private func descriptors() -> Int {
        guard let folder = opendir("/proc/\(server)/fd") else { return 0 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return count
    }

    private func tell(_ what: String) {
        let kinds = counts.filter { !$0.key.hasSuffix(" done") || $0.key == "commands done" }.sorted { $0.key < $1.key }
        let commands = counts.count { $0.key.hasSuffix(" done") && $0.key != "commands done" }
        print(
            "\(what): \(kinds.map { "\($0.value) \($0.key)" }.joined(separator: ", ")), \(commands) commands done once")
        fflush(nil)
    }

    private func fail(_ text: String) -> Never {
        // A process that hangs says where.
        kill(server, SIGABRT)
        var end = process_end()
        while process_reap(server, &end) == 0 { usleep(1000) }
        print("\(text): seed \(seed), session \(session), input \(number) of it")
        print("the server ended with status \(end.status)")
        exit(1)
    }
}

/// The process that is attacked.
enum FuzzServer {
    static let nics = 2

    private static let options = [
        "", "tph=extended,table=8", "tph=none", "table=none", "table=msix", "vectors=2", "odp=on", "log_max_qp=6",
    ]

    /// Serves sessions until the other end is closed.
    static func serve(_ control: Int32) {
        while true {
            var one = pollfd(fd: control, events: Int16(POLLIN), revents: 0)
            guard poll(&one, 1, -1) > 0 else { continue }
            var kind: UInt8 = 0
            var sockets = [Int32](repeating: -1, count: nics)
            var count = nics
            guard socket_receive(control, &kind, 1, &sockets, &count) == 1, count == nics else { return }
            serve(sockets, kind)
        }
    }

    private static func serve(_ sockets: [Int32], _ kind: UInt8) {
        let server = Server()
        // As long as a hostile client may take, but not as long as a million inputs cannot.
        server.completionTimeout = 20_000_000
        let fabric = Fabric()
        let text = options[Int(kind) % options.count]
        guard let options = text.isEmpty ? HCAOptions() : try? HCAOptions(text) else {
            fatalError("no options \(text)")
        }
        for (index, socket) in sockets.enumerated() {
            do throws(Errno) {
                try server.add("nic \(index)", connected: socket) { bus in
                    let nic = HCA(options.next(index), bus: bus, fabric: fabric)
                    nic.log = { _ in }
                    if kind % 2 == 1 { nic.requests = { _ in } }
                    return nic
                }
            } catch { fatalError("no server: \(error.name)") }
        }
        server.run(whileConnected: true)
    }
}
