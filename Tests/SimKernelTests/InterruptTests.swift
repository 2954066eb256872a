import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// VFIO_DEVICE_SET_IRQS and VFIO_DEVICE_IOEVENTFD: drivers/vfio/pci/vfio_pci_intrs.c,
/// drivers/vfio/pci/vfio_pci_rdwr.c:vfio_pci_ioeventfd.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelVFIO.md.
@Suite struct InterruptTests {
    private let bench: Bench
    private let iommufd: Int32

    init() {
        var topology = Topology.express
        // The engine has one MSI.
        topology.devices[1].config = [(0x61, [0xa0]), (0xa0, [5, 0, 0x80, 0])]
        bench = Bench(topology)
        iommufd = bench.open("/dev/iommu")
    }

    private func event(_ count: UInt32 = 0) -> Int32 { Int32(truncatingIfNeeded: bench.kernel.eventfd(count)) }

    /// What an eventfd has counted, which is then gone.
    private func taken(_ event: Int32) -> UInt64 {
        guard bench.kernel.poll(event, Int16(POLLIN)) == Int(POLLIN) else { return 0 }
        var value: UInt64 = 0
        _ = withUnsafeMutableBytes(of: &value) { bench.kernel.read(event, $0) }
        return value
    }

    private func write(_ event: Int32) {
        _ = withUnsafeBytes(of: UInt64(1)) { bench.kernel.write(event, $0) }
    }

    private func set(
        _ device: Int32, _ index: UInt32, _ flags: Int, from start: UInt32 = 0, _ count: UInt32 = 1,
        _ events: [Int32] = []
    ) -> Int {
        let header = [UInt32(20 + 4 * events.count), UInt32(flags), index, start, count]
        return bench.ioctl(
            device, VFIO_DEVICE_SET_IRQS,
            bytes: header.flatMap { Bench.bytes($0) } + events.flatMap { Bench.bytes($0) })
    }

    private let trigger = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER
    private let assign = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER
    private let unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK

    @Test func aRefusedVectorTakesThoseBeforeItAlong() throws {
        let device = try bench.bound(Bench.exporter, to: iommufd)
        let first = event()
        let second = event()
        #expect(set(device, 2, assign, 0, []) == -Int(ERANGE))
        #expect(set(device, 2, assign, 2, [first, 99]) == -Int(EBADF))
        #expect(bench.get(device, 7, 0xa2, UInt16.self) == 1)
        #expect(set(device, 2, assign, 1, [first]) == 0)
        #expect(bench.get(device, 7, 0xa2, UInt16.self) == 0x8001)
        #expect(set(device, 2, assign, from: 1, 1, [second]) == 0)
        #expect(set(device, 2, trigger, 2) == 0)
        #expect(taken(first) == 1 && taken(second) == 1)
        #expect(set(device, 2, assign, 2, [second, 99]) == -Int(EBADF))
        #expect(set(device, 2, trigger, 2) == 0)
        #expect(taken(first) == 0 && taken(second) == 0)
        #expect(set(device, 0, assign, 1, [first]) == -Int(EINVAL))
    }

    @Test func messagesNeedD0() throws {
        let device = try bench.bound(Bench.exporter, to: iommufd)
        bench.put(device, 7, 0x44, UInt8(3))
        #expect(set(device, 2, assign, 1, [event()]) == -Int(EINVAL))
        bench.put(device, 7, 0x44, UInt8(0))
        #expect(set(device, 2, assign, 1, [event()]) == 0)
    }

    @Test func anAssertedLineIsMaskedUntilItIsUnmasked() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let told = event()
        #expect(set(engine, 0, assign, 1, [told]) == 0)
        bench.put(engine, 0, 0x60, UInt32(1))
        #expect(taken(told) == 1)
        bench.put(engine, 0, 0x60, UInt32(2))
        #expect(taken(told) == 0)
        #expect(set(engine, 0, unmask) == 0)
        #expect(taken(told) == 1)
        bench.put(engine, 0, 0x64, UInt32(3))
        #expect(set(engine, 0, unmask) == 0)
        #expect(taken(told) == 0)
        bench.put(engine, 0, 0x60, UInt32(1))
        #expect(taken(told) == 1)
    }

    @Test func aMessageNeedsTheBus() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let told = event()
        #expect(set(engine, 1, assign, 1, [told]) == 0)
        bench.put(engine, 0, 0x60, UInt32(1))
        #expect(taken(told) == 0)
        bench.setBusMaster(engine)
        bench.put(engine, 0, 0x60, UInt32(1))
        #expect(taken(told) == 1)
        #expect(bench.get(engine, 7, 6, UInt16.self) & 8 == 0)
    }

    /// One eventfd in every place at once: what it tells unmasks, and writes.
    @Test func anEventActsAtOnceAndIsTaken() throws {
        let engine = try bench.bound(Bench.engine, to: iommufd)
        let all = event(7)
        let unmaskBy = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK
        #expect(set(engine, 0, assign, 1, [all]) == 0)
        #expect(set(engine, 0, unmaskBy, 1, [all]) == 0)
        #expect(set(engine, 0, unmaskBy, 1, [event()]) == -Int(EBUSY))
        #expect(set(engine, 4, assign, 1, [all]) == 0)
        #expect(set(engine, 4, trigger) == 0)
        #expect(set(engine, 0, trigger) == 0)
        #expect(taken(all) == 0)
    }

    @Test func aWriteByEventIsDoneWhileMemoryIsOn() throws {
        let device = try bench.bound(Bench.exporter, to: iommufd)
        let told = event()
        func request(_ offset: UInt64, _ value: UInt64, _ descriptor: Int32) -> Int {
            var request = vfio_device_ioeventfd(
                argsz: 32, flags: 4, offset: offset, data: value, fd: descriptor, reserved: 0)
            return bench.ioctl(device, VFIO_DEVICE_IOEVENTFD, &request)
        }
        #expect(request(28, 1, told) == -Int(EINVAL))
        #expect(request(2 << 40 | 8, 0xcafe, -1) == -Int(ENODEV))
        #expect(request(2 << 40 | 8, 0xcafe, told) == 0)
        #expect(request(2 << 40 | 8, 0xcafe, told) == -Int(EEXIST))
        write(told)
        #expect(taken(told) == 0)
        #expect(bench.get(device, 2, 8, UInt32.self) == 0xcafe)
        bench.put(device, 2, 8, UInt32(0))
        bench.put(device, 7, 4, UInt16(0))
        write(told)
        bench.put(device, 7, 4, UInt16(2))
        #expect(bench.get(device, 2, 8, UInt32.self) == 0)
        #expect(request(2 << 40 | 8, 0xcafe, -1) == 0)
        write(told)
        #expect(taken(told) == 1)
    }
}
