import Devices
import Glibc
import Kernel
import LuaKit
import Synchronization
import Testing

@testable import Runner

/// Who uses a device, uses it alone.
@Suite struct DeviceLocksTests {
    @Test func theSecondWaitsForTheFirst() throws {
        let name = "test-\(getpid())"
        defer { for folder in ["/run/lock", "/tmp/peerlab.locks"] { unlink("\(folder)/peerlab.\(name).lock") } }
        let order = Mutex<[String]>([])
        func note(_ text: String) { order.withLock { $0.append(text) } }
        let done = Atomic<Int>(0)
        var thread = pthread_t()
        try {
            let locks = try DeviceLocks([name], isInterrupted: { false }, waiting: { _ in note("must not wait") })
            let body = Body {
                let second = try? DeviceLocks(
                    [name, "\(name)"], isInterrupted: { false },
                    waiting: { _ in
                        note("waits")
                        done.store(1, ordering: .sequentiallyConsistent)
                    })
                if second != nil { note("has it") }
            }
            pthread_create(&thread, nil, Body.run, Unmanaged.passRetained(body).toOpaque())
            while done.load(ordering: .sequentiallyConsistent) == 0 { sched_yield() }
            note("lets go")
            _ = consume locks
        }()
        pthread_join(thread, nil)
        #expect(order.withLock { $0 } == ["waits", "lets go", "has it"])
    }

    private final class Body: @unchecked Sendable {
        let action: () -> Void
        init(_ action: @escaping () -> Void) { self.action = action }

        static let run: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
            argument.map { Unmanaged<Body>.fromOpaque($0).takeRetainedValue().action() }
            return nil
        }
    }

    @Test func nobodyWaitsForAPipe() throws {
        let name = "pipe-\(getpid())"
        let path = "\(DeviceLocks.folder)/peerlab.\(name).lock"
        try #require(mkfifo(path, 0o644) == 0)
        defer { unlink(path) }
        #expect(throws: ErrorValue.self) {
            _ = try DeviceLocks([name], isInterrupted: { false }, waiting: { _ in })
        }
    }

    /// A machine whose /tmp is read-only, say.
    @Test func anotherFolderIsMadeWhereOneCannotBe() throws {
        let made = "/tmp/lock-test-\(getpid())/peerlab.locks"
        let parent = "/tmp/lock-test-\(getpid())"
        try #require(mkdir(parent, 0o755) == 0)
        defer {
            rmdir(made)
            rmdir(parent)
        }
        #expect(DeviceLocks.folder(of: ["/proc/peerlab.locks", made]) == made)
        var status = stat()
        #expect(stat(made, &status) == 0 && status.st_mode & 0o7777 == 0o1777)
        #expect(DeviceLocks.folder(of: ["/proc/peerlab.locks", "/nonexistent/lock"]) == nil)
    }

    @Test func aDeviceIsLockedWithItsGroup() throws {
        let address = try #require(PCIAddress("0000:01:00.0"))
        #expect(DeviceLocks.names([address], nic: "mlx5_0", from: []) == ["pci-0000:01:00.0", "rdma-mlx5_0-1"])
        #expect(DeviceLocks.names([], nic: nil, from: []) == [])
    }
}
