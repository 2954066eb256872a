import CKernel

// The rows. Offset and width of a field come from the C structure; a row adds name, direction and format.

private typealias Group = vfio_group_status
private typealias Type1Info = vfio_iommu_type1_info
private typealias DMAMap = vfio_iommu_type1_dma_map
private typealias DMAUnmap = vfio_iommu_type1_dma_unmap
private typealias Dirty = vfio_iommu_type1_dirty_bitmap
private typealias DirtyRange = vfio_iommu_type1_dirty_bitmap_get

/// Layout of a C structure. Only the listed fields are decoded; `trailing` describes arrays after it, `pointed` memory
/// that members point to.
func structure<S>(
    _ type: S.Type, _ fields: [Field], trailing: [Layout.Trailing] = [], pointed: [Layout.Pointed] = []
) -> Request.Argument {
    .structure(Layout("\(S.self)", size: MemoryLayout<S>.size, fields, trailing: trailing, pointed: pointed))
}

private let dmaFlags = Format.flags([
    .init(VFIO_DMA_MAP_FLAG_READ, "READ"), .init(VFIO_DMA_MAP_FLAG_WRITE, "WRITE"),
])
extension Request {
    /// Flags of open(2), for traces.
    static let openFlags = Format.flags([
        .init(0o1, "O_WRONLY"), .init(0o2, "O_RDWR"), .init(0o100, "O_CREAT"), .init(0o200, "O_EXCL"),
        .init(0o1000, "O_TRUNC"), .init(0o200000, "O_DIRECTORY"), .init(0o4000, "O_NONBLOCK"),
        .init(0o2000000, "O_CLOEXEC"),
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
                .value(
                    .names([
                        .init(VFIO_TYPE1_IOMMU, "VFIO_TYPE1_IOMMU"), .init(VFIO_TYPE1v2_IOMMU, "VFIO_TYPE1v2_IOMMU"),
                    ]))),
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
                        Field("vaddr", \DMAMap.vaddr, .input, .pointer), Field("iova", \DMAMap.iova, .input, .iova),
                        Field("size", \DMAMap.size),
                    ])),
            Request(
                "VFIO_IOMMU_UNMAP_DMA", VFIO_IOMMU_UNMAP_DMA, on: .container,
                structure(
                    DMAUnmap.self,
                    [
                        Field("argsz", \DMAUnmap.argsz, .input, .decimal), Field("flags", \DMAUnmap.flags),
                        Field("iova", \DMAUnmap.iova, .input, .iova), Field("size", \DMAUnmap.size, .both),
                    ])),
            Request(
                "VFIO_IOMMU_DIRTY_PAGES", VFIO_IOMMU_DIRTY_PAGES, on: .container, .structure(dirtyPages)),
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

    /// vfio_iommu_type1_dirty_bitmap, and what follows it with GET_BITMAP.
    private static let dirtyPages = {
        let range = MemoryLayout<Dirty>.size
        let bitmap = range + (MemoryLayout<DirtyRange>.offset(of: \.bitmap) ?? 0)
        return Layout(
            "\(Dirty.self)", size: range + MemoryLayout<DirtyRange>.size,
            [
                Field("argsz", \Dirty.argsz, .input, .decimal),
                Field(
                    "flags", \Dirty.flags, .input,
                    .flags([
                        .init(VFIO_IOMMU_DIRTY_PAGES_FLAG_START, "START"),
                        .init(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, "STOP"),
                        .init(VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, "GET_BITMAP"),
                    ])),
                Field("iova", \DirtyRange.iova, .input, .iova, from: range),
                Field("size", \DirtyRange.size, from: range),
                Field("bitmap_pgsize", \vfio_bitmap.pgsize, from: bitmap),
                Field("bitmap_size", \vfio_bitmap.size, .input, .decimal, from: bitmap),
                Field("bitmap_data", \vfio_bitmap.data, .input, .pointer, from: bitmap),
            ],
            pointed: [.init(field: "bitmap_data", countField: "bitmap_size", elementSize: 1, isOutput: true)])
    }()

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
    /// The data after the 8-byte header; nil where it is not decoded.
    public let layout: Layout?
    /// The revision of a posted series, "v2"; nil for a feature of released kernels.
    public let revision: String?

    /// A feature whose number or layout is not fixed by a header (DMA_BUF_TPH).
    public init(_ number: UInt32, _ name: String, _ layout: Layout? = nil, revision: String? = nil) {
        self.number = number
        self.name = name
        self.layout = layout
        self.revision = revision
    }

    /// Features with the same number in every released x86-64 kernel (vfio.h). 12 and 13 are left out: series in
    /// progress have used them differently.
    public static let released: [Feature] = [
        Feature(UInt32(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN), "PCI_VF_TOKEN"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIGRATION), "MIGRATION"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE), "MIG_DEVICE_STATE"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), "LOW_POWER_ENTRY"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP), "LOW_POWER_ENTRY_WITH_WAKEUP"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT), "LOW_POWER_EXIT"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_START), "DMA_LOGGING_START", loggingControl),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP), "DMA_LOGGING_STOP"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT), "DMA_LOGGING_REPORT", loggingReport),
        Feature(UInt32(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE), "MIG_DATA_SIZE"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_BUS_MASTER), "BUS_MASTER"),
        Feature(UInt32(VFIO_DEVICE_FEATURE_DMA_BUF), "DMA_BUF", dmabufLayout),
    ]

    private static let loggingControl = Layout(
        size: MemoryLayout<vfio_device_feature_dma_logging_control>.size,
        [
            Field("page_size", \vfio_device_feature_dma_logging_control.page_size),
            Field("num_ranges", \vfio_device_feature_dma_logging_control.num_ranges, .input, .decimal),
            Field("ranges", \vfio_device_feature_dma_logging_control.ranges, .input, .pointer),
        ], pointed: [.init(field: "ranges", countField: "num_ranges", elementSize: 16)])

    private static let loggingReport = Layout(
        size: MemoryLayout<vfio_device_feature_dma_logging_report>.size,
        [
            Field("iova", \vfio_device_feature_dma_logging_report.iova, .input, .iova),
            Field("length", \vfio_device_feature_dma_logging_report.length),
            Field("page_size", \vfio_device_feature_dma_logging_report.page_size),
            Field("bitmap", \vfio_device_feature_dma_logging_report.bitmap, .input, .pointer),
        ], pointed: [.init(field: "bitmap", elementSize: 8, isOutput: true)])

    private static let dmabufLayout = Layout(
        size: MemoryLayout<vfio_device_feature_dma_buf>.size,
        [
            Field("region_index", \vfio_device_feature_dma_buf.region_index, .input, .decimal),
            Field("open_flags", \vfio_device_feature_dma_buf.open_flags, .input, Request.openFlags),
            Field("flags", \vfio_device_feature_dma_buf.flags),
            Field("nr_ranges", \vfio_device_feature_dma_buf.nr_ranges, .input, .decimal),
        ],
        trailing: [
            Layout.Trailing(
                name: "dma_ranges", countField: "nr_ranges", elementSize: MemoryLayout<vfio_region_dma_range>.size,
                fields: [
                    Field("offset", \vfio_region_dma_range.offset), Field("length", \vfio_region_dma_range.length),
                ])
        ])

    /// The operation bits, the upper half of vfio_device_feature.flags; the lower half is the feature's number.
    static let operations = Format.flags([
        .init(VFIO_DEVICE_FEATURE_GET >> 16, "GET"), .init(VFIO_DEVICE_FEATURE_SET >> 16, "SET"),
        .init(VFIO_DEVICE_FEATURE_PROBE >> 16, "PROBE"),
    ])
}
