import Devices
import Glibc
import Kernel
import LuaKit
import SimKernel
import Testing

@testable import Runner

/// What is written down, who may undo it, and when.
@Suite struct BindingJournalTests {
    private typealias Machine = DeviceBinderTests

    private func put(_ text: String, _ path: String, _ kernel: SimKernel) throws {
        _ = kernel.mkdir(Machine.folder)
        let descriptor = Int32(kernel.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC))
        try #require(descriptor >= 0)
        _ = Array(text.utf8).withUnsafeBytes { kernel.write(descriptor, $0) }
        _ = kernel.close(descriptor)
    }

    private func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return (error as? ErrorValue)?.message ?? "\(error)" }
        return ""
    }

    @Test func whatTheUserHasBoundStaysBound() throws {
        let kernel = Machine.machine()
        let before = try Machine.state(kernel)
        let device = try Machine.address(Machine.disk)
        _ = try Machine.binder(kernel).bind([device], owner: .user)
        let run = Machine.binder(kernel)
        #expect(run.restore(try run.bind([device], owner: .run)) == [])
        #expect(Machine.driver(kernel) == "vfio-pci")
        #expect(try run.description(of: device) == "\(device): vfio-pci, was virtio-pci; bound by peerlab bind")
        try run.restore(device)
        #expect(try Machine.state(kernel) == before)
    }

    @Test func whatVFIOHasAlreadyIsLeftAlone() throws {
        let kernel = Machine.machine()
        let before = try Machine.state(kernel)
        let binder = Machine.binder(kernel)
        #expect(binder.restore(try binder.bind([Machine.address("0000:04:01.1")], owner: .run)) == [])
        #expect(try Machine.state(kernel) == before)
    }

    @Test func afterANewBootThereIsNothingToUndo() throws {
        let kernel = Machine.machine()
        let device = try Machine.address(Machine.disk)
        let before = try Machine.state(kernel)
        try put(
            "peerlab binding 1\nboot another\nowner run\nfunction \(device)\ndriver nvme\nend\n",
            "\(Machine.folder)/\(device)", kernel)
        let traced = TracingKernel(kernel)
        traced.faults = FaultPlan()
        let binder = Machine.binder(traced)
        try binder.restore(device)
        #expect(try Machine.state(kernel) == before)
        #expect(traced.faults?.calls["write"] == nil)
    }

    @Test(arguments: [
        "", "peerlab binding 1\nboot x\nowner run\nfunction 0000:02:00.0\n",
        "peerlab binding 1\nboot x\nowner run\nfunction 0000:03:00.0\nend\n",
        "peerlab binding 1\nboot x\nowner nobody\nfunction 0000:02:00.0\nend\n",
        "peerlab binding 2\nboot x\nowner run\nfunction 0000:02:00.0\nend\n",
    ])
    func aDamagedJournalIsKeptAndNothingIsDone(_ text: String) throws {
        let kernel = Machine.machine()
        let device = try Machine.address(Machine.disk)
        try put(text, "\(Machine.folder)/\(device)", kernel)
        let before = try Machine.state(kernel)
        let binder = Machine.binder(kernel)
        #expect(message { try binder.restore(device) }.hasPrefix("read: EINVAL"))
        #expect(message { _ = try binder.bind([device], owner: .run) }.hasPrefix("read: EINVAL"))
        #expect(try Machine.state(kernel) == before)
        try binder.forget(device)
        #expect(try binder.pending() == [])
    }

    @Test func anotherDriverThanOursIsSomebodysDecision() throws {
        let kernel = Machine.machine { $0.devices[1].driver = "other" }
        let device = try Machine.address(Machine.disk)
        let binder = Machine.binder(kernel)
        _ = try binder.bind([device], owner: .user)
        try put("\(device)", "/sys/bus/pci/drivers/vfio-pci/unbind", kernel)
        try put("other", "/sys/bus/pci/devices/\(device)/driver_override", kernel)
        try put("\(device)", "/sys/bus/pci/drivers/other/bind", kernel)
        #expect(message { try binder.restore(device) }.contains("other has it by now"))
        #expect(Machine.driver(kernel) == "other")
        try binder.forget(device)
        #expect(try binder.pending() == [])
        #expect(Machine.driver(kernel) == "other")
    }

    @Test func whatIsOpenIsNotTakenAway() throws {
        let kernel = Machine.machine()
        let before = try Machine.state(kernel)
        let device = try Machine.address(Machine.disk)
        let binder = Machine.binder(kernel)
        let bound = try binder.bind([device], owner: .run)
        let group = Int32(kernel.open("/dev/vfio/2", flags: O_RDWR))
        let problems = binder.restore(bound)
        #expect(problems.count == 1 && problems[0].contains("EBUSY") && problems[0].contains("peerlab restore"))
        #expect(Machine.driver(kernel) == "vfio-pci")
        _ = kernel.close(group)
        try binder.restore(device)
        #expect(try Machine.state(kernel) == before)
    }

    @Test func theNextFolderIsTakenWhereTheFirstCannotBeWritten() throws {
        let kernel = Machine.machine()
        let device = try Machine.address(Machine.disk)
        let binder = Machine.binder(kernel, folders: ["/nowhere/bindings", Machine.folder])
        let bound = try binder.bind([device], owner: .run)
        #expect(try kernel.list(Machine.folder) == [Machine.disk])
        #expect(binder.restore(bound) == [])
        let only = Machine.binder(kernel, folders: ["/nowhere/bindings"])
        #expect(
            message { _ = try only.bind([device], owner: .run) }.contains(
                "--state of peerlab bind, names another folder"))
        #expect(Machine.driver(kernel) == "virtio-pci")
    }

    @Test func aRunsDevicesAreTheRunsToRestore() throws {
        // Locks are the machine's, so the address is nobody else's.
        let name = "ffff:\(String(UInt8(truncatingIfNeeded: getpid()), radix: 16)):1f.0"
        let kernel = Machine.machine { $0.devices[0].address = PCIAddress(name)?.description ?? "" }
        let device = try Machine.address(name)
        defer {
            for lock in ["bind-\(device)", "iommu-group-2"] {
                for folder in ["/run/lock", "/tmp"] { unlink("\(folder)/peerlab.\(lock).lock") }
            }
        }
        let binder = Machine.binder(kernel, shared: true)
        let before = try Machine.state(kernel)
        try {
            let bound = try binder.bind([device], owner: .run)
            #expect(message { try binder.restore(device) }.contains("a peerlab that runs"))
            #expect(try binder.description(of: device).hasSuffix("bound by a run"))
            #expect(Machine.driver(kernel, "\(device)") == "vfio-pci")
            withExtendedLifetime(bound) {}
        }()
        #expect(try binder.description(of: device).hasSuffix("bound by a run that ended early"))
        try binder.restore(device)
        #expect(try Machine.state(kernel) == before)
        #expect(message { try binder.restore(device) }.contains("nothing to undo"))
    }
}
