import Batch
import CKernel
import Foundation
import Glibc
import Kernel
import Testing

/// Processes that end in every way there is. Forking needs a program of one thread, which a test program is not: what the
/// children do here is C alone.
@Suite(.serialized) struct WorkersTests {
    static func run(_ tasks: [BatchTask], jobs: Int = 2, _ body: @escaping (BatchTask) -> Int32) throws -> [String:
        ProcessExit]
    {
        var rest = tasks[...]
        var endings: [String: ProcessExit] = [:]
        try Workers(jobs: jobs, body: body).run(next: { rest.popFirst() }) { task, ending in
            #expect(endings[task.id] == nil, "an end is told once")
            endings[task.id] = ending
        }
        return endings
    }

    static func say(_ text: StaticString, _ descriptor: Int32) {
        _ = write(descriptor, text.utf8Start, text.utf8CodeUnitCount)
    }

    @Test func everyTaskEndsOnceWithWhatItSaid() throws {
        let tasks = (0..<50).map { BatchTask(id: "task \($0)", index: $0) }
        let endings = try Self.run(tasks) { task in
            Self.say("printed", 1)
            Self.say("complained", 2)
            Self.say("result", 3)
            return Int32(task.index)
        }
        #expect(endings.count == 50)
        for task in tasks {
            let ending = try #require(endings[task.id])
            #expect(ending.exit == Int32(task.index) && ending.signal == nil && ending.reason == nil)
            #expect(ending.output.text == "printed" && ending.errors.text == "complained")
            #expect(String(decoding: ending.result, as: UTF8.self) == "result")
        }
    }

    /// What RLIMIT_DATA counts of this program, bytes. A child begins with as much, and other tests may have taken more than any
    /// limit that stands here.
    static func dataInUse() throws -> UInt64 {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmData:") })
        return try #require(UInt64(line.filter(\.isNumber))) << 10
    }

    @Test func endsAreToldApart() throws {
        let data = try Self.dataInUse()
        var tasks = ["crash", "spin", "ignore", "allocate", "flood", "hold", "close", "tell"].enumerated().map {
            BatchTask(
                id: $0.element, index: $0.offset, timeout: $0.offset < 3 && $0.offset > 0 ? 0.3 : 60,
                memory: data + (512 << 20), output: 1 << 20)
        }
        tasks[7].result = 1 << 10
        let endings = try Self.run(tasks, jobs: 2) { task in
            switch task.index {
            case 0: Glibc.kill(getpid(), SIGSEGV)
            case 1: while true { pause() }
            case 2:
                signal(SIGINT, SIG_IGN)
                while true { pause() }
            case 3:
                while true {
                    let block = mmap(nil, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                    guard let block, block != MAP_FAILED else { return 9 }
                    memset(block, 1, 16 << 20)
                }
            case 4: while true { Self.say("more and more and more of it", 1) }
            case 7: while true { Self.say("result after result", 3) }
            case 5:
                // A process of its own that keeps the pipes.
                if process_fork() == 0 {
                    setsid()
                    sleep(20)
                    _exit(0)
                }
            default: for descriptor in 0..<8 { close(Int32(descriptor)) }
            }
            return 0
        }
        #expect(endings["crash"]?.signal == SIGSEGV && endings["crash"]?.reason == nil)
        #expect(endings["spin"]?.reason == .timeout && endings["spin"]?.signal == SIGINT)
        #expect(endings["ignore"]?.reason == .timeout && endings["ignore"]?.signal == SIGKILL)
        let allocation = try #require(endings["allocate"])
        #expect(allocation.exit == 9 || allocation.reason == .memory)
        #expect(endings["flood"]?.reason == .output && endings["flood"]?.output.text.hasSuffix("more of it") == true)
        // A part of a result would be taken for one of a process that had not finished.
        #expect(endings["tell"]?.reason == .result && endings["tell"].map { $0.result.count <= 1 << 10 } == true)
        #expect(endings["hold"]?.exit == 0 && endings["close"]?.exit == 0)
    }

    @Test func waitingForDevicesTakesNoTime() throws {
        let tasks = ["waits", "begins"].enumerated().map { BatchTask(id: $0.element, index: $0.offset, timeout: 0.3) }
            .map { task in
                var task = task
                task.runsScenario = true
                return task
            }
        let endings = try Self.run(tasks) { task in
            var bytes = [BatchTask.waits, BatchTask.begins]
            _ = write(3, &bytes, 1)
            usleep(600_000)
            guard task.index == 1 else { return 0 }
            _ = write(3, &bytes[1], 1)
            Self.say("result", 3)
            while true { pause() }
        }
        #expect(endings["waits"]?.exit == 0 && endings["waits"]?.reason == nil)
        #expect(endings["begins"]?.reason == .timeout)
        #expect(String(decoding: endings["begins"]?.result ?? [], as: UTF8.self) == "result")
    }

    @Test func aProcessHasNothingOpenButItsOwn() throws {
        let endings = try Self.run([BatchTask(id: "one", index: 0)]) { _ in
            (3..<1024).allSatisfy { fcntl(Int32($0), F_GETFD) < 0 || $0 == 3 } ? 0 : 1
        }
        #expect(endings["one"]?.exit == 0)
    }

    @Test func invalidTextIsReplacedAndOnlyItsEndKept() throws {
        let endings = try Self.run([BatchTask(id: "one", index: 0)]) { _ in
            for _ in 0..<5000 { Self.say("0123456789", 1) }
            var bytes: [UInt8] = [0xff, 0xfe, 0x41]
            _ = write(1, &bytes, 3)
            return 0
        }
        let tail = try #require(endings["one"]?.output)
        #expect(tail.total == 50003 && tail.text.unicodeScalars.count == (16 << 10))
        #expect(tail.text.hasSuffix("\u{fffd}\u{fffd}A"))
    }
}
