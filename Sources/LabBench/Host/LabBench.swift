import CKernel
import Glibc
import Kernel

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
    /// How long the guest may be there from the moment that user space was reached, seconds; the processor time of its
    /// emulator is limited by it as well.
    public var timeLimit: Double
    /// How much the guest may send.
    public var limits: FrameReader.Limits

    /// A bench of one machine, for a job of `files` files.
    public init(kernel: String, machine: LabMachine, emulator: QEMU?, timeLimit: Double, files: Int) {
        self.kernel = kernel
        self.machine = machine
        self.emulator = emulator
        self.timeLimit = timeLimit
        limits = FrameReader.Limits(fileCount: UInt8(clamping: files))
    }

    /// Boots the guest with `image` and runs the image's job. The guest is gone when this returns, whatever the verdict.
    ///
    /// - Parameters:
    ///   - interrupts: how many times the user has asked to stop; asked ten times a second. The first is passed on: the
    ///     command gets a SIGINT and has ten seconds to release its devices and exit. The second, or one before the guest
    ///     is up, ends the guest.
    ///   - output: what the command prints, as it comes: true for its errors. The bytes are a stranger's.
    ///   - file: parts of the job's files, in order.
    ///   - told: the next bytes of the lines that programs tell by ``GuestLine``.
    ///   - again: called before another guest is booted, because QEMU failed the first one before that had said anything; twice
    ///     at most.
    public func run(
        image: [[UInt8]], interrupts: () -> Int = { 0 }, output: (_ isError: Bool, [UInt8]) -> Void,
        file: (ReturnedFile) -> Void, told: ([UInt8]) -> Void = { _ in }, again: (String) -> Void = { _ in }
    ) -> LabVerdict {
        for _ in 0..<2 {
            var hasSpoken = false
            let verdict = runOnce(
                image, interrupts,
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
        return runOnce(image, interrupts, output, file, told)
    }

    private func runOnce(
        _ image: [[UInt8]], _ interrupts: () -> Int, _ output: (Bool, [UInt8]) -> Void, _ file: (ReturnedFile) -> Void,
        _ told: ([UInt8]) -> Void
    ) -> LabVerdict {
        guard let text = LabFile.contents(of: kernel) else {
            return .noKernel(message: "no kernel at \(kernel): build one with scripts/lab/build-kernel")
        }
        guard let program = emulator else {
            return .noQEMU(message: "qemu-system-x86_64 is not in PATH: install QEMU (Debian: qemu-system-x86)")
        }
        do throws(Failure) {
            let emulator = try Emulator(
                program, machine, kernel: text, image: image, time: processorTime, server: server)
            var guest = GuestRun(
                emulator, limits: limits,
                watch: GuestWatch(bootTimeout: bootTimeout, timeLimit: .seconds(timeLimit), begin: .now))
            guest.attend(interrupts, output, file, told)
            return guest.verdict(status: emulator.end(), timeLimit: timeLimit)
        } catch {
            return .qemuFailed(stderr: error.message)
        }
    }

    /// The processor time that the machine's processors and QEMU's own thread can use within the time limit.
    private var processorTime: UInt64 { UInt64(clamping: Int64(min(timeLimit, 1e9) * 3) + 300) }
}
