import Devices
import Glibc
import Kernel
import LuaKit
import SimKernel
import Testing

@testable import Runner

/// Devices are bound, and come back, whatever happens in between.
@Suite struct DeviceBinderTests {
    static let folder = "/run/peerlab"
    static let disk = "0000:02:00.0"
    static let physical = "0000:04:00.0"

    /// A machine with a disk controller, and a network adapter with two virtual functions of which one is VFIO's.
    static func machine(_ change: (inout Topology) -> Void = { _ in }) -> SimKernel {
        func device(_ address: String, _ driver: String?, native: String? = nil, group: Int) -> Topology.Device {
            var device = Topology.Device(
                address: address, vendor: 0x1af4, device: 0x1042, classCode: 0x010000, driver: driver, group: group)
            device.nativeDriver = native ?? device.nativeDriver
            return device
        }
        var first = device("0000:04:01.0", "iavf", group: 5)
        var second = device("0000:04:01.1", "vfio-pci", native: "iavf", group: 6)
        first.physicalFunction = physical
        second.physicalFunction = physical
        var topology = Topology(devices: [
            device(disk, "virtio-pci", group: 2), device("0000:03:00.0", nil, group: 3),
            device(physical, "ice", group: 4), first, second,
        ])
        change(&topology)
        return SimKernel(topology)
    }

    static func address(_ text: String) throws -> PCIAddress { try #require(PCIAddress(text)) }

    /// Everything that binding can change: drivers, overrides, SR-IOV, journals, and what is open.
    static func state(_ kernel: SimKernel) throws -> [String] {
        let bus = "/sys/bus/pci/devices"
        return try kernel.list(bus).flatMap { name -> [String] in
            let driver = (try? kernel.readlink("\(bus)/\(name)/driver")) ?? "none"
            let virtual = try kernel.list("\(bus)/\(name)").filter { $0.hasPrefix("virtfn") }
            return [name, driver] + virtual
                + ["driver_override", "sriov_numvfs", "sriov_drivers_autoprobe"].map {
                    (try? kernel.contents(of: "\(bus)/\(name)/\($0)")) ?? "none"
                }
        } + ((try? kernel.list(folder)) ?? []).filter { !$0.hasSuffix(".new") } + kernel.open
    }

    static func binder(_ kernel: any Kernel, folders: [String] = [folder], shared: Bool = false) -> DeviceBinder {
        DeviceBinder(kernel: kernel, folders: folders, isShared: shared, emit: { _ in })
    }

    static func driver(_ kernel: SimKernel, _ address: String = disk) -> String? {
        (try? kernel.readlink("/sys/bus/pci/devices/\(address)/driver"))?.split(separator: "/").last.map(String.init)
    }

    // MARK: There and back

    @Test(arguments: [[disk], ["0000:03:00.0"], [physical], [disk, physical, "0000:03:00.0"]])
    func comesBackAsItWas(_ names: [String]) throws {
        let kernel = DeviceBinderTests.machine()
        let before = try DeviceBinderTests.state(kernel)
        let binder = DeviceBinderTests.binder(kernel)
        let bound = try binder.bind(names.map(DeviceBinderTests.address), owner: .run)
        for name in names { #expect(DeviceBinderTests.driver(kernel, name) == "vfio-pci") }
        #expect(try binder.pending().map(\.description) == names.sorted())
        #expect(binder.restore(bound) == [])
        #expect(try DeviceBinderTests.state(kernel) == before)
    }

    /// All steps of binding and bringing back, once through.
    static func calls(_ names: [String]) throws -> [String] {
        let kernel = machine()
        var calls: [String] = []
        let traced = TracingKernel(kernel) { calls.append(String($0.prefix { $0 != "(" })) }
        let binder = binder(traced)
        let bound = try binder.bind(names.map(address), owner: .run)
        #expect(binder.restore(bound) == [])
        return calls.filter { errors[$0] != nil }
    }

    static let errors = [
        "open": "EACCES", "write": "EIO", "fsync": "EIO", "mkdir": "EROFS", "rename": "EROFS", "unlink": "EROFS",
        "read": "EIO", "getdents": "EACCES",
    ]

    /// The program is dead from some step on: nothing that it does has an effect.
    @Test(arguments: [[disk], [physical, disk]]) func whateverStopsItIsUndone(_ names: [String]) throws {
        let calls = try DeviceBinderTests.calls(names)
        #expect(calls.count > 20)
        for last in calls.indices {
            let kernel = DeviceBinderTests.machine()
            let before = try DeviceBinderTests.state(kernel)
            let killed = TracingKernel(kernel)
            var plan = FaultPlan()
            for (operation, error) in DeviceBinderTests.errors {
                try plan.add(operation, error, when: "\(calls[..<last].count { $0 == operation } + 1)+")
            }
            killed.faults = plan
            let binder = DeviceBinderTests.binder(killed)
            if let bound = try? binder.bind(names.map(DeviceBinderTests.address), owner: .run) {
                _ = binder.restore(bound)
            }
            #expect(killed.callsRefused > 0)
            let after = DeviceBinderTests.binder(kernel)
            for address in try after.pending() { try after.restore(address) }
            #expect(try DeviceBinderTests.state(kernel) == before, "stopped at call \(last), \(calls[last])")
        }
    }

    /// One call fails; the rest works.
    @Test(arguments: [[disk], [physical, disk]]) func whateverFailsIsUndone(_ names: [String]) throws {
        let calls = try DeviceBinderTests.calls(names)
        for index in calls.indices {
            let operation = calls[index]
            let kernel = DeviceBinderTests.machine()
            let before = try DeviceBinderTests.state(kernel)
            let failing = TracingKernel(kernel)
            var plan = FaultPlan()
            let count = calls[...index].count { $0 == operation }
            try plan.add(operation, DeviceBinderTests.errors[operation] ?? "", when: "\(count)")
            failing.faults = plan
            let binder = DeviceBinderTests.binder(failing)
            var problems: [String] = []
            do {
                problems = binder.restore(try binder.bind(names.map(DeviceBinderTests.address), owner: .run))
            } catch {
                problems = [(error as? ErrorValue)?.message ?? ""]
            }
            #expect(failing.callsRefused == 1)
            let left = try DeviceBinderTests.state(kernel)
            #expect(left == before || !problems.isEmpty, "call \(index), \(operation)")
            for address in try binder.pending() { try binder.restore(address) }
            #expect(try DeviceBinderTests.state(kernel) == before, "call \(index), \(operation): \(problems)")
        }
    }

    /// The next run goes on from wherever the killed one ended, and brings back what was before that.
    @Test func aRunInheritsFromAKilledOne() throws {
        let calls = try DeviceBinderTests.calls([DeviceBinderTests.disk])
        let writes = calls.count { $0 == "write" }
        for write in 1...writes {
            let kernel = DeviceBinderTests.machine()
            let before = try DeviceBinderTests.state(kernel)
            let killed = TracingKernel(kernel)
            killed.faults = FaultPlan()
            for operation in ["write", "unlink"] {
                try killed.faults?.add(
                    operation, operation == "write" ? "EIO" : "EROFS", when: operation == "write" ? "\(write)+" : "1+")
            }
            let first = DeviceBinderTests.binder(killed)
            let device = [try DeviceBinderTests.address(DeviceBinderTests.disk)]
            if let bound = try? first.bind(device, owner: .run) { _ = first.restore(bound) }
            let next = DeviceBinderTests.binder(kernel)
            let bound = try next.bind(device, owner: .run)
            #expect(DeviceBinderTests.driver(kernel) == "vfio-pci")
            #expect(next.restore(bound) == [])
            #expect(try DeviceBinderTests.state(kernel) == before, "write \(write)")
        }
    }
}
