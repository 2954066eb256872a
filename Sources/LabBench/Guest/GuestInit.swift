import CKernel
import FoundationEssentials
import Glibc
import Kernel

/// The first program of the lab's guest: sets the machine up, runs the job's command, and reports to the host over
/// one port. It is peerlab itself, so that an image needs no other program.
public final class GuestInit {
    /// Why a guest cannot be set up.
    struct Mistake: Error {
        let text: String
    }

    private let port: Int32
    private let job: GuestJob
    private var reader = FrameReader(fromHost: ())
    private var command: pid_t = 0
    private var ended: Int32?
    /// Read ends of the command's standard output and standard error.
    private var pipes: [(descriptor: Int32, kind: Frame.Kind)] = []
    /// The socket on which programs send lines that must survive the guest's kernel.
    private var lines = GuestLines()
    /// When the last sign of life was sent.
    private var beaten = ContinuousClock.now

    /// Whether this process is a guest's init. The command line cannot tell: Swift reads it from /proc, which is not
    /// mounted yet.
    public static var isWanted: Bool { getpid() == 1 && access(GuestJob.path, R_OK) == 0 }

    /// Never returns: it powers the machine off, or the host ends it.
    public static func main() -> Never {
        var port: Int32 = -1
        do throws(Mistake) {
            try mountBase()
            let job = try readJob()
            for path in job.drivers { try GuestDevices.load(GuestJob.Module(path: path)) }
            port = try openPort()
            try GuestInit(port: port, job).run()
        } catch {
            // Without the port there is only the console, whose last lines the host shows.
            if port < 0 { put("peerlab: \(error.text)\n", at: "/dev/console") }
            say(error.text, port)
            send(Frame(end: 70), port)
        }
        // The host ends the machine after it has read the last frame. Powering off here could lose that frame, as QEMU
        // drops what it has not passed on: a run that has ended would look like a kernel crash.
        var patience: UInt32 = port < 0 ? 0 : 30
        while patience > 0 { patience = sleep(patience) }
        guest_power_off()
        while true { pause() }
    }

    private init(port: Int32, _ job: GuestJob) {
        self.port = port
        self.job = job
    }

    private static func readJob() throws(Mistake) -> GuestJob {
        guard let bytes = LabFile.contents(of: GuestJob.path),
            let job = try? JSONDecoder().decode(GuestJob.self, from: Data(bytes))
        else { throw Mistake(text: "the image has no job at \(GuestJob.path)") }
        return job
    }

    private func run() throws(Mistake) {
        GuestInit.send(Frame(.started), port)
        GuestInit.mountRest { say($0) }
        for module in job.modules {
            beat()
            try GuestDevices.load(module)
        }
        for binding in job.bindings {
            beat()
            try GuestDevices.bind(binding) { say($0) }
        }
        beat()
        GuestDevices.startNetwork { say($0) }
        beat()
        GuestDevices.startProcessors(beat: beat) { say($0) }
        try start()
        while ended == nil || !pipes.isEmpty { wait() }
        sendFiles()
        GuestInit.send(Frame(end: ended ?? 70), port)
    }

    // MARK: the command

    private func start() throws(Mistake) {
        if job.files > 0 { mkdir("/run/results", 0o700) }
        guard chdir(job.directory) == 0 else {
            throw Mistake(text: "the image has no folder \(job.directory): \(Errno(errno).message)")
        }
        var output: [Int32] = [0, 0], errors: [Int32] = [0, 0]
        guard process_pipe(&output) == 0, process_pipe(&errors) == 0 else {
            throw Mistake(text: "no pipes: \(Errno(errno).message)")
        }
        var arguments = job.command.map { strdup($0) } + [nil]
        var variables = job.environment.map { strdup($0) } + [nil]
        let pid = guest_start(&arguments, &variables, output[1], errors[1])
        for text in arguments + variables { free(text) }
        close(output[1])
        close(errors[1])
        guard pid > 0 else {
            let path = job.command[0], reason = Errno(Int32(-pid)).message
            throw Mistake(text: "cannot start \(path): \(reason)\(GuestInit.advice(onStarting: path))")
        }
        command = pid_t(pid)
        pipes = [(output[0], .output), (errors[0], .errors)]
    }

    /// What the guest lacks of a program.
    private static func advice(onStarting path: String) -> String {
        let makes = "scripts/lab/image makes an archive for --image with a program and the libraries that it needs"
        if access(path, F_OK) != 0 { return "; the guest has no such file: \(makes)" }
        if access(path, X_OK) != 0 { return "; the file that the guest has there is no executable one: \(makes)" }
        return "; the guest may lack its loader or interpreter: \(makes)"
    }

    /// Forwards output, reads the host's frames, and reaps what has ended.
    private func wait() {
        var polled = [pollfd(fd: port, events: Int16(POLLIN), revents: 0)]
        polled += pipes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        polled += lines.polled
        if beaten.duration(to: .now) >= .seconds(1) { beat() }
        // Where the host has closed, the port stays readable and poll returns at once; the machine ends with the host.
        _ = poll(&polled, nfds_t(polled.count), ended == nil ? 20 : 0)
        if polled[0].revents & Int16(POLLIN) != 0 { hear() }
        lines.serve(polled[(1 + pipes.count)...]) { message in
            for frame in Frame.parts(.told, message) { GuestInit.send(frame, port) }
        }
        for (index, (descriptor, kind)) in pipes.enumerated().reversed() {
            guard polled[index + 1].revents != 0 || ended != nil else { continue }
            pass(index, descriptor, kind, isLast: polled[index + 1].revents == 0)
        }
        reap()
    }

    private func beat() {
        beaten = .now
        GuestInit.send(Frame(.beat), port)
    }

    /// Forwards what a pipe has. Once the command has ended it does not wait for more: background processes may hold
    /// the pipes open.
    private func pass(_ index: Int, _ descriptor: Int32, _ kind: Frame.Kind, isLast: Bool) {
        guard !isLast else {
            close(descriptor)
            pipes.remove(at: index)
            return
        }
        var buffer = [UInt8](repeating: 0, count: Frame.mostContents)
        let count = read(descriptor, &buffer, buffer.count)
        if count > 0 {
            GuestInit.send(Frame(kind, Array(buffer[..<count])), port)
        } else if count == 0 || errno != EINTR {
            close(descriptor)
            pipes.remove(at: index)
        }
    }

    private func reap() {
        var status: Int32 = 0
        while true {
            let pid = guest_reap(&status)
            guard pid > 0 else { return }
            guard pid == Int(command) else { continue }
            let signal = status & 0x7f
            ended = signal == 0 ? status >> 8 & 0xff : 128 + signal
        }
    }

    private func hear() {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = read(port, &buffer, buffer.count)
        guard count > 0 else { return }
        try? reader.read(buffer[..<count]) { frame in
            switch frame.kind {
            case .interrupt: if ended == nil { kill(-command, SIGINT) }
            case .report: report()
            default: break
            }
        }
    }

    /// Prints the command's kernel stack, which shows where it hangs; also those of blocked tasks, one of which may be
    /// the cause.
    private func report() {
        GuestInit.put("w", at: "/proc/sysrq-trigger")
        let stack = LabFile.contents(of: "/proc/\(command)/stack") ?? []
        GuestInit.put("stack of the command:\n" + String(decoding: stack, as: UTF8.self), at: "/dev/console")
    }

    private func sendFiles() {
        for number in 0..<job.files {
            let descriptor = open(GuestJob.result(number), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            var buffer = [UInt8](repeating: 0, count: Frame.mostContents)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { break }
                GuestInit.send(Frame(.file, file: UInt8(number), Array(buffer[..<count])), port)
            }
        }
    }

    // MARK: the machine

    private static func mountBase() throws(Mistake) {
        let mounts: [(String, String, String?)] = [
            ("proc", "/proc", nil), ("sysfs", "/sys", nil), ("devtmpfs", "/dev", nil),
        ]
        for (type, folder, options) in mounts {
            let result = guest_mount(type, folder, options)
            // The kernel may have mounted /dev itself.
            guard result == 0 || result == -Int(EBUSY) else {
                throw Mistake(text: "cannot mount \(folder): \(Errno(Int32(-result)).message)")
            }
        }
    }

    private static func mountRest(_ say: (String) -> Void) {
        let mounts: [(String, String, String?)] = [
            ("tmpfs", "/dev/shm", "mode=1777"), ("devpts", "/dev/pts", nil),
            ("debugfs", "/sys/kernel/debug", nil),
        ]
        for (type, folder, options) in mounts {
            let result = guest_mount(type, folder, options)
            if result < 0 { say("no \(type) at \(folder): \(Errno(Int32(-result)).message)") }
        }
    }

    private static func openPort() throws(Mistake) -> Int32 {
        guard let port = GuestPort.open(GuestJob.port) else {
            throw Mistake(text: "QEMU gave no virtio-serial port \(GuestJob.port)")
        }
        guard port >= 0 else { throw Mistake(text: "cannot open \(GuestJob.port): \(Errno(-port).message)") }
        return port
    }

    // MARK: files

    /// Writes to an existing file; false where the kernel refuses.
    @discardableResult
    static func put(_ text: String, at path: String) -> Bool {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return LabFile.write(Array(text.utf8), to: descriptor)
    }

    private func say(_ text: String) { GuestInit.say(text, port) }

    private static func say(_ text: String, _ port: Int32) {
        for frame in Frame.parts(.errors, Array("guest: \(text)\n".utf8)) { send(frame, port) }
    }

    private static func send(_ frame: Frame, _ port: Int32) { _ = LabFile.write(frame.bytes, to: port) }
}
