import Devices
import Glibc
import Kernel
import LuaKit
import SimKernel
import Synchronization
import Testing

@testable import Runner

/// A run has its devices bound, and brought back, by a process that it only talks to.
@Suite struct BindingBrokerTests {
    /// Both sides of one run, the outer one in a thread of its own.
    private final class Pair: @unchecked Sendable {
        let kernel = DeviceBinderTests.machine()
        let client: BindingClient
        let ours: Int32
        private let theirs: Int32
        private let problems = Mutex<[String]?>(nil)
        let printed = Mutex<[String]>([])
        private var thread = pthread_t()

        init(permits: [String]) throws {
            var ends: [Int32] = [0, 0]
            try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
            (ours, theirs) = (ends[0], ends[1])
            client = BindingClient(ours)
            let addresses = permits.compactMap { PCIAddress($0) }
            let serve = { [self] in
                let server = BindingServer(
                    theirs,
                    permit: { address throws(ErrorValue) in
                        guard !addresses.contains(address) else { return }
                        var error = ErrorValue(kind: .permission, "\(address) is not permitted")
                        error.hint = "a hint"
                        throw error
                    },
                    binder: { emit in
                        DeviceBinder(kernel: kernel, folders: [DeviceBinderTests.folder], isShared: false, emit: emit)
                    }, print: { line in self.printed.withLock { $0.append(line) } })
                server.serve()
                let left = server.restore()
                problems.withLock { $0 = left }
            }
            let box = Unmanaged.passRetained(Box(serve))
            pthread_create(
                &thread, nil,
                {
                    guard let pointer = $0 else { return nil }
                    Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
                    return nil
                }, box.toOpaque())
        }

        private final class Box {
            let body: () -> Void
            init(_ body: @escaping () -> Void) { self.body = body }
        }

        /// The run's process is gone; what could not be brought back.
        func end() -> [String]? {
            close(ours)
            pthread_join(thread, nil)
            close(theirs)
            return problems.withLock { $0 }
        }
    }

    private static let disk = DeviceBinderTests.disk

    @Test func devicesAreBoundAndComeBack() throws {
        let pair = try Pair(permits: [BindingBrokerTests.disk])
        let before = try DeviceBinderTests.state(pair.kernel)
        var lines: [String] = []
        try pair.client.bind([try DeviceBinderTests.address(BindingBrokerTests.disk)]) { lines.append($0) }
        #expect(DeviceBinderTests.driver(pair.kernel) == "vfio-pci")
        #expect(pair.client.restore { lines.append($0) }.isEmpty)
        #expect(
            lines == ["bound 0000:02:00.0 to vfio-pci; virtio-pci had it", "restored 0000:02:00.0: virtio-pci has it"])
        #expect(pair.end() == [])
        #expect(try DeviceBinderTests.state(pair.kernel) == before)
    }

    @Test func theyComeBackWhenTheRunIsGone() throws {
        let pair = try Pair(permits: [BindingBrokerTests.disk])
        let before = try DeviceBinderTests.state(pair.kernel)
        try pair.client.bind([try DeviceBinderTests.address(BindingBrokerTests.disk)]) { _ in }
        #expect(pair.end() == [])
        #expect(pair.printed.withLock { $0 } == ["restored 0000:02:00.0: virtio-pci has it"])
        #expect(try DeviceBinderTests.state(pair.kernel) == before)
    }

    @Test func whatIsNotPermittedIsNotBound() throws {
        let pair = try Pair(permits: [BindingBrokerTests.disk])
        let before = try DeviceBinderTests.state(pair.kernel)
        let both = try ["0000:03:00.0", BindingBrokerTests.disk].map(DeviceBinderTests.address)
        let error = #expect(throws: ErrorValue.self) { try pair.client.bind(both) { _ in } }
        #expect(error?.kind == .permission && error?.message == "0000:03:00.0 is not permitted")
        #expect(error?.hint == "a hint")
        #expect(pair.end() == [])
        #expect(try DeviceBinderTests.state(pair.kernel) == before)
    }

    @Test func aSecondTimeIsRefused() throws {
        let pair = try Pair(permits: [BindingBrokerTests.disk])
        let disk = try DeviceBinderTests.address(BindingBrokerTests.disk)
        try pair.client.bind([disk]) { _ in }
        #expect(throws: ErrorValue.self) { try pair.client.bind([disk]) { _ in } }
        #expect(pair.end() == [])
        #expect(DeviceBinderTests.driver(pair.kernel) == "virtio-pci")
    }

    @Test func aStrangersMessagesChangeNothing() throws {
        let pair = try Pair(permits: [BindingBrokerTests.disk])
        let before = try DeviceBinderTests.state(pair.kernel)
        let many = Array(repeating: BindingBrokerTests.disk, count: 300).joined(separator: "\0")
        let texts = [
            "x", "\0", "b", "b0000:02:00.0\n", "b/../../etc", "b0000:02:00.0/../0000:03:00.0", "b\0\0\0", "l line", "d",
            "r",
            "b" + many, "b" + String(repeating: "\u{ff}", count: 8000), "eusage\0forged",
        ]
        for text in texts { #expect(send(pair.ours, Array(text.utf8), text.utf8.count, 0) >= 0) }
        let long = [UInt8](repeating: 0x62, count: 60000)
        _ = send(pair.ours, long, long.count, 0)
        #expect(pair.end() == [])
        #expect(try DeviceBinderTests.state(pair.kernel) == before)
    }
}
