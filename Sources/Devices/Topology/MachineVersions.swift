public import Kernel

extension MachineTopology {
    /// Options of the kernel's build that decide what peer-to-peer access can do.
    private static let options = [
        "PCI_P2PDMA", "PCIE_TPH", "VFIO_PCI", "VFIO_PCI_DMABUF", "VFIO_DEVICE_CDEV", "VFIO_GROUP", "IOMMUFD",
        "IOMMUFD_VFIO_CONTAINER", "INTEL_IOMMU", "AMD_IOMMU", "IOMMU_DEFAULT_PASSTHROUGH", "DMA_SHARED_BUFFER",
        "DMABUF_MOVE_NOTIFY", "UDMABUF", "DMABUF_HEAPS_SYSTEM", "INFINIBAND", "INFINIBAND_ON_DEMAND_PAGING",
        "INFINIBAND_USER_ACCESS", "MLX5_INFINIBAND", "RDMA_RXE",
    ]

    /// What software runs the devices: the kernel's options ("kernel config"), where a file has them; drivers that are modules with a version ("driver"); firmware of RDMA devices ("firmware").
    public static func versions(kernel: any Kernel) -> [Line] {
        config(kernel) + drivers(kernel) + firmware(kernel)
    }

    private static func config(_ kernel: any Kernel) -> [Line] {
        guard let config = KernelConfig(kernel) else { return [] }
        var line = Line("kernel config")
        for option in options { line.add(option, config[option]) }
        return [line]
    }

    private static func drivers(_ kernel: any Kernel) -> [Line] {
        let names = [
            "mlx5_core", "mlx5_ib", "vfio_pci", "vfio_pci_core", "irdma", "bnxt_re", "efa", "ionic", "rdma_rxe",
        ]
        return names.compactMap { name in
            var line = Line("driver")
            line.add("module", name)
            var isKnown = false
            for attribute in ["version", "srcversion"] {
                guard let value = try? kernel.attribute("/sys/module/\(name)/\(attribute)") else { continue }
                line.add(attribute, value)
                isKnown = true
            }
            return isKnown ? line : nil
        }
    }

    private static func firmware(_ kernel: any Kernel) -> [Line] {
        ((try? kernel.list("/sys/class/infiniband")) ?? []).sorted().compactMap { name in
            let path = "/sys/class/infiniband/\(name)"
            guard let version = try? kernel.attribute("\(path)/fw_ver"), !version.isEmpty else { return nil }
            var line = Line("firmware")
            line.add("rdma", name)
            line.add("version", version)
            if let board = try? kernel.attribute("\(path)/board_id") { line.add("board", board) }
            return line
        }
    }
}
