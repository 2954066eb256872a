import CKernel
import Glibc
public import Kernel

/// Runs a command inside an emulated machine with its own kernel and its own devices under test. The guest has an image made
/// for the run and nothing else of the host; what comes back are frames, read as a stranger's.
public struct LabBench {
    /// A part of one of the files that come back.
    public struct ReturnedFile: Sendable {
        /// Which of the job's files.
        public let number: Int
        /// Its next bytes.
        public let bytes: [UInt8]
    }

    /// The kernel image to boot: what scripts/lab/build-kernel makes.
    public let kernel: String
    /// The machine to emulate.
    public let machine: LabMachine
    /// What emulates it.
    public let emulator: QEMU?
    /// The process that serves ``LabMachine/servedCount`` devices over vfio-user; nil where there are none.
    public var server: DeviceServer?
    /// How long the guest may take to reach user space.
    public var bootTimeout: Duration = .seconds(60)
    /// Modules of its kernel to load before anything else, in this order: drivers that are not built in.
    public var drivers: [GuestModule] = []
    /// Modules to load before devices are bound, in this order.
    public var modules: [GuestModule] = []
    /// A cpio archive with a newer libibverbs than this machine's, and what it is called here; nil where there is none.
    public var libraries: (contents: [UInt8], name: String)?

    /// Seconds that a guest has beside its command's.
    public static let setup = 15.0

    /// A bench of one machine.
    public init(kernel: String, machine: LabMachine, emulator: QEMU?) {
        self.kernel = kernel
        self.machine = machine
        self.emulator = emulator
    }

    /// Boots a guest and runs the command in it. The guest is gone when this returns, whatever the verdict. The one way into
    /// the lab. An error says what of the command's files cannot be taken along.
    ///
    /// - Parameters:
    ///   - note: what had to be left out of the image, a sentence each.
    ///   - interrupts: how many times the user has asked to stop; asked ten times a second. The first is passed on: the
    ///     command gets a SIGINT and has ten seconds to release its devices and exit. The second, or one before the guest
    ///     is up, ends the guest.
    ///   - output: what the command prints, as it comes: true for its errors. The bytes are a stranger's.
    ///   - file: parts of the job's files, in order.
    ///   - told: the next bytes of the lines that programs tell by ``GuestLine``.
    ///   - again: called before another guest is booted, because QEMU failed the first one before that had said anything; twice
    ///     at most.
    public func run(
        command: GuestCommand, note: (String) -> Void = { _ in }, interrupts: () -> Int = { 0 },
        output: (_ isError: Bool, [UInt8]) -> Void,
        file: (ReturnedFile) -> Void, told: ([UInt8]) -> Void = { _ in }, again: (String) -> Void = { _ in }
    ) throws(Failure) -> LabVerdict {
        let image = try image(for: command, note)
        if interrupts() > 0 { return .interrupted(consoleTail: "") }
        let time = command.time + LabBench.setup,
            limits = FrameReader.Limits(fileCount: UInt8(clamping: command.results))
        for _ in 0..<2 {
            var hasSpoken = false
            let verdict = runOnce(
                image, time, limits, interrupts,
                {
                    hasSpoken = true
                    output($0, $1)
                },
                {
                    hasSpoken = true
                    file($0)
                },
                {
                    hasSpoken = true
                    told($0)
                })
            guard verdict.isByEmulator, !hasSpoken else { return verdict }
            again(
                "the guest's kernel died before its command said anything, of a breakpoint that QEMU kept "
                    + "(\(LabVerdict.keptBreakpoint)); another guest is booted")
        }
        return runOnce(image, time, limits, interrupts, output, file, told)
    }

    private func runOnce(
        _ image: [[UInt8]], _ time: Double, _ limits: FrameReader.Limits, _ interrupts: () -> Int,
        _ output: (Bool, [UInt8]) -> Void, _ file: (ReturnedFile) -> Void, _ told: ([UInt8]) -> Void
    ) -> LabVerdict {
        guard let text = LabFile.contents(of: kernel) else {
            return .noKernel(message: "no kernel at \(kernel): build one with scripts/lab/build-kernel")
        }
        guard let program = emulator else {
            return .noQEMU(message: "qemu-system-x86_64 is not in PATH: install QEMU (Debian: qemu-system-x86)")
        }
        do throws(Failure) {
            let emulator = try Emulator(
                program, machine, kernel: text, image: image, time: LabBench.processorTime(time), server: server)
            var guest = GuestRun(
                emulator, limits: limits,
                watch: GuestWatch(bootTimeout: bootTimeout, timeLimit: .seconds(time), begin: .now))
            guest.attend(interrupts, output, file, told)
            let status = emulator.end()
            return guest.verdict(status: status.qemu, devices: status.devices, timeLimit: time)
        } catch {
            return .qemuFailed(stderr: error.message)
        }
    }

    /// What the machine's processors, and QEMU's own thread, can use in that time, seconds.
    private static func processorTime(_ time: Double) -> UInt64 { UInt64(clamping: Int64(min(time, 1e9) * 3) + 300) }

    private func image(for command: GuestCommand, _ note: (String) -> Void) throws(Failure) -> [[UInt8]] {
        var image = try GuestImage(stdlib: command.stdlib)
        for (folder, path) in command.modules { image.addModules(of: folder, at: path) }
        for (path, contents) in command.files { image.add(contents, at: path) }
        for archive in (libraries.map { [$0] } ?? []) + command.archives {
            try image.append(archive: archive.contents, from: archive.name)
        }
        for module in drivers + modules { image.add(module.contents, at: module.path) }
        for sentence in image.notes { note(sentence) }
        return try image.bytes(
            GuestJob(
                command: command.words, environment: image.environment + command.environment,
                directory: command.directory, drivers: drivers.map(\.path),
                modules: modules.map { GuestJob.Module(path: $0.path, parameters: $0.parameters, unless: $0.sign) },
                bindings: machine.devices.compactMap { device in
                    device.driver.map { GuestJob.Binding(identity: device.identity, driver: $0) }
                }, files: command.results))
    }
}
