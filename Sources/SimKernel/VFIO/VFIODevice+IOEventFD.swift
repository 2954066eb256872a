import CKernel
import Glibc
import Kernel

/// A write to a BAR that an eventfd stands for (struct vfio_pci_ioeventfd).
struct IOEventFD {
    let bar: Int
    let offset: UInt64
    let value: UInt64
    let size: Int
    let watch: EventWatch
}

/// VFIO_DEVICE_IOEVENTFD. drivers/vfio/pci/vfio_pci_rdwr.c
extension VFIODevice {
    /// vfio_pci.h:VFIO_PCI_IOEVENTFD_MAX
    private static let mostIOEventFDs = 1000

    /// vfio_pci_core.c:vfio_pci_ioctl_ioeventfd, vfio_pci_rdwr.c:vfio_pci_ioeventfd
    func setIOEventFD(_ user: UserMemory) throws(Errno) -> Int {
        let minimum = offsetofend_vfio_device_ioeventfd_fd
        let request = try user.load(vfio_device_ioeventfd.self, count: minimum)
        guard request.argsz >= UInt32(minimum) else { throw Errno(EINVAL) }
        guard request.flags & ~UInt32(VFIO_DEVICE_IOEVENTFD_SIZE_MASK) == 0 else { throw Errno(EINVAL) }
        guard request.flags.nonzeroBitCount == 1 else { throw Errno(EINVAL) }
        guard request.fd >= -1 else { throw Errno(EINVAL) }
        let size = Int(request.flags)
        let (index, offset) = VFIODevice.region(at: request.offset)
        guard let bar = function.bar(index) else { throw Errno(EINVAL) }
        guard offset + UInt64(size) <= bar.size else { throw Errno(EINVAL) }
        if let table = function.config.msixTable, table.bar == index,
            table.bytes.overlaps(offset..<(offset + UInt64(size)))
        {
            throw Errno(EINVAL)
        }
        let known = ioeventfds.firstIndex {
            ($0.bar, $0.offset, $0.value, $0.size) == (index, offset, request.data, size)
        }
        if let known {
            guard request.fd == -1 else { throw Errno(EEXIST) }
            ioeventfds.remove(at: known).watch.end()
            return 0
        }
        guard request.fd >= 0 else { throw Errno(ENODEV) }
        guard ioeventfds.count < VFIODevice.mostIOEventFDs else { throw Errno(ENOSPC) }
        let event = try kernel.event(request.fd)
        let watch = EventWatch(event) { [unowned self] in write(request.data, size, bar, offset) }
        ioeventfds.append(IOEventFD(bar: index, offset: offset, value: request.data, size: size, watch: watch))
        return 0
    }

    // vfio_pci_ioeventfd_handler, vfio_pci_ioeventfd_do_write
    private func write(_ value: UInt64, _ size: Int, _ bar: Topology.BAR, _ offset: UInt64) {
        guard bar.kind == .io || memoryEnabled else { return }
        var value = value.littleEndian
        withUnsafeMutableBytes(of: &value) { bytes in
            do throws(Errno) {
                try access(bar, offset, UnsafeMutableRawBufferPointer(rebasing: bytes[..<size]), write: true)
            } catch {
                _ = kernel.notModelled("BAR memory that could not be allocated", error.code)
            }
        }
    }

    /// vfio_pci_core_disable
    func forgetIOEventFDs() {
        for write in ioeventfds { write.watch.end() }
        ioeventfds = []
    }
}
