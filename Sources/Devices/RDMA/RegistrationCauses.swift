import CKernel
import Glibc
import Kernel

/// What ibv_reg_mr and its kin were asked for, and why that may have been refused. drivers/infiniband/core:
/// include/rdma/ib_verbs.h:ib_check_mr_access, uverbs_std_types_mr.c, umem.c, umem_dmabuf.c
struct Registration {
    /// The dma-buf's descriptor; nil for memory of this process.
    var descriptor: Int32?
    var offset: UInt64 = 0
    var length: UInt64
    var iova: UInt64
    var access: Access
    /// Whether the NIC reaches it by its data direct function.
    var dataDirect = false
    /// What the memory is, where it is a device's: "0000:01:00.0 region 2".
    var region: String?

    /// The hint for a refusal; nil where the table's says as much. `domain` is "pd of mlx5_0".
    func hint(_ errno: Errno, _ domain: String, _ kernel: any Kernel) -> String? {
        switch (errno, descriptor) {
        case (.badAddress, nil): return unpinnable
        case (.invalid, nil): return invalidMemory
        case (.notSupported, nil): return unsupportedMemory
        case (.invalid, let descriptor?): return invalidBuffer(descriptor, kernel)
        case (.notSupported, .some): return unsupportedBuffer(domain, kernel)
        default: return nil
        }
    }

    // MARK: Memory of this process

    private var unpinnable: String {
        if let region {
            return "the memory is a mapped BAR (\(region)), whose pages cannot be pinned: export it, "
                + "dev:export_dmabuf { ... }, and register the dma-buf, pd:reg_dmabuf_mr { ... }"
        }
        return "some of 0x\(String(iova, radix: 16)) to 0x\(String(iova &+ length, radix: 16)) is not mapped"
            + (access.isDisjoint(with: [.localWrite, .remoteWrite, .remoteAtomic]) ? "" : ", or not writable")
            + ", or is a device's: of a BAR a dma-buf is registered, dev:export_dmabuf and pd:reg_dmabuf_mr"
    }

    private var invalidMemory: String {
        var causes = Causes()
        causes.decide(length == 0, "the length is 0", else: "the length is not 0")
        causes.decide(
            iova.addingReportingOverflow(length).overflow, "the range wraps around the end of memory",
            else: "the range does not wrap around")
        addAccess(&causes)
        causes.leave("an access flag that this kernel or NIC does not know")
        causes.leave("more bytes than a region of the NIC may have (max_mr_size of context:query_device())")
        return causes.hint
    }

    private var unsupportedMemory: String {
        access.contains(.onDemand)
            ? "on_demand needs a NIC that handles page faults (mlx5 with ODP; with rxe, kernels that have it): "
                + "register without it"
            : "the NIC's driver does not know an access flag: \(access.scriptNames.joined(separator: ", "))"
    }

    private func addAccess(_ causes: inout Causes) {
        let remote = access.intersection(.remoteChanges).scriptNames
        causes.decide(
            !remote.isEmpty && !access.contains(.localWrite),
            "\(remote.joined(separator: " and ")) needs local_write too", else: "the access flags go together")
    }

    // MARK: dma-bufs

    private func invalidBuffer(_ descriptor: Int32, _ kernel: any Kernel) -> String {
        func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
        var causes = Causes()
        causes.decide(
            (offset ^ iova) & 4095 != 0,
            "offset \(hex(offset)) and iova \(hex(iova)) differ in their lowest 12 bits: iova = "
                + "\(hex(iova & ~4095 | offset & 4095)) agrees", else: "offset and iova agree within the page")
        addAccess(&causes)
        let refused = access.subtracting(.ofBuffers)
        causes.decide(
            !refused.isEmpty,
            "a region of a dma-buf cannot have \(refused.scriptNames.joined(separator: ", "))",
            else: "a dma-buf takes them")
        causes.decide(length == 0, "the length is 0", else: "the length is not 0")
        let size = kernel.lseek(descriptor, 0, Int32(SEEK_END))
        let (end, overflow) = offset.addingReportingOverflow(length)
        if size < 0 {
            causes.leave("the descriptor is no dma-buf's")
        } else {
            causes.decide(
                overflow || end > UInt64(size),
                "offset \(hex(offset)) and length \(hex(length)) reach outside the dma-buf, which has \(hex(UInt64(size))) bytes",
                else: "the range lies inside the dma-buf's \(hex(UInt64(size))) bytes")
        }
        if dataDirect { causes.leave("the NIC has no data direct function") }
        causes.leave(
            "no peer-to-peer route from the NIC to the exporter (their ports' ACS, or a host bridge that the kernel does not "
                + "know to pass such requests; the kernel log says which)")
        return causes.hint
    }

    private func unsupportedBuffer(_ domain: String, _ kernel: any Kernel) -> String {
        if dataDirect, iova & 4095 != 0 {
            return "data_direct takes an iova of whole pages, not 0x\(String(iova, radix: 16))"
        }
        if dataDirect {
            return
                "through data direct the dma-buf is pinned, which VFIO's cannot be (or this kernel or NIC has no data "
                + "direct): register it without data_direct"
        }
        let nic = domain.split(separator: " ").last.map(String.init) ?? domain
        let link = (try? kernel.readlink("/sys/class/infiniband/\(nic)/device/driver"))
        let driver = link.flatMap { $0.split(separator: "/").last }.map(String.init)
        guard let driver else {
            return "\(nic) is a software device, which registers no dma-bufs; mlx5 (with ODP) and irdma take VFIO's "
                + "(--bench lab --lab-nic connectx has an emulated NIC for mlx5)"
        }
        return "\(driver), the driver of \(nic), registers no dma-bufs, or not this exporter's"
            + (!access.contains(.remoteAtomic) ? "" : ", or none with remote_atomic")
            + "; mlx5 (with ODP) and irdma take VFIO's"
    }
}
