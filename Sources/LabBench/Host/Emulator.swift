import CKernel
import Glibc
import Kernel

/// The QEMU process and, where devices are served, the process that serves them.
struct Emulator: ~Copyable {
    /// Our end of the connection for frames, closed with the emulator.
    let frames: Int32
    let console: Int32
    let messages: Int32
    /// QEMU's connections to the devices.
    let devices: DeviceConnections
    private let qemu: ConfinedProcess
    private let device: ConfinedProcess?

    /// Descriptor numbers in QEMU; 2 is for its messages. From `rootNumber` on, where used: the folder of an unpacked
    /// QEMU, /dev/kvm, and the connection for captured requests.
    private static let consoleNumber: Int32 = 3, framesNumber: Int32 = 4
    private static let kernelNumber: Int32 = 5
    private static let kernel = "/proc/self/fd/5", image = "/proc/self/fd/6", table = "/proc/self/fd/7"
    private static let memory = "/proc/self/fd/8"
    private static let rootNumber: Int32 = 9

    /// Starts QEMU as a machine with a kernel and a file system, which it reads from memory files of this process.
    ///
    /// - Parameters:
    ///   - time: limit of QEMU's processor time, seconds.
    ///   - server: the process that serves its vfio-user devices, where it has any.
    init(
        _ program: QEMU, _ machine: LabMachine, kernel: [UInt8], image: Int32, time: UInt64, server: DeviceServer?
    ) throws(Failure) {
        var open = Descriptors()
        let console = try open.connection(), frames = try open.connection(), messages = try open.connection()
        var pairs: [[Int32]] = []
        for _ in 0..<(server?.functions ?? 0) { pairs.append(try open.connection()) }
        let table = machine.hasSteeringTags ? SteeringTable.bytes : []
        var files = [
            try open.file("kernel", [kernel]), image, try open.file("table", [table]),
            try open.memory("memory", size: machine.memoryDevice?.memory ?? 0),
        ]
        let memory = UInt64(machine.memory) << 20
        var resources = LabMachine.Resources(
            kernel: Emulator.kernel, image: Emulator.image, table: Emulator.table, memory: Emulator.memory,
            console: Emulator.consoleNumber, frames: Emulator.framesNumber)
        let memoryFile = files[3]
        if let root = program.root { files.append(try open.path(root)) }
        if machine.accelerator == .kvm {
            resources.kvm = Emulator.kernelNumber + Int32(files.count)
            files.append(try open.path(KVM.path, O_RDWR))
        }
        var device: ConfinedProcess?
        if let server {
            let capture = server.isCapturing ? try open.connection() : []
            if let end = capture.first {
                resources.capture = Emulator.kernelNumber + Int32(files.count)
                files.append(end)
            }
            device = try server.start(
                DeviceServer.Ends(
                    messages: messages[1], connections: pairs.map { $0[1] }, capture: capture.last,
                    memory: machine.memoryDevice.map { ($0.identity, memoryFile) }),
                &open, guest: memory, time: time)
        }
        let deviceEnded = Emulator.end(of: device)
        let command = program.command(Emulator.rootNumber)
        let qemu = try ConfinedProcess(
            ConfinedProcess.Launch(
                program: command.program, arguments: command.arguments + machine.arguments(resources),
                descriptors: [messages[1], console[1], frames[1]] + files, folders: program.folders,
                addresses: memory + (server?.memory ?? 0) + (3 << 30), longestFile: max(memory, 1 << 30), time: time,
                asksForConnections: !pairs.isEmpty))
        self.frames = open.keep(frames[0])
        self.console = open.keep(console[0])
        self.messages = open.keep(messages[0])
        devices = DeviceConnections(
            requests: qemu.requests, connections: pairs.map { open.keep($0[0]) }, ended: deviceEnded)
        self.qemu = qemu
        self.device = device
        for descriptor in [self.frames, self.console, self.messages] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    /// A descriptor that becomes readable when a process ends; -1 without a process.
    private static func end(of process: borrowing ConfinedProcess?) -> Int32 {
        switch process {
        case .some(let process): process.ended
        case .none: -1
        }
    }

    /// Readable once QEMU has ended.
    var ended: Int32 { qemu.ended }

    /// Ends both, and waits for that. The results are their statuses as wait(2) gives them; of the devices' process none where
    /// there was none.
    consuming func end() -> (qemu: Int32, devices: Int32?) {
        let device = device
        let devices: Int32? =
            switch consume device {
            case .some(let process): process.end()
            case .none: nil
            }
        for descriptor in [frames, console, messages] + self.devices.connections { close(descriptor) }
        return (qemu.end(), devices)
    }
}

/// Answers QEMU's requests for connections to its served devices.
struct DeviceConnections {
    /// Readable when QEMU asks; -1 where it has no such devices.
    let requests: Int32
    /// QEMU's ends, in the order in which it asks for them.
    let connections: [Int32]
    /// Readable once the devices' process has ended; -1 where there is none.
    let ended: Int32
    private var given = 0

    init(requests: Int32, connections: [Int32], ended: Int32) {
        (self.requests, self.connections, self.ended) = (requests, connections, ended)
    }

    /// Gives QEMU the next connection; further requests are refused.
    mutating func give() {
        _ = emulator_give(requests, given < connections.count ? connections[given] : -1)
        given += 1
    }
}
