import CKernel
public import Kernel

extension Operation {
    /// What the call does, and how it ended, as a sentence: "Exports ranges of a BAR as a dma-buf."
    public var sentence: String {
        let end = errno.map { ": \($0.name), \($0.message.lowercased())" } ?? ""
        return about.prefix(1).uppercased() + about.dropFirst() + end + "."
    }

    private var about: String {
        if let request { return feature ?? request.about }
        if case .text(let path)? = arguments.first, signature.name == "open" { return "opens \(path)" }
        return Operation.sentences[signature.name] ?? "calls \(signature.name)"
    }

    /// Of VFIO_DEVICE_FEATURE: which feature, and what is done with it.
    private var feature: String? {
        guard request?.name == "VFIO_DEVICE_FEATURE", case .structure(let members)? = arguments.last else { return nil }
        func value(_ name: String) -> (number: UInt64, text: String)? {
            guard case .number(let number, let format)? = members.first(where: { $0.name == name })?.value else {
                return nil
            }
            return (number, format.text(number))
        }
        guard let number = value("feature"), let bits = value("operation") else { return nil }
        let isGet = bits.number == UInt64(VFIO_DEVICE_FEATURE_GET >> 16)
        if number.number == UInt64(VFIO_DEVICE_FEATURE_DMA_BUF), isGet { return "exports ranges of a BAR as a dma-buf" }
        return
            "asks the device's feature \(number.text) to \(bits.text.split(separator: "|").joined(separator: " and "))"
    }

    private static let sentences = [
        "close": "closes a descriptor", "mmap": "maps memory", "munmap": "unmaps memory", "read": "reads",
        "pread": "reads from the device", "write": "writes", "pwrite": "writes to the device",
        "load": "reads mapped memory", "store": "writes mapped memory", "lseek": "asks for a length",
        "memfd_create": "makes a file of memory", "ftruncate": "sets the length of a file",
        "eventfd": "makes an eventfd",
        "poll": "asks whether a descriptor is ready", "nanosleep": "waits", "fcntl": "asks about a descriptor",
        "ibv_get_device_list": "lists the RDMA devices", "ibv_open_device": "opens an RDMA device",
        "ibv_close_device": "closes the RDMA device", "ibv_alloc_pd": "makes a protection domain",
        "ibv_dealloc_pd": "frees the protection domain", "ibv_reg_mr": "registers memory with the NIC",
        "ibv_reg_dmabuf_mr": "registers a dma-buf with the NIC", "ibv_dereg_mr": "deregisters a region",
        "ibv_create_cq": "makes a completion queue", "ibv_create_qp": "makes a queue pair",
        "ibv_modify_qp": "changes the state of a queue pair", "ibv_destroy_qp": "destroys a queue pair",
        "ibv_post_send": "posts work to a queue pair", "ibv_post_recv": "posts a receive request",
        "ibv_poll_cq": "takes completions", "ibv_alloc_mw": "makes a memory window",
        "ibv_query_device": "asks what the RDMA device can do", "ibv_query_port": "asks for the state of a port",
    ]
}
