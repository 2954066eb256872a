import CKernel
import Kernel

/// What the kernel's own headers define, as of Linux 7.3, and how a program tells whether an installed one does.
enum CHeaders {
    /// The header with the requests of a kind of file; nil for what is not the kernel's own.
    static func header(_ file: FileKind) -> String? {
        switch file {
        case .container, .group, .device: "linux/vfio.h"
        case .iommufd: "linux/iommufd.h"
        case .dmabuf: "linux/dma-buf.h"
        case .udmabuf: "linux/udmabuf.h"
        case .heap: "linux/dma-heap.h"
        case .importer, .other: nil
        }
    }

    /// The lines that include a header. Linux had vfio.h and dma-buf.h long before the others.
    static func include(_ header: String) -> [String] {
        let line = "#include <\(header)>"
        return ["linux/vfio.h", "linux/dma-buf.h"].contains(header)
            ? [line] : ["#if __has_include(<\(header)>)", line, "#endif"]
    }

    /// Structures that have grown, with a macro that the header got together with the members that are used here.
    private static let grown = [
        "vfio_device_info": "VFIO_DEVICE_FLAGS_CAPS", "vfio_region_info": "VFIO_REGION_INFO_FLAG_CAPS",
        "vfio_iommu_type1_info": "VFIO_IOMMU_INFO_CAPS", "vfio_device_bind_iommufd": "VFIO_DEVICE_BIND_FLAG_TOKEN",
        "vfio_device_attach_iommufd_pt": "VFIO_DEVICE_ATTACH_PASID",
        "vfio_device_detach_iommufd_pt": "VFIO_DEVICE_DETACH_PASID", "iommu_hwpt_alloc": "IOMMU_FAULT_QUEUE_ALLOC",
    ]

    /// Structures whose members are called otherwise here than in the header, or belong to two of its structures.
    private static let otherwise: Set<String> = ["vfio_iommu_type1_dirty_bitmap", "iommu_hw_info", ""]

    /// The macro by which a program knows that its header has a request's structure with all members; nil where it never has.
    static func marker(_ layout: Layout, _ request: Request) -> String? {
        guard header(request.file) != nil, !otherwise.contains(layout.name) else { return nil }
        return grown[layout.name] ?? request.name
    }
}

/// A structure that the program defines where its headers do not.
struct CDefinition {
    let name: String
    /// Members, one a line.
    let members: [String]
    /// The macro that says that a header has the structure; nil where none has.
    let marker: String?

    var text: String {
        guard let marker else { return body(name) }
        // An older header may have a structure of that name with fewer members.
        return "#ifndef \(marker)\n\(body("newer_\(name)"))\n#define \(name) newer_\(name)\n#endif"
    }

    private func body(_ name: String) -> String {
        (["struct \(name) {"] + members.map { "\t" + $0 } + ["} __attribute__((packed));"]).joined(separator: "\n")
    }
}
