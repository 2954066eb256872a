import CKernel
import Kernel

/// What the kernel's own headers define, as of Linux 7.3, and how a program tells whether an installed one does. Headers older
/// than those of Linux 6.1 are not supported.
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

    /// The lines that include a header. Linux 6.1 had all but iommufd.h.
    static func include(_ header: String) -> [String] {
        let line = "#include <\(header)>"
        return header == "linux/iommufd.h" ? ["#if __has_include(<\(header)>)", line, "#endif"] : [line]
    }

    /// What came to vfio.h after Linux 6.1, besides the features from 9 on.
    private static let newer: Set<String> = [
        "VFIO_DEVICE_BIND_IOMMUFD", "VFIO_DEVICE_BIND_FLAG_TOKEN", "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
        "VFIO_DEVICE_ATTACH_PASID", "VFIO_DEVICE_DETACH_IOMMUFD_PT", "VFIO_DEVICE_DETACH_PASID",
    ]

    /// Whether each supported header has a macro.
    static func isOld(_ macro: String, _ value: UInt64 = 0) -> Bool {
        let isFeature = macro.hasPrefix("VFIO_DEVICE_FEATURE_")
        return !macro.hasPrefix("IOMMU_") && !newer.contains(macro) && !(isFeature && (9..<0x10000).contains(value))
    }

    /// Whether a macro came together with its structure, which older headers do not have with fewer members.
    static func isWhole(_ marker: String) -> Bool { !grown.values.contains(marker) }

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
    /// Members, with their semicolons.
    let members: [String]
    /// The macro that says that a header has the structure; nil where none has.
    let marker: String?

    /// The lines of its definition, for where no header has it.
    var lines: [String] {
        guard let marker, !CHeaders.isWhole(marker) else { return body(name) }
        // An older header has a structure of that name with fewer members.
        return body("newer_\(name)") + ["#define \(name) newer_\(name)"]
    }

    private func body(_ name: String) -> [String] {
        let line = "struct \(name) { \(members.joined(separator: " ")) } __attribute__((packed));"
        guard line.utf8.count > 100 else { return [line] }
        return ["struct \(name) {"] + CText.lines(members, " ").map { "\t" + $0 } + ["} __attribute__((packed));"]
    }
}

extension CExport {
    /// Structures and numbers that the kernel's headers on a machine may be too old to have, and those that are in none.
    var definitions: [String] {
        var lines: [String] = []
        var known: Set<String> = []
        for structure in structures {
            guard let marker = structure.marker, known.insert(marker).inserted,
                !CHeaders.isOld(marker, UInt64(VFIO_DEVICE_FEATURE_DMA_BUF))
            else { continue }
            lines.append("#ifndef \(marker)")
            if let number = numbers.first(where: { $0.name == marker }) {
                lines.append("#define \(marker) \(CText.number(number.value))")
            }
            for one in structures where one.marker == marker { lines += one.lines }
            lines.append("#endif")
        }
        for (name, value, isKernels) in numbers where isKernels && !known.contains(name) {
            guard !CHeaders.isOld(name, value) else { continue }
            lines += ["#ifndef \(name)", "#define \(name) \(CText.number(value))", "#endif"]
        }
        if !lines.isEmpty { lines.insert("/* What the kernel's headers may be too old to have. */", at: 0) }
        for (name, value, isKernels) in numbers where !isKernels {
            lines.append("#define \(name) \(CText.number(value))")
        }
        for structure in structures where structure.marker == nil { lines += structure.lines }
        return lines.isEmpty ? [] : lines + [""]
    }
}
