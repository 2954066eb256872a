import CKernel
import Glibc
import Kernel
import Testing

@testable import VFIOUser

/// DEVICE_SET_IRQS, and what arrives of interrupts.
@Suite struct InterruptTests {
    /// What was counted since, 0 for nothing.
    private static func count(_ descriptor: Int32) -> UInt64 {
        var value: UInt64 = 0
        _ = sys_fcntl(descriptor, F_SETFL, Int(O_NONBLOCK))
        return read(descriptor, &value, 8) == 8 ? value : 0
    }

    private static func events(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(sys_eventfd(0)) } }

    @Test func vectorsRaiseTheirEvents() throws {
        let rig = try Rig()
        let events = Self.events(4)
        defer { for event in events { close(event) } }
        #expect(try rig.client.setInterrupts(0x24, count: 4, events) == nil)
        _ = rig.work { bus in
            for vector in [1, 1, 3, 4, -1, .max] { bus.interrupt(vector) }
        }
        #expect(events.map(Self.count) == [0, 2, 0, 1])
        // Two of them go, then all.
        #expect(try rig.client.setInterrupts(0x24, start: 1, count: 2) == nil)
        _ = rig.work { bus in for vector in 0..<4 { bus.interrupt(vector) } }
        #expect(events.map(Self.count) == [1, 0, 0, 1])
        #expect(try rig.client.setInterrupts(0x21, count: 0) == nil)
        _ = rig.work { bus in for vector in 0..<4 { bus.interrupt(vector) } }
        #expect(events.map(Self.count) == [0, 0, 0, 0])
    }

    @Test func aClientMayRaiseThemItself() throws {
        let rig = try Rig()
        let events = Self.events(4)
        defer { for event in events { close(event) } }
        #expect(try rig.client.setInterrupts(0x24, count: 4, events) == nil)
        #expect(try rig.client.setInterrupts(0x21, start: 1, count: 2) == nil)
        #expect(events.map(Self.count) == [0, 1, 1, 0])
        #expect(try rig.client.setInterrupts(0x22, start: 1, count: 3, data: [0, 1, 255]) == nil)
        #expect(events.map(Self.count) == [0, 0, 1, 1])
    }

    @Test func aFunctionThatIsNoMasterRaisesNothing() throws {
        let rig = try Rig()
        let events = Self.events(1)
        defer { close(events[0]) }
        #expect(try rig.client.setInterrupts(0x24, count: 1, events) == nil)
        rig.client.enable(2)
        _ = rig.work { bus in bus.interrupt(0) }
        #expect(Self.count(events[0]) == 0)
    }

    @Test func anEventThatIsFullHoldsNobodyUp() throws {
        let rig = try Rig()
        let events = Self.events(1)
        defer { close(events[0]) }
        #expect(try rig.client.setInterrupts(0x24, count: 1, events) == nil)
        var most = UInt64.max - 1
        #expect(write(events[0], &most, 8) == 8)
        // Its flags are its sender's, too.
        #expect(fcntl(events[0], F_SETFL, 0) == 0)
        _ = rig.work { bus in bus.interrupt(0) }
        #expect(Self.count(events[0]) == most)
    }

    @Test func whatIsWrongIsRefused() throws {
        let rig = try Rig()
        let events = Self.events(5)
        let file = MemoryFile(4096)
        defer { for event in events { close(event) } }
        func refusal(
            _ flags: UInt32, kind: UInt32 = 2, start: UInt32 = 0, count: UInt32, _ descriptors: [Int32] = [],
            data: [UInt8] = []
        ) throws -> String? {
            try rig.client.setInterrupts(flags, kind: kind, start: start, count: count, descriptors, data: data)
        }
        #expect(try refusal(0x24, count: 4, Array(events.prefix(4))) == nil)
        #expect(try refusal(0x24, count: 5, events) == "EINVAL")
        #expect(try refusal(0x24, start: 4, count: 1, [events[0]]) == "EINVAL")
        #expect(try refusal(0x24, start: .max, count: 1, [events[0]]) == "EINVAL")
        #expect(try refusal(0x24, count: 2, [events[0]]) == "EINVAL")
        #expect(try refusal(0x24, count: 1, Array(events.prefix(2))) == "EINVAL")
        #expect(try refusal(0x21, count: 1, [events[0]]) == "EINVAL")
        #expect(try refusal(0x22, count: 2, data: [1]) == "EINVAL")
        #expect(try refusal(0x21, count: .max) == "EINVAL")
        #expect(try refusal(0x25, count: 1) == "EINVAL")
        #expect(try refusal(0x20, count: 1) == "EINVAL")
        #expect(try refusal(0x01, count: 1) == "EINVAL")
        #expect(try refusal(0x31, count: 1) == "EINVAL")
        #expect(try refusal(0x61, count: 1) == "EINVAL")
        #expect(try refusal(0x09, count: 1) == "ENOTTY")
        #expect(try refusal(0x21, kind: 0, count: 1) == "ENOTTY")
        #expect(try refusal(0x21, kind: 0, count: 0) == nil)
        #expect(try refusal(0x21, kind: 5, count: 0) == "EINVAL")
        // One of them is no event.
        #expect(try refusal(0x24, count: 2, [events[4], file.descriptor]) == "EINVAL")
        _ = rig.work { bus in for vector in 0..<4 { bus.interrupt(vector) } }
        #expect(events.map(Self.count) == [1, 1, 1, 1, 0])
    }

    @Test func tooManyDescriptorsAreRefusedAndClosed() throws {
        let rig = try Rig()
        let event = Self.events(1)
        defer { close(event[0]) }
        let many = [Int32](repeating: event[0], count: 17)
        #expect(try rig.client.setInterrupts(0x24, count: 4, many) == "EINVAL")
        #expect(try rig.client.read(7, 0, 2) == [0xf4, 0x1a])
    }
}
