import Glibc

/// One guest from start to end: reads frames, keeps the console, watches the clock.
struct GuestRun {
    let frames: Int32
    let console: Int32
    let messages: Int32
    let ended: Int32
    private var devices: DeviceConnections
    private var reader: FrameReader
    private var watch: GuestWatch
    private var consoleText = GuestConsole()
    private var emulatorText: [UInt8] = []
    private var exitCode: Int32?
    private var refusal: FrameReader.Refusal?
    private var stop: GuestWatch.Stop?
    private var isOver = false
    private var hasLostDevices = false

    init(_ emulator: borrowing Emulator, limits: FrameReader.Limits, watch: GuestWatch) {
        (frames, console, messages) = (emulator.frames, emulator.console, emulator.messages)
        ended = emulator.ended
        devices = emulator.devices
        reader = FrameReader(fromGuest: limits)
        self.watch = watch
    }

    /// Returns when the command has ended, the emulator or its devices' process has, or the guest has to be ended.
    mutating func attend(
        _ interrupts: () -> Int, _ output: (Bool, [UInt8]) -> Void, _ file: (LabBench.ReturnedFile) -> Void,
        _ told: ([UInt8]) -> Void
    ) {
        while exitCode == nil, refusal == nil, stop == nil, !isOver, !hasLostDevices {
            var polled = [frames, console, messages, ended, devices.requests, devices.ended].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            _ = poll(&polled, nfds_t(polled.count), 100)
            if polled[4].revents & Int16(POLLIN) != 0 { devices.give() }
            hasLostDevices = polled[5].revents != 0
            if hasLostDevices, polled[3].revents == 0 {
                // The process of the devices ends when QEMU closes its connections, which it does just before it ends itself.
                var ending = polled[3]
                _ = poll(&ending, 1, 1000)
                polled[3] = ending
            }
            // Its last output can still be read after it has ended.
            let hasEnded = polled[3].revents != 0
            repeat {
                let count = take(polled[0].revents, output, file, told)
                if refusal != nil || exitCode != nil || !hasEnded || count == 0 { break }
            } while true
            consoleText.add(bytes(of: console, most: 1 << 20))
            emulatorText = (emulatorText + bytes(of: messages, most: 1 << 16)).suffix(8192)
            isOver = hasEnded
            judge(interrupts)
        }
        consoleText.add(bytes(of: console, most: 1 << 20))
    }

    /// Reads some of the available frames; returns their number of bytes.
    private mutating func take(
        _ events: Int16, _ output: (Bool, [UInt8]) -> Void, _ file: (LabBench.ReturnedFile) -> Void,
        _ told: ([UInt8]) -> Void
    ) -> Int {
        let bytes = bytes(of: frames, most: 1 << 20)
        var hasSpoken = false
        var code: Int32?
        var hasStarted = false
        do throws(FrameReader.Refusal) {
            try reader.read(bytes) { frame in
                hasSpoken = true
                switch frame.kind {
                case .started: hasStarted = true
                case .output, .errors: output(frame.kind == .errors, frame.contents)
                case .file: file(LabBench.ReturnedFile(number: Int(frame.file), bytes: frame.contents))
                case .told: told(frame.contents)
                case .end: code = frame.exitCode
                case .interrupt, .report, .beat: break
                }
            }
        } catch { refusal = error }
        if hasSpoken { watch.hear() }
        if hasStarted { watch.start(at: .now) }
        exitCode = code
        return bytes.count
    }

    private mutating func judge(_ interrupts: () -> Int) {
        guard exitCode == nil, refusal == nil, !isOver else { return }
        let now = ContinuousClock.now, count = interrupts()
        watch.look(at: now)
        if watch.passesOn(interrupts: count, at: now) { tell(.interrupt) }
        stop = watch.stop(interrupts: count, at: now)
        // Where a command hangs in the kernel, the stacks of blocked tasks show why.
        if stop == .interrupted, watch.hasStarted {
            tell(.report)
            let end = now.advanced(by: .seconds(1))
            while ContinuousClock.now < end {
                var polled = pollfd(fd: console, events: Int16(POLLIN), revents: 0)
                guard poll(&polled, 1, 200) > 0, polled.revents & Int16(POLLIN) != 0 else { continue }
                consoleText.add(bytes(of: console, most: 1 << 20))
            }
        }
    }

    /// Sends a frame without blocking. Where the guest does not read, the frame is lost.
    private func tell(_ kind: Frame.Kind) {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        _ = Frame(kind).bytes.withUnsafeBytes { send(frames, $0.baseAddress, $0.count, flags) }
    }

    /// Reads available bytes, without waiting.
    private func bytes(of descriptor: Int32, most: Int) -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while all.count < most {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            all += buffer[..<count]
        }
        return all
    }

    /// How the process of the devices crashed; nil where it did not: without clients it ends with 0, and else it is killed.
    static func crash(_ status: Int32?) -> String? {
        guard let status, status != 0, status & 0x7f != SIGKILL else { return nil }
        return end(status)
    }

    private static func end(_ status: Int32) -> String {
        let signal = status & 0x7f
        return signal == 0 ? "exit code \(status >> 8 & 0xff)" : "signal \(signal)"
    }

    /// The verdict; `status` is the emulator's, and `devices` that of the process of its devices, as wait(2) gives them.
    func verdict(status: Int32, devices: Int32?, timeLimit: Double) -> LabVerdict {
        // The limit of processor time is that of the run.
        if let devices, devices & 0x7f == SIGXCPU { return .timedOut(seconds: timeLimit) }
        // Whatever else came of it: the command may have ended as if nothing were, and QEMU may have noticed first.
        if let crash = GuestRun.crash(devices) ?? (hasLostDevices && !isOver ? "it ended" : nil) {
            return .devicesFailed(stderr: "\(crash): " + String(decoding: emulatorText, as: UTF8.self))
        }
        if let refusal { return .refused(reason: "\(refusal)") }
        if let exitCode { return .finished(exitCode: exitCode) }
        let tail = consoleText.tail
        switch stop {
        case .interrupted: return .interrupted(consoleTail: tail)
        case .bootTimeout: return .neverBooted(consoleTail: tail)
        // The kernel may have panicked without ending or restarting the machine.
        case .silence: return consoleText.hasPanicked ? .panicked(consoleTail: tail) : .hung(consoleTail: tail)
        case .timeLimit: return .timedOut(seconds: timeLimit)
        case nil: break
        }
        if consoleText.hasPanicked {
            return watch.hasStarted ? .panicked(consoleTail: tail) : .diedBooting(consoleTail: tail)
        }
        let signal = status & 0x7f
        if signal == SIGXCPU || signal == SIGKILL, watch.hasStarted { return .timedOut(seconds: timeLimit) }
        guard status == 0 else {
            return .qemuFailed(stderr: "\(String(decoding: emulatorText, as: UTF8.self))(\(GuestRun.end(status)))")
        }
        return watch.hasStarted ? .panicked(consoleTail: tail) : .neverBooted(consoleTail: tail)
    }
}
