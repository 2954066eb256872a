import CKernel

// The rows. A C structure gives each field's place and width; what is written here is only name, direction and format.

private typealias Group = vfio_group_status
private typealias DeviceInfo = vfio_device_info
private typealias RegionInfo = vfio_region_info
private typealias IRQInfo = vfio_irq_info
private typealias Bind = vfio_device_bind_iommufd
private typealias Attach = vfio_device_attach_iommufd_pt
private typealias Detach = vfio_device_detach_iommufd_pt
private typealias Type1Info = vfio_iommu_type1_info
private typealias DMAMap = vfio_iommu_type1_dma_map
private typealias DMAUnmap = vfio_iommu_type1_dma_unmap

private func structure<S>(_ type: S.Type, _ fields: [Field]) -> Request.Argument {
    .structure(Layout(size: MemoryLayout<S>.size, fields))
}

private let mapFlags = Format.flags([
    .init(IOMMU_IOAS_MAP_FIXED_IOVA, "FIXED_IOVA"), .init(IOMMU_IOAS_MAP_WRITEABLE, "WRITEABLE"),
    .init(IOMMU_IOAS_MAP_READABLE, "READABLE"),
])
private let dmaFlags = Format.flags([
    .init(VFIO_DMA_MAP_FLAG_READ, "READ"), .init(VFIO_DMA_MAP_FLAG_WRITE, "WRITE"),
])
extension Request {
    /// Flags of open(2), as traces show them.
    static let openFlags = Format.flags([
        .init(0o1, "O_WRONLY"), .init(0o2, "O_RDWR"), .init(0o4000, "O_NONBLOCK"), .init(0o2000000, "O_CLOEXEC"),
    ])
}

extension Request {
    static let vfio: [Request] =
        [
            Request("VFIO_GET_API_VERSION", VFIO_GET_API_VERSION, on: .container, result: .value),
            Request(
                "VFIO_CHECK_EXTENSION", VFIO_CHECK_EXTENSION, on: .container, .value(.decimal), result: .value),
            Request(
                "VFIO_SET_IOMMU", VFIO_SET_IOMMU, on: .container,
                .value(.names([.init(1, "VFIO_TYPE1_IOMMU"), .init(VFIO_TYPE1v2_IOMMU, "VFIO_TYPE1v2_IOMMU")]))),
            Request(
                "VFIO_IOMMU_GET_INFO", VFIO_IOMMU_GET_INFO, on: .container,
                structure(
                    Type1Info.self,
                    [
                        Field("argsz", \Type1Info.argsz, .both, .decimal), Field("flags", \Type1Info.flags, .output),
                        Field("iova_pgsizes", \Type1Info.iova_pgsizes, .output),
                    ])),
            Request(
                "VFIO_IOMMU_MAP_DMA", VFIO_IOMMU_MAP_DMA, on: .container,
                structure(
                    DMAMap.self,
                    [
                        Field("argsz", \DMAMap.argsz, .input, .decimal),
                        Field("flags", \DMAMap.flags, .input, dmaFlags),
                        Field("vaddr", \DMAMap.vaddr, .input, .pointer), Field("iova", \DMAMap.iova),
                        Field("size", \DMAMap.size),
                    ])),
            Request(
                "VFIO_IOMMU_UNMAP_DMA", VFIO_IOMMU_UNMAP_DMA, on: .container,
                structure(
                    DMAUnmap.self,
                    [
                        Field("argsz", \DMAUnmap.argsz, .input, .decimal), Field("flags", \DMAUnmap.flags),
                        Field("iova", \DMAUnmap.iova), Field("size", \DMAUnmap.size, .both),
                    ])),
            Request(
                "VFIO_GROUP_GET_STATUS", VFIO_GROUP_GET_STATUS, on: .group,
                structure(
                    Group.self,
                    [
                        Field("argsz", \Group.argsz, .input, .decimal),
                        Field(
                            "flags", \Group.flags, .output,
                            .flags([
                                .init(VFIO_GROUP_FLAGS_VIABLE, "VIABLE"),
                                .init(VFIO_GROUP_FLAGS_CONTAINER_SET, "CONTAINER_SET"),
                            ])),
                    ])),
            Request(
                "VFIO_GROUP_SET_CONTAINER", VFIO_GROUP_SET_CONTAINER, on: .group,
                .structure(Layout(size: 4, [Field("fd", offset: 0, size: 4, signed: true, .input, .descriptor)]))),
            Request("VFIO_GROUP_UNSET_CONTAINER", VFIO_GROUP_UNSET_CONTAINER, on: .group),
            Request(
                "VFIO_GROUP_GET_DEVICE_FD", VFIO_GROUP_GET_DEVICE_FD, on: .group, .string, result: .descriptor(.device)),
        ] + vfioDevice

    private static let vfioDevice: [Request] = [
        Request(
            "VFIO_DEVICE_GET_INFO", VFIO_DEVICE_GET_INFO, on: .device,
            structure(
                DeviceInfo.self,
                [
                    Field("argsz", \DeviceInfo.argsz, .both, .decimal),
                    Field(
                        "flags", \DeviceInfo.flags, .output,
                        .flags([
                            .init(VFIO_DEVICE_FLAGS_RESET, "RESET"), .init(VFIO_DEVICE_FLAGS_PCI, "PCI"),
                            .init(VFIO_DEVICE_FLAGS_CAPS, "CAPS"),
                        ])),
                    Field("num_regions", \DeviceInfo.num_regions, .output, .decimal),
                    Field("num_irqs", \DeviceInfo.num_irqs, .output, .decimal),
                    Field("cap_offset", \DeviceInfo.cap_offset, .output, .decimal),
                ])),
        Request(
            "VFIO_DEVICE_GET_REGION_INFO", VFIO_DEVICE_GET_REGION_INFO, on: .device,
            structure(
                RegionInfo.self,
                [
                    Field("argsz", \RegionInfo.argsz, .both, .decimal),
                    Field("index", \RegionInfo.index, .input, .decimal),
                    Field(
                        "flags", \RegionInfo.flags, .output,
                        .flags([
                            .init(VFIO_REGION_INFO_FLAG_READ, "READ"), .init(VFIO_REGION_INFO_FLAG_WRITE, "WRITE"),
                            .init(VFIO_REGION_INFO_FLAG_MMAP, "MMAP"), .init(VFIO_REGION_INFO_FLAG_CAPS, "CAPS"),
                        ])),
                    Field("cap_offset", \RegionInfo.cap_offset, .output, .decimal),
                    Field("size", \RegionInfo.size, .output), Field("offset", \RegionInfo.offset, .output),
                ])),
        Request(
            "VFIO_DEVICE_GET_IRQ_INFO", VFIO_DEVICE_GET_IRQ_INFO, on: .device,
            structure(
                IRQInfo.self,
                [
                    Field("argsz", \IRQInfo.argsz, .input, .decimal), Field("index", \IRQInfo.index, .input, .decimal),
                    Field(
                        "flags", \IRQInfo.flags, .output,
                        .flags([
                            .init(VFIO_IRQ_INFO_EVENTFD, "EVENTFD"), .init(VFIO_IRQ_INFO_MASKABLE, "MASKABLE"),
                            .init(VFIO_IRQ_INFO_AUTOMASKED, "AUTOMASKED"), .init(VFIO_IRQ_INFO_NORESIZE, "NORESIZE"),
                        ])),
                    Field("count", \IRQInfo.count, .output, .decimal),
                ])),
        Request("VFIO_DEVICE_RESET", VFIO_DEVICE_RESET, on: .device),
        Request("VFIO_DEVICE_FEATURE", VFIO_DEVICE_FEATURE, on: .device, .feature, result: .feature),
        Request(
            "VFIO_DEVICE_BIND_IOMMUFD", VFIO_DEVICE_BIND_IOMMUFD, on: .device,
            structure(
                Bind.self,
                [
                    Field("argsz", \Bind.argsz, .input, .decimal), Field("flags", \Bind.flags),
                    Field("iommufd", \Bind.iommufd, .input, .descriptor),
                    Field("out_devid", \Bind.out_devid, .output, .decimal),
                ])),
        Request(
            "VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFIO_DEVICE_ATTACH_IOMMUFD_PT, on: .device,
            structure(
                Attach.self,
                [
                    Field("argsz", \Attach.argsz, .input, .decimal), Field("flags", \Attach.flags),
                    Field("pt_id", \Attach.pt_id, .both, .decimal),
                ])),
        Request(
            "VFIO_DEVICE_DETACH_IOMMUFD_PT", VFIO_DEVICE_DETACH_IOMMUFD_PT, on: .device,
            structure(
                Detach.self, [Field("argsz", \Detach.argsz, .input, .decimal), Field("flags", \Detach.flags)])),
    ]

    static let iommufd: [Request] = [
        Request(
            "IOMMU_DESTROY", IOMMU_DESTROY, on: .iommufd,
            structure(
                iommu_destroy.self,
                [
                    Field("size", \iommu_destroy.size, .input, .decimal),
                    Field("id", \iommu_destroy.id, .input, .decimal),
                ])),
        Request(
            "IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC, on: .iommufd,
            structure(
                iommu_ioas_alloc.self,
                [
                    Field("size", \iommu_ioas_alloc.size, .input, .decimal), Field("flags", \iommu_ioas_alloc.flags),
                    Field("out_ioas_id", \iommu_ioas_alloc.out_ioas_id, .output, .decimal),
                ])),
        Request(
            "IOMMU_IOAS_COPY", IOMMU_IOAS_COPY, on: .iommufd,
            structure(
                iommu_ioas_copy.self,
                [
                    Field("size", \iommu_ioas_copy.size, .input, .decimal),
                    Field("flags", \iommu_ioas_copy.flags, .input, mapFlags),
                    Field("dst_ioas_id", \iommu_ioas_copy.dst_ioas_id, .input, .decimal),
                    Field("src_ioas_id", \iommu_ioas_copy.src_ioas_id, .input, .decimal),
                    Field("length", \iommu_ioas_copy.length), Field("dst_iova", \iommu_ioas_copy.dst_iova, .both),
                    Field("src_iova", \iommu_ioas_copy.src_iova),
                ])),
        Request(
            "IOMMU_IOAS_IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES, on: .iommufd,
            structure(
                iommu_ioas_iova_ranges.self,
                [
                    Field("size", \iommu_ioas_iova_ranges.size, .input, .decimal),
                    Field("ioas_id", \iommu_ioas_iova_ranges.ioas_id, .input, .decimal),
                    Field("num_iovas", \iommu_ioas_iova_ranges.num_iovas, .both, .decimal),
                    Field("allowed_iovas", \iommu_ioas_iova_ranges.allowed_iovas, .input, .pointer),
                    Field("out_iova_alignment", \iommu_ioas_iova_ranges.out_iova_alignment, .output),
                ])),
        Request(
            "IOMMU_IOAS_MAP", IOMMU_IOAS_MAP, on: .iommufd,
            structure(
                iommu_ioas_map.self,
                [
                    Field("size", \iommu_ioas_map.size, .input, .decimal),
                    Field("flags", \iommu_ioas_map.flags, .input, mapFlags),
                    Field("ioas_id", \iommu_ioas_map.ioas_id, .input, .decimal),
                    Field("user_va", \iommu_ioas_map.user_va, .input, .pointer),
                    Field("length", \iommu_ioas_map.length), Field("iova", \iommu_ioas_map.iova, .both),
                ])),
        Request(
            "IOMMU_IOAS_MAP_FILE", IOMMU_IOAS_MAP_FILE, on: .iommufd,
            structure(
                iommu_ioas_map_file.self,
                [
                    Field("size", \iommu_ioas_map_file.size, .input, .decimal),
                    Field("flags", \iommu_ioas_map_file.flags, .input, mapFlags),
                    Field("ioas_id", \iommu_ioas_map_file.ioas_id, .input, .decimal),
                    Field("fd", \iommu_ioas_map_file.fd, .input, .descriptor),
                    Field("start", \iommu_ioas_map_file.start), Field("length", \iommu_ioas_map_file.length),
                    Field("iova", \iommu_ioas_map_file.iova, .both),
                ])),
        Request(
            "IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP, on: .iommufd,
            structure(
                iommu_ioas_unmap.self,
                [
                    Field("size", \iommu_ioas_unmap.size, .input, .decimal),
                    Field("ioas_id", \iommu_ioas_unmap.ioas_id, .input, .decimal),
                    Field("iova", \iommu_ioas_unmap.iova), Field("length", \iommu_ioas_unmap.length, .both),
                ])),
    ]

    static let dmabuf: [Request] = [
        Request(
            "DMA_BUF_IOCTL_SYNC", DMA_BUF_IOCTL_SYNC, on: .dmabuf,
            structure(
                dma_buf_sync.self,
                [
                    Field(
                        "flags", \dma_buf_sync.flags, .input,
                        .flags([
                            .init(DMA_BUF_SYNC_READ, "READ"), .init(DMA_BUF_SYNC_WRITE, "WRITE"),
                            .init(DMA_BUF_SYNC_END, "END"),
                        ]))
                ])),
        Request("DMA_BUF_SET_NAME", DMA_BUF_SET_NAME_B, on: .dmabuf, .string),
    ]
}

/// A VFIO_DEVICE_FEATURE number and the layout of its data.
public struct Feature: Sendable {
    /// 0 to 65535.
    public let number: UInt32
    /// The kernel's name without VFIO_DEVICE_FEATURE_.
    public let name: String
    /// The data behind the 8-byte header; nil where we do not decode it.
    public let layout: Layout?

    /// A feature whose number or layout is data rather than a header's (DMA_BUF_TPH).
    public init(_ number: UInt32, _ name: String, _ layout: Layout? = nil) {
        self.number = number
        self.name = name
        self.layout = layout
    }

    /// The features of released kernels that every x86-64 kernel numbers alike (vfio.h). 12 and 13 are left out: series
    /// in flight have used them for other things.
    public static let released: [Feature] = [
        Feature(UInt32(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN), "PCI_VF_TOKEN"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIGRATION), "MIGRATION"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE), "MIG_DEVICE_STATE"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), "LOW_POWER_ENTRY"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP), "LOW_POWER_ENTRY_WITH_WAKEUP"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT), "LOW_POWER_EXIT"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_START), "DMA_LOGGING_START"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP), "DMA_LOGGING_STOP"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT), "DMA_LOGGING_REPORT"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE), "MIG_DATA_SIZE"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_BUS_MASTER), "BUS_MASTER"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_BUF), "DMA_BUF", dmabufLayout),
    ]

    private static let dmabufLayout = Layout(
        size: MemoryLayout<vfio_device_feature_dma_buf>.size,
        [
            Field("region_index", \vfio_device_feature_dma_buf.region_index, .input, .decimal),
            Field("open_flags", \vfio_device_feature_dma_buf.open_flags, .input, Request.openFlags),
            Field("flags", \vfio_device_feature_dma_buf.flags),
            Field("nr_ranges", \vfio_device_feature_dma_buf.nr_ranges, .input, .decimal),
        ],
        trailing: Layout.Trailing(
            countField: "nr_ranges", elementSize: MemoryLayout<vfio_region_dma_range>.size,
            fields: [
                Field("offset", \vfio_region_dma_range.offset), Field("length", \vfio_region_dma_range.length),
            ]))

    /// The operation bits of vfio_device_feature.flags.
    static let operations = Format.flags([
        .init(VFIO_DEVICE_FEATURE_GET, "GET"), .init(VFIO_DEVICE_FEATURE_SET, "SET"),
        .init(VFIO_DEVICE_FEATURE_PROBE, "PROBE"),
    ])
}
