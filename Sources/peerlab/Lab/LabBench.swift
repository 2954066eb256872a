import CKernel
import Glibc
import Kernel
import Subprocess

/// Runs a command of the host inside an emulated machine with its own kernel and its own devices under test. The guest
/// sees the host's file system, read-only (its /tmp can be written to, but what is written stays in the guest).
struct LabBench: Sendable {
    /// The kernel image to boot: what scripts/lab/build-kernel makes.
    let kernel: String
    /// The guest's PID 1: scripts/lab/guest-init.
    let guestInit: String
    /// The program, an absolute path or a name in PATH, and its arguments.
    let command: [String]
    /// Where the command runs.
    let workingDirectory: String
    /// Files that the command writes to its share, and where they go on the host once it has ended.
    var results: [(name: String, destination: String)] = []
    /// The command's variables, "NAME=value" each.
    var environment = LabBench.hostEnvironment
    /// How long the guest may take to reach user space.
    var bootTimeout: Duration = .seconds(60)
    /// The machine to emulate.
    var machine = LabMachine()
    /// What kills QEMU when this program is killed: process_watch's descriptor.
    var watch: Int32 = -1
    /// Kernel modules that the guest loads before it binds the devices, in this order.
    var modules: [LabModule] = []

    /// Boots the guest and runs the command; its output appears on our standard output and standard error as it comes.
    /// QEMU is gone when this returns, whatever the verdict. Cancelling the task kills the guest.
    ///
    /// - Parameter interrupts: how many times the user has asked to stop (SIGINT or SIGTERM to us); polled. The first
    ///   is passed on: the command gets a SIGINT and has ten seconds to release its devices and exit. The second, or
    ///   one before the guest is up, kills the guest.
    func run(interrupts: @escaping @Sendable () -> Int = { 0 }) async -> LabVerdict {
        guard access(kernel, R_OK) == 0 else {
            return .noKernel(message: "no kernel at \(kernel): build one with scripts/lab/build-kernel")
        }
        guard access(guestInit, X_OK) == 0 else {
            return .qemuFailed(stderr: "the guest's first program is missing or not executable: \(guestInit)")
        }
        do throws(Failure) {
            let job = try LabJob()
            defer { job.close() }
            try job.write(command: command, in: workingDirectory, environment: environment)
            try job.write(modules: modules, devices: machine.devices)
            let verdict = await boot(job, interrupts)
            for file in results where job.has(file.name) { try job.copy(file.name, to: file.destination) }
            return verdict
        } catch {
            return .qemuFailed(stderr: error.message)
        }
    }

    /// Those of our own variables that programs and their libraries are found and set with. Not all of them: job
    /// directories get kept and shown to others, and tokens live in variables.
    static var hostEnvironment: [String] {
        let names = ["PATH", "HOME", "USER", "LANG", "TZ", "TERM", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"]
        let families = ["LC_", "LUA_", "PEERLAB_"]
        guard var file = Follower("/proc/self/environ") else { return [] }
        return file.next().split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.filter { variable in
            names.contains { variable.hasPrefix("\($0)=") } || families.contains { variable.hasPrefix($0) }
        }
    }

    private func boot(_ job: LabJob, _ interrupts: @escaping @Sendable () -> Int) async -> LabVerdict {
        var options = PlatformOptions()
        // A Ctrl-C at the terminal is for the whole process group; QEMU would take it and leave the command no time.
        options.createSession = true
        do {
            let result = try await Subprocess.run(
                .name("qemu-system-x86_64"),
                arguments: Arguments(machine.arguments(kernel: kernel, guestInit: guestInit, job: job)),
                platformOptions: options, input: .inputWriter, output: .discarded, error: .sequence
            ) { qemu in
                await attend(qemu, job, interrupts)
            }
            let (stop, messages) = result.closureResult
            return verdict(job, stop, "\(messages)(\(result.terminationStatus))", result.terminationStatus.isSuccess)
        } catch let error as SubprocessError where error.code == .executableNotFound {
            return .noQEMU(message: "qemu-system-x86_64 is not in PATH: install QEMU (Debian: qemu-system-x86)")
        } catch {
            return .qemuFailed(stderr: String(describing: error))
        }
    }

    /// Watches the guest until it ends or has to be ended. QEMU's standard error is at its end when QEMU is.
    private func attend(
        _ qemu: Execution<CustomWriteInput, DiscardedOutput, SequenceOutput>, _ job: LabJob,
        _ interrupts: @escaping @Sendable () -> Int
    ) async -> (LabWatch.Stop, messages: String) {
        await withTaskGroup(of: LabWatch.Stop.self) { group in
            let pid = qemu.processIdentifier.value
            if watch >= 0 { process_watch_for(watch, pid) }
            group.addTask {
                var watch = LabWatch(job: job, bootTimeout: bootTimeout) { LabBench.processorTime(of: pid) }
                let stop = await watch.untilStop(interrupts) { word in
                    _ = try? await qemu.standardInputWriter.write(Array("\(word)\n".utf8))
                }
                if stop != .ended { try? qemu.send(signal: .kill) }
                return stop
            }
            var messages: [UInt8] = []
            do {
                for try await part in qemu.standardError { part.withUnsafeBytes { messages += $0 } }
            } catch {
                messages += Array("cannot read QEMU's messages: \(error)\n".utf8)
            }
            group.cancelAll()
            let stop = await group.next() ?? .ended
            return (stop, String(decoding: messages.suffix(8192), as: UTF8.self))
        }
    }

    /// Clock ticks of a process, of its own and of the kernel for it. Source: proc_pid_stat(5), fields 14 and 15.
    private static func processorTime(of pid: pid_t) -> UInt64? {
        guard var file = Follower("/proc/\(pid)/stat") else { return nil }
        // The name, in parentheses, may hold anything.
        let text = String(decoding: file.next(), as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        return user + system
    }

    private func verdict(_ job: LabJob, _ stop: LabWatch.Stop, _ messages: String, _ success: Bool) -> LabVerdict {
        // What the command said counts, even if the power-off after it had to be helped.
        if let exitCode = job.exitCode { return .finished(exitCode: exitCode) }
        let tail = job.consoleTail()
        switch stop {
        case .interrupted: return .interrupted(consoleTail: tail)
        case .bootTimeout: return .neverBooted(consoleTail: tail)
        case .standstill: return .hung(consoleTail: tail)
        case .ended, .powerOffTimeout:
            if Task.isCancelled { return .interrupted(consoleTail: tail) }
            if job.panicked { return .panicked(consoleTail: tail) }
            guard success else { return .qemuFailed(stderr: messages) }
            return job.has("started") ? .panicked(consoleTail: tail) : .neverBooted(consoleTail: tail)
        }
    }
}
