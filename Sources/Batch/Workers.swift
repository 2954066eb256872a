import CKernel
import Glibc
public import Kernel

/// Runs tasks in processes of their own, a limited number at a time. The processes are forked without exec and keep all
/// that is loaded, so the calling program must have one thread.
public final class Workers {
    private let jobs: Int
    private let body: (BatchTask) -> Int32
    private var running: [Worker] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    /// Called when nothing has happened for a moment, and after each task's end.
    public var tick: (() -> Void)?
    /// Number of running tasks.
    public var count: Int { running.count }
    /// Ids of the running tasks, oldest first.
    public var names: [String] { running.map(\.task.id) }

    /// Runs at most `jobs` tasks at a time. `body` runs in each process and writes its result to descriptor 3.
    public init(jobs: Int, body: @escaping (BatchTask) -> Int32) {
        self.jobs = jobs
        self.body = body
        process_count_signals()
    }

    deinit { buffer.deallocate() }

    /// Whether Ctrl-C or SIGTERM came.
    public static var isInterrupted: Bool { process_signals() > 0 }
    /// Whether it was SIGTERM, as batch systems send it.
    public static var isTerminated: Bool { process_was_terminated() != 0 }

    /// Runs the tasks that `next` returns until it returns nil; calls `finished` for each. After a signal no more are
    /// started and running ones are asked to end; after a second signal they are killed. Throws where no process can be
    /// started.
    public func run(next: () -> BatchTask?, finished: (BatchTask, ProcessExit) -> Void) throws(Errno) {
        var isEmpty = false
        while true {
            while !isEmpty, !Workers.isInterrupted, running.count < jobs {
                guard let task = next() else {
                    isEmpty = true
                    break
                }
                try start(task)
            }
            if running.isEmpty { return }
            obeySignals()
            poll()
            let now = sys_monotonic()
            for worker in running { worker.check(at: now) }
            for worker in running where worker.isOver { finished(worker.task, worker.ending) }
            if running.contains(where: \.isOver) {
                running.removeAll { $0.isOver }
                // `next` may have more tasks after an end, such as a retry of a failed one.
                isEmpty = false
            }
            tick?()
        }
    }

    /// EAGAIN from fork(2) goes away when other processes end.
    private func start(_ task: BatchTask) throws(Errno) {
        while true {
            do throws(Errno) {
                running.append(try Worker(task, body: body))
                return
            } catch {
                guard !running.isEmpty, ["EAGAIN", "ENOMEM", "EMFILE"].contains(error.name) else {
                    for worker in running { worker.kill(for: .interrupted) }
                    throw error
                }
                poll()
            }
        }
    }

    private func obeySignals() {
        guard Workers.isInterrupted else { return }
        let now = sys_monotonic()
        for worker in running {
            if process_signals() > 1 { worker.kill(for: .interrupted) } else { worker.tell(.interrupted, at: now) }
        }
    }

    /// Interval of the memory checks, milliseconds.
    private static let interval: UInt64 = 100

    private func poll() {
        var files: [pollfd] = []
        var owners: [(Worker, Int)] = []
        for worker in running {
            for (index, pipe) in worker.pipes.enumerated() where pipe >= 0 {
                files.append(pollfd(fd: pipe, events: Int16(POLLIN), revents: 0))
                owners.append((worker, index))
            }
        }
        let now = sys_monotonic()
        let wait = running.map { $0.wait(at: now) / 1_000_000 + 1 }.min() ?? 1
        let found = Glibc.poll(&files, nfds_t(files.count), Int32(min(wait, Workers.interval)))
        guard found > 0 else { return }
        for (index, file) in files.enumerated() where file.revents != 0 {
            owners[index].0.read(owners[index].1, buffer)
        }
    }
}
