import CKernel
import Glibc
public import Kernel

/// Runs a command inside an emulated machine with its own kernel and its own devices under test. The guest gets an
/// image made for the run and nothing else of the host; it answers in frames, which are untrusted.
public struct LabBench {
    /// A part of one of the result files.
    public struct ReturnedFile: Sendable {
        /// Number of the file in the job.
        public let number: Int
        /// Its next bytes.
        public let bytes: [UInt8]
    }

    /// The kernel image to boot: what scripts/lab/build-kernel makes.
    public let kernel: String
    /// The machine to emulate.
    public let machine: LabMachine
    /// The QEMU that emulates it; nil where there is none.
    public let emulator: QEMU?
    /// The process that serves ``LabMachine/servedCount`` devices over vfio-user; nil where there are none.
    public var server: DeviceServer?
    /// Limit of the time until user space is reached.
    public var bootTimeout: Duration = .seconds(60)

    /// Seconds that a guest has in addition to its command's time.
    public static let setup = 15.0

    /// A bench of one machine.
    public init(kernel: String, machine: LabMachine, emulator: QEMU?) {
        self.kernel = kernel
        self.machine = machine
        self.emulator = emulator
    }

    /// Boots a guest and runs the command in it. The guest has ended when this returns, whatever the verdict. This is the
    /// only entry to the lab. Throws where files of the command cannot be copied to the guest.
    ///
    /// - Parameters:
    ///   - note: gets notes about files left out of the image, a sentence each.
    ///   - interrupts: returns how many times the user has asked to stop; called ten times a second. The first request
    ///     is passed on: the command gets a SIGINT and has ten seconds to release its devices and exit. The second, or one
    ///     before the guest is up, ends the guest.
    ///   - output: gets the command's output as it comes; true for standard error. The bytes are untrusted.
    ///   - file: gets parts of the job's files, in order.
    ///   - told: gets the next bytes of messages that programs send by ``GuestLine``.
    ///   - again: called before another guest is booted because QEMU failed before the first one had sent anything; at
    ///     most twice.
    public func run(
        command: consuming GuestCommand, note: (String) -> Void = { _ in }, interrupts: () -> Int = { 0 },
        output: (_ isError: Bool, [UInt8]) -> Void,
        file: (ReturnedFile) -> Void, told: ([UInt8]) -> Void = { _ in }, again: (String) -> Void = { _ in }
    ) throws(Failure) -> LabVerdict {
        let time = command.time + LabBench.setup,
            limits = FrameReader.Limits(fileCount: UInt8(clamping: command.results))
        var files = Descriptors()
        // Not kept here while the guest runs.
        let image = try files.file("image", image(for: consume command, note))
        if interrupts() > 0 { return .interrupted(consoleTail: "") }
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
        _ image: Int32, _ time: Double, _ limits: FrameReader.Limits, _ interrupts: () -> Int,
        _ output: (Bool, [UInt8]) -> Void, _ file: (ReturnedFile) -> Void, _ told: ([UInt8]) -> Void
    ) -> LabVerdict {
        guard let program = emulator else {
            return .noQEMU(message: "qemu-system-x86_64 is not in PATH: install QEMU (Debian: qemu-system-x86)")
        }
        do throws(Failure) {
            guard let emulator = try started(program, image, time) else {
                return .noKernel(
                    message: "no kernel at \(kernel): build one with build-kernel, one of the lab's scripts")
            }
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

    /// nil where there is no kernel, whose bytes are not kept.
    private func started(_ program: QEMU, _ image: Int32, _ time: Double) throws(Failure) -> Emulator? {
        guard let kernel = LabFile.contents(of: kernel) else { return nil }
        return try Emulator(
            program, machine, kernel: kernel, image: image, time: LabBench.processorTime(time), server: server)
    }

    /// What the machine's processors, and QEMU's own thread, can use in that time, seconds.
    private static func processorTime(_ time: Double) -> UInt64 { UInt64(clamping: Int64(min(time, 1e9) * 3) + 300) }

    private func image(for command: consuming GuestCommand, _ note: (String) -> Void) throws(Failure) -> [[UInt8]] {
        var image = try GuestImage(stdlib: command.stdlib)
        for (folder, path) in command.modules { image.addModules(of: folder, at: path) }
        for (path, contents) in command.files { image.add(contents, at: path) }
        for archive in (command.libraries.map { [$0] } ?? []) + command.archives {
            try image.append(archive: archive.contents, from: archive.name)
        }
        for module in command.drivers + command.kernelModules { image.add(module.contents, at: module.path) }
        for sentence in image.notes { note(sentence) }
        return try image.bytes(
            GuestJob(
                command: command.words, environment: image.environment + command.environment,
                directory: command.directory, drivers: command.drivers.map(\.path),
                modules: command.kernelModules.map {
                    GuestJob.Module(path: $0.path, parameters: $0.parameters, unless: $0.sign)
                },
                bindings: machine.devices.compactMap { device in
                    device.driver.map { GuestJob.Binding(identity: device.identity, driver: $0) }
                }, files: command.results))
    }
}
