import Devices
import Kernel
import LuaKit
import SimKernel
import Testing

@testable import Runner

/// What this machine needs is never taken.
@Suite struct BindingCheckTests {
    private typealias Machine = DeviceBinderTests

    /// Why the disk controller is not bound; "" where it is.
    private func refusal(_ device: String = Machine.disk, _ change: (inout Topology) -> Void) throws -> String {
        let kernel = Machine.machine(change)
        let before = try Machine.state(kernel)
        let binder = Machine.binder(kernel)
        do { _ = try binder.bind([Machine.address(device)], owner: .run) } catch {
            let error = try #require(error as? ErrorValue)
            #expect(error.kind == .usage && error.message.hasPrefix("\(device) is not bound to vfio-pci: "))
            #expect(try Machine.state(kernel) == before)
            return error.message
        }
        return ""
    }

    private func disk(_ topology: inout Topology, _ name: String, number: String, below device: String = Machine.disk) {
        topology.links["/sys/class/block/\(name)"] = "../../devices/pci0000:00/\(device)/virtio0/block/\(name)"
        topology.files["/sys/devices/pci0000:00/\(device)/virtio0/block/\(name)/dev"] = number + "\n"
    }

    private let elsewhere = "22 1 0:21 / /run rw shared:1 - tmpfs tmpfs rw\n"

    @Test func aDiskThatIsNotUsedIsTaken() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda", number: "254:0")
                topology.files["/proc/self/mountinfo"] = elsewhere
                topology.files["/proc/swaps"] = "Filename Type Size Used Priority\n/dev/vdb partition 1 0 -2\n"
            } == "")
    }

    @Test func theRootFileSystem() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda1", number: "254:1")
                topology.files["/proc/self/mountinfo"] = elsewhere + "1 1 254:1 / / rw - ext4 /dev/root rw\n"
            }.contains("the root file system is on it (vda1); name another device"))
    }

    @Test func aMountedFileSystemKnownByItsSource() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda2", number: "254:2")
                topology.files["/proc/1/mountinfo"] = "31 1 0:35 / /home rw master:3 - btrfs /dev/vda2 rw\n"
            }.contains("/home is mounted from it (vda2); umount /home"))
    }

    @Test func swap() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda3", number: "254:3")
                topology.files["/proc/swaps"] = "Filename Type Size Used Priority\n/dev/vda3 partition 1 0 -2\n"
            }.contains("swap is on it (vda3); swapoff /dev/vda3"))
    }

    @Test func whatIsBuiltUponIt() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda4", number: "254:4")
                topology.files["/sys/devices/pci0000:00/\(Machine.disk)/virtio0/block/vda4/holders/dm-0"] = ""
                topology.links["/sys/class/block/dm-0"] = "../../devices/virtual/block/dm-0"
                topology.files["/sys/devices/virtual/block/dm-0/dev"] = "253:0\n"
                topology.files["/proc/self/mountinfo"] = "1 1 253:0 / / rw - ext4 /dev/mapper/root rw\n"
            }.contains("dm-0 is made of its vda4, and the root file system is on it (dm-0)"))
    }

    @Test func aControllerOfAnNVMeSubsystem() throws {
        #expect(
            try refusal { topology in
                topology.links["/sys/class/block/nvme0n1"] = "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
                topology.files["/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/dev"] = "259:0\n"
                topology.links["/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0"] =
                    "../../../pci0000:00/\(Machine.disk)/nvme/nvme0"
                topology.links["/sys/class/nvme-subsystem/nvme-subsys0"] =
                    "../../devices/virtual/nvme-subsystem/nvme-subsys0"
                topology.files["/proc/self/mountinfo"] = "31 1 259:0 / /data rw - xfs /dev/nvme0n1 rw\n"
            }.contains("/data is mounted from it (nvme0n1)"))
    }

    @Test func aDiskThatSomebodyElseHasClaimed() throws {
        #expect(
            try refusal { topology in
                disk(&topology, "vda", number: "254:0")
                topology.claimed = ["/dev/vda"]
            }.contains("/dev/vda on it is in use"))
    }

    @Test func aSharedFolder() throws {
        let plan = { (tag: String) in
            { (topology: inout Topology) in
                topology.links["/sys/bus/virtio/drivers/9pnet_virtio/virtio0"] =
                    "../../../../devices/pci0000:00/\(Machine.disk)/virtio0"
                topology.files["/sys/devices/pci0000:00/\(Machine.disk)/virtio0/mount_tag"] = tag
                topology.files["/proc/self/mountinfo"] = "1 1 0:18 / / ro - 9p hostroot ro\n"
            }
        }
        #expect(try refusal { plan("hostroot\0")(&$0) }.contains("the root file system is on it (9p hostroot)"))
        #expect(try refusal { plan("other")(&$0) } == "")
    }

    private func network(_ topology: inout Topology, flags: String, below device: String = Machine.disk) {
        topology.links["/sys/class/net/eth0"] = "../../devices/pci0000:00/\(device)/net/eth0"
        topology.files["/sys/devices/pci0000:00/\(device)/net/eth0/flags"] = flags + "\n"
    }

    @Test func aNetworkInterfaceThatIsUp() throws {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        func reason(_ flags: String, _ files: [String: String] = [:]) throws -> String {
            try refusal { topology in
                network(&topology, flags: flags)
                for (path, text) in files { topology.files[path] = text }
            }
        }
        let route = ["/proc/net/route": head + "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n"]
        #expect(try reason("0x1003", route).contains("its network interface eth0 is up and has the default route"))
        let near = ["/proc/net/route": head + "eth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"]
        #expect(try reason("0x1003", near).contains("eth0 is up and has an address; `ip link set eth0 down`"))
        let local = ["/proc/net/if_inet6": "fe80000000000000 02 40 20 80 eth0\n"]
        #expect(try reason("0x1003", local).contains("eth0 is up and has an address"))
        #expect(try reason("0x1003").contains("eth0 is up; "))
        #expect(try reason("0x1002") == "")
    }

    @Test func whatItsVirtualFunctionsDo() throws {
        #expect(
            try refusal(Machine.physical) { network(&$0, flags: "0x1003", below: "0000:04:01.0") }
                .contains("its virtual function 0000:04:01.0: its network interface eth0 is up"))
    }

    @Test func whatAProgramHasOfItsVirtualFunctions() throws {
        let kernel = Machine.machine()
        let group = Int32(kernel.open("/dev/vfio/6", flags: 2))
        let binder = Machine.binder(kernel)
        let physical = [try Machine.address(Machine.physical)]
        let error = #expect(throws: ErrorValue.self) { _ = try binder.bind(physical, owner: .run) }
        #expect(error?.message.contains("its virtual function 0000:04:01.1: a program uses it through VFIO") == true)
        _ = kernel.close(group)
        #expect(binder.restore(try binder.bind(physical, owner: .run)) == [])
    }

    @Test func driversThatCannotBeChanged() throws {
        #expect(
            try refusal { $0.fixedDrivers = ["virtio-pci"] }
                .contains("its driver virtio-pci cannot be unbound; it stays where it is"))
        #expect(
            try refusal { $0.fixedDrivers = ["vfio-pci"] }
                .contains("this kernel has no driver vfio-pci loaded; modprobe vfio-pci"))
    }

    @Test func aBridge() throws {
        #expect(try refusal { $0.devices[0].classCode = 0x060400 }.contains("it is a bridge (class 0x060400)"))
    }

    @Test func othersOfItsGroup() throws {
        let reason = try refusal { topology in
            topology.devices[2].group = 2
            topology.devices[1].group = 2
            topology.devices[1].driver = "pcieport"
        }
        #expect(reason.contains("its IOMMU group 2 has 0000:04:00.0 (ice) too"))
        #expect(!reason.contains("pcieport"))
        let kernel = Machine.machine { $0.devices[2].group = 2 }
        let all = try [Machine.disk, Machine.physical].map(Machine.address)
        let binder = Machine.binder(kernel)
        #expect(binder.restore(try binder.bind(all, owner: .run)) == [])
    }

    @Test func whatIsNotThere() throws {
        let kernel = Machine.machine()
        let missing = try Machine.address("0000:0f:00.0")
        let error = #expect(throws: ErrorValue.self) { _ = try Machine.binder(kernel).bind([missing], owner: .run) }
        #expect(error?.kind == .usage && error?.message.contains("no such PCI function here") == true)
    }
}
