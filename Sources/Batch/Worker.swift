import CKernel
import Glibc
import Kernel

/// A task's process, and the pipes it writes to.
final class Worker {
    let task: BatchTask
    let pid: pid_t
    private(set) var ending = ProcessExit()
    /// Read ends: output, errors, result; the last one reports the process's end. -1 once closed.
    private(set) var pipes: [Int32]
    private static let process = 3
    private var start: UInt64
    /// Monotonic nanoseconds at which it is asked to end; after that, at which it is killed.
    private var deadline: UInt64
    private var isTold = false
    /// Whether it was asked for its script's position.
    private var isAsked = false
    private var hasEnded: Bool { pipes[3] < 0 }

    /// Time for an interrupted process to release its devices, nanoseconds.
    private static let grace: UInt64 = 5_000_000_000
    /// Time to answer with the script's position, nanoseconds.
    private static let answer: UInt64 = 1_000_000_000
    /// Bytes of a report that come on top of what a script may print: one that printed too much is stopped in its own
    /// process, which then reports.
    private static let reportOutput: UInt64 = 1 << 20

    /// Forks. `body` runs in the child, which exits with its result and writes data to descriptor 3.
    init(_ task: BatchTask, body: (BatchTask) -> Int32) throws(Errno) {
        var ends: [Int32] = []
        for _ in 0..<3 {
            var pair: [Int32] = [-1, -1]
            if let error = Errno(result: process_pipe(&pair)) {
                for descriptor in ends { close(descriptor) }
                throw error
            }
            ends += pair
        }
        let parent = getpid()
        start = sys_monotonic()
        // Done before the fork: another thread may hold a lock of Swift's runtime at the fork, for which the child
        // would wait for ever.
        let name = Array(task.name.utf8CString)
        let (output, errors, told, memory) = (ends[1], ends[3], ends[5], task.memory)
        let result = process_fork()
        if result == 0 {
            guard process_enter(name, parent, output, errors, told, memory) == 0 else { _exit(125) }
            let status = body(task)
            fflush(nil)
            _exit(status)
        }
        for index in [1, 3, 5] { close(ends[index]) }
        let process = result > 0 ? process_open(pid_t(truncatingIfNeeded: result)) : result
        pipes = [ends[0], ends[2], ends[4], Int32(truncatingIfNeeded: process)]
        self.task = task
        pid = pid_t(truncatingIfNeeded: result)
        deadline = start &+ task.nanoseconds
        guard process >= 0 else {
            for pipe in pipes where pipe >= 0 { close(pipe) }
            if result > 0 { Glibc.kill(pid, SIGKILL) }
            throw Errno(Int32(-process))
        }
        for pipe in pipes { _ = fcntl(pipe, F_SETFL, O_NONBLOCK) }
    }

    /// Whether its process, and all that it started, have closed the pipes.
    var isOver: Bool { pipes.allSatisfy { $0 < 0 } }

    /// Nanoseconds until `check` must be called.
    func wait(at now: UInt64) -> UInt64 { deadline > now ? deadline - now : 0 }

    /// Reads what came on a pipe.
    func read(_ index: Int, _ buffer: UnsafeMutableRawBufferPointer) {
        guard index != Worker.process else { return reap() }
        let count = Glibc.read(pipes[index], buffer.baseAddress, buffer.count)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else {
            close(pipes[index])
            pipes[index] = -1
            return
        }
        let bytes = ArraySlice(buffer[..<count])
        switch index {
        case 0: ending.output.add(bytes)
        case 1: ending.errors.add(bytes)
        default: take(bytes)
        }
        if ending.output.total + ending.errors.total > task.output + Worker.reportOutput { kill(for: .output) }
    }

    private func take(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while task.runsScenario, let mark = rest.firstIndex(where: { $0 == BatchTask.waits || $0 == BatchTask.begins })
        {
            keep(rest[..<mark])
            rest = rest[mark...].dropFirst()
            guard !isTold else { continue }
            start = sys_monotonic()
            deadline = bytes[mark] == BatchTask.waits ? .max : start &+ task.nanoseconds
        }
        keep(rest)
    }

    private func keep(_ bytes: ArraySlice<UInt8>) {
        guard ending.reason != .result, ending.result.count + bytes.count <= task.result else {
            return kill(for: .result)
        }
        ending.result += bytes
    }

    /// Asks it to end when its time is over; kills it when it does not.
    func check(at now: UInt64) {
        guard !hasEnded else {
            // A process that it started still holds a pipe.
            if now >= deadline { abandon() }
            return
        }
        if task.memory > 0, process_resident(pid) > task.memory { return kill(for: .memory) }
        guard now >= deadline else { return }
        if isTold, !isAsked, ending.reason == .timeout, task.runsScenario {
            isAsked = true
            deadline = now &+ Worker.answer
            Glibc.kill(pid, SIGALRM)
        } else if isTold {
            kill(for: ending.reason ?? .timeout)
        } else {
            tell(.timeout, at: now)
        }
    }

    /// Asks it to end, as Ctrl-C does; a scenario releases its devices.
    func tell(_ reason: ProcessExit.Reason, at now: UInt64) {
        guard !isTold, !hasEnded else { return }
        isTold = true
        if ending.reason == nil { ending.reason = reason }
        deadline = now &+ Worker.grace
        Glibc.kill(pid, reason == .timeout && task.runsScenario ? SIGALRM : SIGINT)
    }

    /// Kills it and all that it started.
    func kill(for reason: ProcessExit.Reason) {
        if ending.reason == nil { ending.reason = reason }
        guard !hasEnded else { return }
        Glibc.kill(-pid, SIGKILL)
        Glibc.kill(pid, SIGKILL)
    }

    private func reap() {
        var end = process_end()
        guard process_reap(pid, &end) != 0 else { return }
        close(pipes[Worker.process])
        pipes[Worker.process] = -1
        let now = sys_monotonic()
        ending.wall = now &- start
        ending.cpu = end.cpu_ns
        ending.maxResident = end.max_rss
        let signal = end.status & 0x7f
        if signal == 0 { ending.exit = end.status >> 8 & 0xff } else { ending.signal = signal }
        // Kills processes that it left running in its group.
        Glibc.kill(-pid, SIGKILL)
        deadline = now &+ 1_000_000_000
    }

    private func abandon() {
        for (index, pipe) in pipes.enumerated() where pipe >= 0 {
            close(pipe)
            pipes[index] = -1
        }
    }
}
