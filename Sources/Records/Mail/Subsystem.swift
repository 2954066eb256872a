public import Kernel

/// The part of the kernel that a call goes to: its file, and the prefix of mails about it.
public struct Subsystem: Sendable, Equatable {
    /// In the kernel's tree.
    public let path: String
    /// "vfio/pci".
    public let prefix: String

    private init(_ path: String, _ prefix: String) {
        self.path = path
        self.prefix = prefix
    }

    /// The one that answers an operation; nil of a call that none of these does (mmap of memory, nanosleep).
    public init?(_ operation: Operation) {
        switch operation.request?.file {
        case .container?: self.init("drivers/vfio/vfio_iommu_type1.c", "vfio/type1")
        case .group?: self.init("drivers/vfio/group.c", "vfio")
        case .device?: self.init("drivers/vfio/pci/vfio_pci_core.c", "vfio/pci")
        case .iommufd?: self.init("drivers/iommu/iommufd/main.c", "iommufd")
        // Our importer's requests do no more than call dma-buf's functions.
        case .dmabuf?, .importer?: self.init("drivers/dma-buf/dma-buf.c", "dma-buf")
        case .udmabuf?: self.init("drivers/dma-buf/udmabuf.c", "udmabuf")
        case .heap?: self.init("drivers/dma-buf/dma-heap.c", "dma-buf/heaps")
        case .other?, nil:
            guard operation.signature.name.hasPrefix("ibv_") else { return nil }
            self.init("drivers/infiniband/core/uverbs_cmd.c", "RDMA/core")
        }
    }

    /// The one of a file in the kernel's tree.
    public init(path: String) {
        let known = [
            ("drivers/vfio/pci/", "vfio/pci"), ("drivers/vfio/vfio_iommu_type1", "vfio/type1"),
            ("drivers/vfio/", "vfio"),
            ("drivers/iommu/iommufd/", "iommufd"), ("drivers/iommu/", "iommu"), ("drivers/dma-buf/", "dma-buf"),
            ("drivers/infiniband/sw/rxe/", "RDMA/rxe"), ("drivers/infiniband/hw/mlx5/", "RDMA/mlx5"),
            ("drivers/infiniband/", "RDMA/core"), ("drivers/net/ethernet/mellanox/mlx5/", "net/mlx5"),
            ("drivers/pci/", "PCI"),
        ]
        self.init(
            path, known.first { path.hasPrefix($0.0) }?.1 ?? path.split(separator: "/").prefix(2).joined(separator: "/")
        )
    }

    /// The files of a kernel's tree that a text names: "drivers/dma-buf/dma-buf-mapping.c". At most eight.
    public static func paths(in text: String) -> [String] {
        let words = text.split { !($0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0))) }
        let folders = ["drivers/", "include/", "kernel/", "mm/", "lib/"]
        let paths = words.filter { word in
            (word.hasSuffix(".c") || word.hasSuffix(".h")) && folders.contains { word.hasPrefix($0) }
                && !word.contains("..") && word.utf8.count <= 120
        }
        return paths.prefix(8).map(String.init)
    }
}
