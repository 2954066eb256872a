import CKernel
import Glibc
import Kernel
import SimKernel
import TestBench
import Testing

/// Opening by both paths: drivers/vfio/group.c, drivers/vfio/device_cdev.c.
/// The answers: Sources/Documentation.docc/KernelBehaviour/KernelVFIO.md.
@Suite struct GroupTests {
    /// The exporter's group with a sibling function bound to `driver`.
    static func sibling(_ driver: String?) -> Topology {
        var topology = Topology.standard
        topology.devices.append(
            .init(
                address: "0000:01:00.1", vendor: 0x8086, device: 0x5845, classCode: 0x010802, driver: driver, group: 10,
                bars: [.init(0, size: 16384, is64Bit: true)]))
        return topology
    }

    func status(_ bench: Bench, _ group: Int32) -> UInt32 {
        var status = vfio_group_status(argsz: 8, flags: 0)
        #expect(bench.ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0)
        return status.flags
    }

    @Test(arguments: [("nvme", false), (nil, true), ("vfio-pci", true), ("pcieport", true)] as [(String?, Bool)])
    func viability(_ row: (driver: String?, isViable: Bool)) throws {
        let bench = Bench(GroupTests.sibling(row.driver))
        let container = bench.open("/dev/vfio/vfio")
        let group = bench.open("/dev/vfio/10")
        #expect(status(bench, group) == (row.isViable ? 1 : 0))
        var descriptor = container
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == (row.isViable ? 0 : -Int(EPERM)))
        _ = bench.kernel.close(group)
        let device = try bench.cdev(Bench.exporter)
        #expect(bench.bind(device, bench.open("/dev/iommu")) == (row.isViable ? 0 : -Int(EPERM)))
    }

    @Test func containerPathInOrder() throws {
        let bench = Bench()
        let container = bench.open("/dev/vfio/vfio")
        #expect(bench.ioctl(container, VFIO_GET_API_VERSION) == 0)
        #expect(bench.kernel.ioctl(container, UInt(VFIO_CHECK_EXTENSION), .value(3)) == 1)
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(3)) == -Int(EINVAL))
        #expect(bench.ioctl(container, 0x3bff) == -Int(EINVAL))
        let group = bench.open("/dev/vfio/10")
        #expect(bench.open("/dev/vfio/10") == -EBUSY)
        #expect(bench.ioctl(group, 0x3bff) == -Int(ENOTTY))
        #expect(bench.ioctl(group, VFIO_GROUP_UNSET_CONTAINER) == -Int(EINVAL))
        let name = Array(Bench.exporter.utf8) + [0]
        #expect(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: name) == -Int(EINVAL))
        #expect(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: [65, 0]) == -Int(ENODEV))
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER) == -Int(EFAULT))
        for (wrong, expected) in [(Int32(77), EBADF), (group, EBADFD)] {
            var descriptor = wrong
            #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == -Int(expected))
        }
        var descriptor = container
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == 0)
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == -Int(EINVAL))
        #expect(status(bench, group) == 3)
        #expect(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: name) == -Int(EINVAL))
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(9)) == -Int(ENODEV))
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(3)) == 0)
        #expect(bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(3)) == -Int(EINVAL))
        let token = Array("\(Bench.exporter) vf_token=0".utf8) + [0]
        #expect(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: token) == -Int(EINVAL))
        let device = Int32(bench.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytes: name))
        #expect(device >= 0)
        #expect(bench.bind(device, bench.open("/dev/iommu")) == -Int(EINVAL))
        #expect(bench.attach(device, 1) == -Int(ENOTTY))
        #expect(bench.ioctl(group, VFIO_GROUP_UNSET_CONTAINER) == -Int(EBUSY))
        // The device keeps the group open.
        #expect(bench.kernel.close(group) == 0)
        #expect(bench.open("/dev/vfio/10") == -EBUSY)
        #expect(bench.bind(try bench.cdev(Bench.exporter), bench.open("/dev/iommu")) == -Int(EBUSY))
        #expect(bench.kernel.close(device) == 0)
        #expect(bench.open("/dev/vfio/10") >= 0)
    }

    @Test func bindIsCheckedInOrder() throws {
        let bench = Bench()
        let device = try bench.cdev(Bench.exporter)
        let iommufd = bench.open("/dev/iommu")
        var byte: UInt8 = 0
        #expect(bench.ioctl(device, VFIO_DEVICE_GET_INFO) == -Int(EINVAL))
        #expect(
            withUnsafeMutableBytes(of: &byte) { bench.kernel.pread(device, $0, at: 7 << 40) } == -Int(EINVAL))
        #expect(bench.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD) == -Int(EFAULT))
        func bind(_ argsz: UInt32, _ flags: UInt32, _ iommufd: Int32, tail: [UInt8] = []) -> Int {
            let head = Bench.bytes(argsz) + Bench.bytes(flags) + Bench.bytes(iommufd)
            return bench.ioctl(
                device, VFIO_DEVICE_BIND_IOMMUFD, bytes: head + [UInt8](repeating: 0, count: 12) + tail)
        }
        #expect(bind(15, 0, iommufd) == -Int(EINVAL))
        #expect(bind(32, 0, iommufd, tail: [0, 0, 0, 0, 0, 0, 0, 1]) == -Int(E2BIG))
        #expect(bind(.max, 0, iommufd) == -Int(EFAULT))
        #expect(bind(24, 2, iommufd) == -Int(EINVAL))
        #expect(bind(24, 0, -1) == -Int(EINVAL))
        #expect(bind(24, 0, 99) == -Int(EBADF))
        #expect(bind(24, 0, device) == -Int(EBADFD))
        #expect(bind(24, 1, iommufd) == -Int(EFAULT))
        #expect(bind(16, 0, iommufd) == 0)
        #expect(bind(24, 0, iommufd) == -Int(EINVAL))
        #expect(bench.bind(try bench.cdev(Bench.exporter), iommufd) == -Int(EINVAL))
        #expect(bench.open("/dev/vfio/10") == -EBUSY)
        #expect(bench.attach(device, 0xffff_ffff) == -Int(ENOENT))
        #expect(bench.attach(device, 1) == -Int(EINVAL))
        var detach = vfio_device_detach_iommufd_pt(argsz: 12, flags: 0, pasid: 0)
        #expect(bench.ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) == 0)
        #expect(bench.kernel.close(device) == 0)
        #expect(bench.open("/dev/vfio/10") >= 0)
    }

    @Test func informationAndRegions() throws {
        let bench = Bench()
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        var info = vfio_device_info(argsz: 15, flags: 0, num_regions: 0, num_irqs: 0, cap_offset: 0, pad: 0)
        #expect(bench.ioctl(device, VFIO_DEVICE_GET_INFO, &info) == -Int(EINVAL))
        info.argsz = 24
        #expect(bench.ioctl(device, VFIO_DEVICE_GET_INFO, &info) == 0)
        #expect([info.flags, info.num_regions, info.num_irqs] == [3, 9, 5])
        let sizes: [(UInt32, UInt64, UInt32)] = [
            (0, 256, 7), (1, 0, 0), (2, 1 << 20, 7), (3, 0, 0), (6, 0, 0), (7, 4096, 3),
        ]
        for (index, size, flags) in sizes {
            var region = vfio_region_info(argsz: 32, flags: 9, index: index, cap_offset: 1, size: 9, offset: 9)
            #expect(bench.ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region) == 0)
            #expect(region.size == size && region.flags == flags && region.offset == UInt64(index) << 40)
        }
        for index in [8, 9, UInt32.max] {
            var region = vfio_region_info(argsz: 32, flags: 0, index: index, cap_offset: 0, size: 0, offset: 0)
            #expect(bench.ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region) == -Int(EINVAL))
        }
        #expect(bench.ioctl(device, 0x3bff) == -Int(ENOTTY))
        #expect(bench.kernel.notModelled.isEmpty)
        var queue = iommu_fault_alloc(size: 16, flags: 0, out_fault_id: 0, out_fault_fd: 0)
        #expect(bench.ioctl(bench.open("/dev/iommu"), IOMMU_FAULT_QUEUE_ALLOC, &queue) == -Int(EOPNOTSUPP))
        #expect(bench.kernel.notModelled.first?.call == "ioctl IOMMU_FAULT_QUEUE_ALLOC on an iommufd")
    }

    @Test func configurationSpace() throws {
        let bench = Bench()
        let device = try bench.bound(Bench.exporter, to: bench.open("/dev/iommu"))
        #expect(bench.get(device, 7, 0, UInt32.self) == 0x1110_1af4)
        let power = bench.get(device, 7, 0x34, UInt8.self)
        let express = UInt64(bench.get(device, 7, UInt64(power) + 1, UInt8.self))
        #expect(bench.get(device, 7, express, UInt8.self) == 0x10)
        #expect(bench.get(device, 7, express + 0x24, UInt32.self) >> 12 & 3 == 3)
        #expect(bench.get(device, 7, 0x100, UInt16.self) == 0x17)
        // Lost, and reported as done.
        #expect(bench.put(device, 7, 0x108, UInt32(0x102)) == 4)
        #expect(bench.get(device, 7, 0x108, UInt32.self) == 0)
        #expect(bench.put(device, 7, 0xffe, UInt32(0)) == -Int(EFAULT))
        #expect(bench.put(device, 7, 1 << 39, UInt8(0)) == -Int(EFAULT))
        // Sizing a 64-bit prefetchable BAR.
        bench.put(device, 7, 0x18, UInt64.max)
        #expect(bench.get(device, 7, 0x18, UInt64.self) == 0xffff_ffff_fff0_000c)
        #expect(bench.put(device, 0, 256, UInt32(0)) == -Int(EINVAL))
        #expect(bench.put(device, 0, 254, UInt32(0)) == 2)
        #expect(bench.put(device, 9, 0, UInt32(0)) == -Int(EINVAL))
        let config = bench.open("/sys/bus/pci/devices/\(Bench.exporter)/config", O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 5000)
        #expect(bytes.withUnsafeMutableBytes { bench.kernel.pread(config, $0, at: 0) } == 4096)
        #expect(bytes[0..<4] == [0xf4, 0x1a, 0x10, 0x11])
    }

    @Test func fileTree() throws {
        let bench = Bench()
        let kernel = bench.kernel
        let path = "/sys/bus/pci/devices/\(Bench.exporter)"
        #expect(bench.text(path + "/vendor") == "0x1af4\n")
        #expect(try kernel.readlink(path + "/iommu_group") == "../../../kernel/iommu_groups/10")
        #expect(try kernel.readlink(path + "/driver").split(separator: "/").last == "vfio-pci")
        #expect(try kernel.list(path + "/iommu_group/devices") == [Bench.exporter])
        #expect(try kernel.list("/sys/class/infiniband") == ["mlx5_0"])
        #expect(bench.text("/sys/class/infiniband/mlx5_0/device/vendor") == "0x15b3\n")
        #expect(bench.text("/proc/sys/kernel/osrelease") == "7.3.4\n")
        #expect(bench.text(path + "/resource").split(separator: "\n").count == 7)
        #expect(
            errno { () throws(Errno) in _ = try kernel.list("/sys/bus/pci/devices/0000:03:00.0/vfio-dev") } == ENOENT)
        #expect(errno { () throws(Errno) in _ = try kernel.readlink(path + "/vendor") } == EINVAL)
        #expect(bench.open("/dev/vfio/12") == -ENOENT)
        #expect(bench.open(path) == -EISDIR)
        #expect(bench.open(path + "/vendor/x") == -ENOTDIR)
        #expect(bench.open("") == -ENOENT)
        #expect(bench.open("/" + String(repeating: "a/", count: 5000)) == -ENAMETOOLONG)
    }

    /// vfio_iommu_type1.c:vfio_iommu_type1_dirty_pages
    @Test func dirtyPages() throws {
        let bench = Bench()
        let container = bench.open("/dev/vfio/vfio")
        let group = bench.open("/dev/vfio/10")
        var descriptor = container
        #expect(bench.ioctl(group, VFIO_GROUP_SET_CONTAINER, &descriptor) == 0)
        func ask(_ flag: Int, _ more: [UInt64] = []) -> Int {
            let bytes = Bench.bytes(UInt32(8 + 8 * more.count)) + Bench.bytes(UInt32(flag))
            return bench.ioctl(container, VFIO_IOMMU_DIRTY_PAGES, bytes: bytes + more.flatMap { Bench.bytes($0) })
        }
        var words: [UInt64] = [0, 0]
        func dirty(_ iova: UInt64, _ size: UInt64, pgsize: UInt64 = 4096, room: UInt64 = 16) -> Int {
            words.withUnsafeMutableBytes { buffer in
                ask(
                    VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
                    [iova, size, pgsize, room, UInt64(UInt(bitPattern: buffer.baseAddress))])
            }
        }
        #expect(ask(VFIO_IOMMU_DIRTY_PAGES_FLAG_START) == -Int(EINVAL))
        _ = bench.kernel.ioctl(container, UInt(VFIO_SET_IOMMU), .value(UInt(VFIO_TYPE1v2_IOMMU)))
        let host = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 4096)
        defer { host.deallocate() }
        var map = vfio_iommu_type1_dma_map(
            argsz: 32, flags: 3, vaddr: UInt64(UInt(bitPattern: host.baseAddress)), iova: 0x14000, size: 0x2000)
        #expect(bench.ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0)
        #expect(dirty(0x14000, 0x2000) == -Int(EINVAL))
        #expect(ask(0) == -Int(EINVAL))
        #expect(ask(VFIO_IOMMU_DIRTY_PAGES_FLAG_START | VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) == -Int(EINVAL))
        #expect(ask(VFIO_IOMMU_DIRTY_PAGES_FLAG_START) == 0)
        for (iova, size) in [(0x14000, 0x1000), (0x15000, 0x1000), (0x14001, 0x2000), (0x14000, 0)] {
            #expect(dirty(UInt64(iova), UInt64(size)) == -Int(EINVAL))
        }
        #expect(dirty(0x14000, 0x2000, pgsize: 8192) == -Int(EINVAL))
        #expect(dirty(0x14000, 0x2000, room: 7) == -Int(EINVAL))
        #expect(words == [0, 0])
        #expect(dirty(0x14000, 0x2000) == 0)
        #expect(words == [3, 0])
        words = [.max, .max]
        #expect(dirty(0x10000, 0x8000) == 0)
        #expect(words == [.max, .max])
        // What was found there is moved once more.
        words = [0, 0]
        #expect(dirty(0x10000, 0x8000) == 0)
        #expect(words == [.max << 4, 0])
        #expect(dirty(.max << 12, 0x2000) == -Int(EOVERFLOW))
        #expect(ask(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) == 0)
        #expect(dirty(0x14000, 0x2000) == -Int(EINVAL))
    }
}
