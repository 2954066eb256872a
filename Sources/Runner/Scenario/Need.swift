import Bindings
import CKernel
import Devices
import Glibc
import Kernel

/// An ability that a scenario needs, tested by calls on the bench.
public enum Need: String, CaseIterable, Sendable {
    /// A device is bound to a VFIO driver.
    case vfio
    /// The device exports dma-bufs.
    case dmabuf = "vfio.dma_buf"
    /// The kernel has DMA_BUF_TPH, in a revision that was identified with certainty.
    case dmabufTPH = "vfio.dma_buf_tph"
    /// /dev/iommu can be opened.
    case iommufd
    /// /dev/vfio/vfio can be opened.
    case type1
    /// There is an RDMA device.
    case rdma
    /// The NIC registers dma-bufs; where there is an exporting device, that device's.
    case regDmabufMR = "rdma.reg_dmabuf_mr"
    /// The NIC makes DMA handles.
    case dmah = "rdma.dmah"
    /// The importer in the kernel can be opened.
    case importer

    /// What a diagnosis calls it; the words are the same.
    var purpose: Finding.Purpose {
        switch self {
        case .vfio: .vfio
        case .dmabuf: .export
        case .dmabufTPH: .hints
        case .iommufd: .iommufd
        case .type1: .type1
        case .rdma: .rdma
        case .regDmabufMR: .registration
        case .dmah: .handles
        case .importer: .importer
        }
    }

    /// The devices for these tests.
    struct Subjects {
        /// The exporter: the first PCI option without an id, or the machine's first VFIO device.
        var device: PCIAddress?
        /// The NIC.
        var nic: String?
    }

    /// Why the bench lacks the ability; nil where it has it. A device that exists but cannot be opened is a failure,
    /// and thrown.
    func missing(_ subjects: Subjects, _ host: Host) throws(Failure) -> String? {
        let kernel = host.realKernel
        switch self {
        case .vfio: return subjects.device == nil ? Need.noDevice : nil
        case .dmabuf: return try withDevice(subjects, kernel) { device in Need.dmabufMissing(device) }
        case .dmabufTPH:
            return try withDevice(subjects, kernel) { device in
                switch host.tph.resolve(device: device.descriptor, object: device.label, kernel: kernel) {
                case .available: nil
                case .absent(let reason), .refused(let reason): reason
                }
            }
        case .iommufd: return opens("/dev/iommu", kernel)
        case .type1: return opens("/dev/vfio/vfio", kernel)
        case .rdma: return subjects.nic == nil ? Need.noNIC(kernel) : nil
        case .regDmabufMR:
            guard let nic = subjects.nic else { return Need.noNIC(kernel) }
            return regDmabufMRMissing(nic, subjects, kernel)
        case .dmah:
            guard let nic = subjects.nic else { return Need.noNIC(kernel) }
            return Need.dmahMissing(nic, kernel)
        case .importer: return opens(KernelImporter.path, kernel, orElse: KernelImporter.benches)
        }
    }

    /// A handle of a processing hint alone takes no entry of the NIC's table.
    private static func dmahMissing(_ nic: String, _ kernel: any Kernel) -> String? {
        do throws(Failure) {
            var context = try RDMAContext(nic, kernel: kernel)
            let refusal = context.refusalOfHandle()
            try context.close()
            return refusal?.message
        } catch {
            return error.message
        }
    }

    static let noDevice = "no device here is bound to a VFIO driver"

    static func noNIC(_ kernel: any Kernel) -> String {
        do throws(Failure) {
            _ = try RDMADevice.all(kernel: kernel)
            return "this machine has no RDMA device"
        } catch {
            return error.message
        }
    }

    /// Why a file cannot be opened; nil where it can. `advice` is for one that is not there.
    private func opens(_ path: String, _ kernel: any Kernel, orElse advice: String? = nil) -> String? {
        let result = kernel.open(path, flags: 2)
        if let errno = Errno(result: result) {
            return Failure("open", errno, object: path, hint: errno == .noEntry ? advice : nil).message
        }
        _ = kernel.close(Int32(truncatingIfNeeded: result))
        return nil
    }

    private func withDevice(
        _ subjects: Subjects, _ kernel: any Kernel, _ body: (borrowing VFIODevice) -> String?
    ) throws(Failure) -> String? {
        guard let address = subjects.device else { return Need.noDevice }
        let device = try VFIODevice.open(address, via: .present, kernel: kernel)
        return body(device)
    }

    private static func dmabufMissing(_ device: borrowing VFIODevice) -> String? {
        var data: [UInt8] = []
        do throws(Failure) {
            _ = try device.feature(
                UInt32(VFIO_DEVICE_FEATURE_DMA_BUF),
                operation: UInt32(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET), data: &data)
            return nil
        } catch {
            return "no dma-buf export on \(device.label): \(error.message)"
        }
    }

    /// Registers a page of the device: whether a driver accepts a dma-buf depends on its exporter. Before that, and
    /// alone where no device exports, it tries descriptor -1: a driver that has the operation answers EBADF, one that
    /// lacks it EOPNOTSUPP. Other errors, such as a missing route to the device, do not mean that the NIC lacks the
    /// ability.
    private func regDmabufMRMissing(_ nic: String, _ subjects: Subjects, _ kernel: any Kernel) -> String? {
        if let refusal = Need.refusal(of: -1, by: nic, kernel) { return refusal }
        // Where nothing can be exported, the case itself reports that.
        guard let address = subjects.device,
            var device = try? VFIODevice.open(address, via: .present, kernel: kernel),
            let buffer = Need.onePage(&device)
        else { return nil }
        return Need.refusal(of: buffer.descriptor, by: nic, kernel).map { "a dma-buf of \(address): \($0)" }
    }

    /// A dma-buf of the first page that the device exports; nil where it exports none.
    private static func onePage(_ device: inout VFIODevice) -> DMABuf? {
        for index in 0..<UInt32(6) {
            guard let region = try? device.region(index), region.isMappable, region.size >= 4096 else { continue }
            let range = vfio_region_dma_range(offset: 0, length: 4096)
            let flags = UInt32(O_CLOEXEC | O_RDWR)
            guard let buffer = try? device.exportDMABuf(region: index, ranges: [range], openFlags: flags) else {
                continue
            }
            return buffer
        }
        return nil
    }

    private static func refusal(of buffer: Int32, by nic: String, _ kernel: any Kernel) -> String? {
        do throws(Failure) {
            var context = try RDMAContext(nic, kernel: kernel)
            var pd = try context.allocPD()
            let answer = pd.refusal(ofBuffer: buffer)
            try pd.close()
            try context.close()
            let lacks = buffer < 0 ? answer?.errno != .badDescriptor : answer?.errno == .notSupported
            return lacks ? answer?.message : nil
        } catch {
            return error.message
        }
    }
}
