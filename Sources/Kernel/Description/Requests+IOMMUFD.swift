import CKernel

private let mapFlags = Format.flags([
    .init(IOMMU_IOAS_MAP_FIXED_IOVA, "FIXED_IOVA"), .init(IOMMU_IOAS_MAP_WRITEABLE, "WRITEABLE"),
    .init(IOMMU_IOAS_MAP_READABLE, "READABLE"),
])

/// Requests on an iommufd.
extension Request {
    static let iommufd = spaces + tables

    private static let spaces: [Request] = [
        Request(
            "IOMMU_DESTROY", IOMMU_DESTROY, on: .iommufd,
            structure(
                iommu_destroy.self,
                [
                    Field("size", \iommu_destroy.size, .input, .decimal),
                    Field("id", \iommu_destroy.id, .input, .identity),
                ])),
        Request(
            "IOMMU_IOAS_ALLOC", IOMMU_IOAS_ALLOC, on: .iommufd,
            structure(
                iommu_ioas_alloc.self,
                [
                    Field("size", \iommu_ioas_alloc.size, .input, .decimal), Field("flags", \iommu_ioas_alloc.flags),
                    Field("out_ioas_id", \iommu_ioas_alloc.out_ioas_id, .output, .identity),
                ])),
        Request(
            "IOMMU_IOAS_COPY", IOMMU_IOAS_COPY, on: .iommufd,
            structure(
                iommu_ioas_copy.self,
                [
                    Field("size", \iommu_ioas_copy.size, .input, .decimal),
                    Field("flags", \iommu_ioas_copy.flags, .input, mapFlags),
                    Field("dst_ioas_id", \iommu_ioas_copy.dst_ioas_id, .input, .identity),
                    Field("src_ioas_id", \iommu_ioas_copy.src_ioas_id, .input, .identity),
                    Field("length", \iommu_ioas_copy.length),
                    Field("dst_iova", \iommu_ioas_copy.dst_iova, .both, .iova),
                    Field("src_iova", \iommu_ioas_copy.src_iova, .input, .iova),
                ])),
        Request(
            "IOMMU_IOAS_IOVA_RANGES", IOMMU_IOAS_IOVA_RANGES, on: .iommufd,
            structure(
                iommu_ioas_iova_ranges.self,
                [
                    Field("size", \iommu_ioas_iova_ranges.size, .input, .decimal),
                    Field("ioas_id", \iommu_ioas_iova_ranges.ioas_id, .input, .identity),
                    Field("num_iovas", \iommu_ioas_iova_ranges.num_iovas, .both, .decimal),
                    Field("allowed_iovas", \iommu_ioas_iova_ranges.allowed_iovas, .input, .pointer),
                    Field("out_iova_alignment", \iommu_ioas_iova_ranges.out_iova_alignment, .output),
                ],
                pointed: [
                    .init(
                        field: "allowed_iovas", countField: "num_iovas",
                        elementSize: MemoryLayout<iommu_iova_range>.size, isOutput: true)
                ])),
        Request(
            "IOMMU_IOAS_MAP", IOMMU_IOAS_MAP, on: .iommufd,
            structure(
                iommu_ioas_map.self,
                [
                    Field("size", \iommu_ioas_map.size, .input, .decimal),
                    Field("flags", \iommu_ioas_map.flags, .input, mapFlags),
                    Field("ioas_id", \iommu_ioas_map.ioas_id, .input, .identity),
                    Field("user_va", \iommu_ioas_map.user_va, .input, .pointer),
                    Field("length", \iommu_ioas_map.length), Field("iova", \iommu_ioas_map.iova, .both, .iova),
                ])),
        Request(
            "IOMMU_IOAS_MAP_FILE", IOMMU_IOAS_MAP_FILE, on: .iommufd,
            structure(
                iommu_ioas_map_file.self,
                [
                    Field("size", \iommu_ioas_map_file.size, .input, .decimal),
                    Field("flags", \iommu_ioas_map_file.flags, .input, mapFlags),
                    Field("ioas_id", \iommu_ioas_map_file.ioas_id, .input, .identity),
                    Field("fd", \iommu_ioas_map_file.fd, .input, .descriptor),
                    Field("start", \iommu_ioas_map_file.start), Field("length", \iommu_ioas_map_file.length),
                    Field("iova", \iommu_ioas_map_file.iova, .both, .iova),
                ])),
        Request(
            "IOMMU_IOAS_UNMAP", IOMMU_IOAS_UNMAP, on: .iommufd,
            structure(
                iommu_ioas_unmap.self,
                [
                    Field("size", \iommu_ioas_unmap.size, .input, .decimal),
                    Field("ioas_id", \iommu_ioas_unmap.ioas_id, .input, .identity),
                    Field("iova", \iommu_ioas_unmap.iova, .input, .iova),
                    Field("length", \iommu_ioas_unmap.length, .both),
                ])),
        Request(
            "IOMMU_IOAS_ALLOW_IOVAS", IOMMU_IOAS_ALLOW_IOVAS, on: .iommufd,
            structure(
                iommu_ioas_allow_iovas.self,
                [
                    Field("size", \iommu_ioas_allow_iovas.size, .input, .decimal),
                    Field("ioas_id", \iommu_ioas_allow_iovas.ioas_id, .input, .identity),
                    Field("num_iovas", \iommu_ioas_allow_iovas.num_iovas, .input, .decimal),
                    Field("allowed_iovas", \iommu_ioas_allow_iovas.allowed_iovas, .input, .pointer),
                ],
                pointed: [
                    .init(
                        field: "allowed_iovas", countField: "num_iovas",
                        elementSize: MemoryLayout<iommu_iova_range>.size)
                ])),
        Request(
            "IOMMU_IOAS_CHANGE_PROCESS", IOMMU_IOAS_CHANGE_PROCESS, on: .iommufd,
            structure(
                iommu_ioas_change_process.self, [Field("size", \iommu_ioas_change_process.size, .input, .decimal)])),
        Request(
            "IOMMU_IOAS_NOIOMMU_GET_PA", IOMMU_IOAS_NOIOMMU_GET_PA, on: .iommufd,
            structure(
                iommu_ioas_noiommu_get_pa.self,
                [
                    Field("size", \iommu_ioas_noiommu_get_pa.size, .input, .decimal),
                    Field("flags", \iommu_ioas_noiommu_get_pa.flags),
                    Field("ioas_id", \iommu_ioas_noiommu_get_pa.ioas_id, .input, .identity),
                    Field("iova", \iommu_ioas_noiommu_get_pa.iova, .input, .iova),
                    Field("length", \iommu_ioas_noiommu_get_pa.length, .both),
                    Field("out_phys", \iommu_ioas_noiommu_get_pa.out_phys, .output),
                ])),
        Request(
            "IOMMU_OPTION", IOMMU_OPTION, on: .iommufd,
            structure(
                iommu_option.self,
                [
                    Field("size", \iommu_option.size, .input, .decimal),
                    Field(
                        "option_id", \iommu_option.option_id, .input,
                        .names([
                            .init(IOMMU_OPTION_RLIMIT_MODE, "RLIMIT_MODE"),
                            .init(IOMMU_OPTION_HUGE_PAGES, "HUGE_PAGES"),
                        ])),
                    Field(
                        "op", \iommu_option.op, .input,
                        .names([.init(IOMMU_OPTION_OP_SET, "SET"), .init(IOMMU_OPTION_OP_GET, "GET")])),
                    Field("object_id", \iommu_option.object_id, .input, .identity),
                    Field("val64", \iommu_option.val64, .both),
                ])),
        Request(
            "IOMMU_VFIO_IOAS", IOMMU_VFIO_IOAS, on: .iommufd,
            structure(
                iommu_vfio_ioas.self,
                [
                    Field("size", \iommu_vfio_ioas.size, .input, .decimal),
                    Field("ioas_id", \iommu_vfio_ioas.ioas_id, .both, .identity),
                    Field(
                        "op", \iommu_vfio_ioas.op, .input,
                        .names([
                            .init(IOMMU_VFIO_IOAS_GET, "GET"), .init(IOMMU_VFIO_IOAS_SET, "SET"),
                            .init(IOMMU_VFIO_IOAS_CLEAR, "CLEAR"),
                        ])),
                ])),
    ]

    /// Page tables, and objects that only IOMMUs with nested translation have.
    private static let tables: [Request] = [
        Request(
            "IOMMU_HWPT_ALLOC", IOMMU_HWPT_ALLOC, on: .iommufd,
            structure(
                iommu_hwpt_alloc.self,
                [
                    Field("size", \iommu_hwpt_alloc.size, .input, .decimal),
                    Field(
                        "flags", \iommu_hwpt_alloc.flags, .input,
                        .flags([
                            .init(IOMMU_HWPT_ALLOC_NEST_PARENT, "NEST_PARENT"),
                            .init(IOMMU_HWPT_ALLOC_DIRTY_TRACKING, "DIRTY_TRACKING"),
                            .init(IOMMU_HWPT_FAULT_ID_VALID, "FAULT_ID_VALID"),
                            .init(IOMMU_HWPT_ALLOC_PASID, "PASID"),
                        ])),
                    Field("dev_id", \iommu_hwpt_alloc.dev_id, .input, .identity),
                    Field("pt_id", \iommu_hwpt_alloc.pt_id, .input, .identity),
                    Field("out_hwpt_id", \iommu_hwpt_alloc.out_hwpt_id, .output, .identity),
                    Field("data_type", \iommu_hwpt_alloc.data_type, .input, .decimal),
                    Field("data_len", \iommu_hwpt_alloc.data_len, .input, .decimal),
                    Field("data_uptr", \iommu_hwpt_alloc.data_uptr, .input, .pointer),
                    Field("fault_id", \iommu_hwpt_alloc.fault_id, .input, .identity),
                ],
                pointed: [.init(field: "data_uptr", countField: "data_len", elementSize: 1)])),
        Request(
            "IOMMU_GET_HW_INFO", IOMMU_GET_HW_INFO, on: .iommufd,
            structure(
                iommu_hw_info.self,
                [
                    Field("size", \iommu_hw_info.size, .input, .decimal), Field("flags", \iommu_hw_info.flags),
                    Field("dev_id", \iommu_hw_info.dev_id, .input, .identity),
                    Field("data_len", \iommu_hw_info.data_len, .both, .decimal),
                    Field("data_uptr", \iommu_hw_info.data_uptr, .input, .pointer),
                    Field("data_type", \iommu_hw_info.out_data_type, .both, .decimal),
                    Field("out_max_pasid_log2", \iommu_hw_info.out_max_pasid_log2, .output, .decimal),
                    Field("out_capabilities", \iommu_hw_info.out_capabilities, .output),
                ],
                pointed: [
                    .init(field: "data_uptr", countField: "data_len", elementSize: 1, isOutput: true)
                ])),
        Request(
            "IOMMU_HWPT_SET_DIRTY_TRACKING", IOMMU_HWPT_SET_DIRTY_TRACKING, on: .iommufd,
            structure(
                iommu_hwpt_set_dirty_tracking.self,
                [
                    Field("size", \iommu_hwpt_set_dirty_tracking.size, .input, .decimal),
                    Field("flags", \iommu_hwpt_set_dirty_tracking.flags),
                    Field("hwpt_id", \iommu_hwpt_set_dirty_tracking.hwpt_id, .input, .identity),
                ])),
        Request(
            "IOMMU_HWPT_GET_DIRTY_BITMAP", IOMMU_HWPT_GET_DIRTY_BITMAP, on: .iommufd,
            structure(
                iommu_hwpt_get_dirty_bitmap.self,
                [
                    Field("size", \iommu_hwpt_get_dirty_bitmap.size, .input, .decimal),
                    Field("hwpt_id", \iommu_hwpt_get_dirty_bitmap.hwpt_id, .input, .identity),
                    Field("flags", \iommu_hwpt_get_dirty_bitmap.flags),
                    Field("iova", \iommu_hwpt_get_dirty_bitmap.iova, .input, .iova),
                    Field("length", \iommu_hwpt_get_dirty_bitmap.length),
                    Field("page_size", \iommu_hwpt_get_dirty_bitmap.page_size),
                    Field("data", \iommu_hwpt_get_dirty_bitmap.data, .input, .pointer),
                ])),
        Request(
            "IOMMU_HWPT_INVALIDATE", IOMMU_HWPT_INVALIDATE, on: .iommufd,
            structure(
                iommu_hwpt_invalidate.self,
                [
                    Field("size", \iommu_hwpt_invalidate.size, .input, .decimal),
                    Field("hwpt_id", \iommu_hwpt_invalidate.hwpt_id, .input, .identity),
                    Field("data_uptr", \iommu_hwpt_invalidate.data_uptr, .input, .pointer),
                    Field("data_type", \iommu_hwpt_invalidate.data_type, .input, .decimal),
                    Field("entry_len", \iommu_hwpt_invalidate.entry_len, .input, .decimal),
                    Field("entry_num", \iommu_hwpt_invalidate.entry_num, .both, .decimal),
                ])),
        Request(
            "IOMMU_FAULT_QUEUE_ALLOC", IOMMU_FAULT_QUEUE_ALLOC, on: .iommufd,
            structure(
                iommu_fault_alloc.self,
                [
                    Field("size", \iommu_fault_alloc.size, .input, .decimal), Field("flags", \iommu_fault_alloc.flags),
                    Field("out_fault_id", \iommu_fault_alloc.out_fault_id, .output, .identity),
                    Field("out_fault_fd", \iommu_fault_alloc.out_fault_fd, .output, .descriptor),
                ])),
        Request(
            "IOMMU_VIOMMU_ALLOC", IOMMU_VIOMMU_ALLOC, on: .iommufd,
            structure(
                iommu_viommu_alloc.self,
                [
                    Field("size", \iommu_viommu_alloc.size, .input, .decimal),
                    Field("flags", \iommu_viommu_alloc.flags),
                    Field("type", \iommu_viommu_alloc.type, .input, .decimal),
                    Field("dev_id", \iommu_viommu_alloc.dev_id, .input, .identity),
                    Field("hwpt_id", \iommu_viommu_alloc.hwpt_id, .input, .identity),
                ])),
        Request(
            "IOMMU_VDEVICE_ALLOC", IOMMU_VDEVICE_ALLOC, on: .iommufd,
            structure(
                iommu_vdevice_alloc.self,
                [
                    Field("size", \iommu_vdevice_alloc.size, .input, .decimal),
                    Field("viommu_id", \iommu_vdevice_alloc.viommu_id, .input, .identity),
                    Field("dev_id", \iommu_vdevice_alloc.dev_id, .input, .identity),
                    Field("virt_id", \iommu_vdevice_alloc.virt_id),
                ])),
        Request(
            "IOMMU_VEVENTQ_ALLOC", IOMMU_VEVENTQ_ALLOC, on: .iommufd,
            structure(
                iommu_veventq_alloc.self,
                [
                    Field("size", \iommu_veventq_alloc.size, .input, .decimal),
                    Field("flags", \iommu_veventq_alloc.flags),
                    Field("viommu_id", \iommu_veventq_alloc.viommu_id, .input, .identity),
                    Field("type", \iommu_veventq_alloc.type, .input, .decimal),
                    Field("veventq_depth", \iommu_veventq_alloc.veventq_depth, .input, .decimal),
                ])),
        Request(
            "IOMMU_HW_QUEUE_ALLOC", IOMMU_HW_QUEUE_ALLOC, on: .iommufd,
            structure(
                iommu_hw_queue_alloc.self,
                [
                    Field("size", \iommu_hw_queue_alloc.size, .input, .decimal),
                    Field("flags", \iommu_hw_queue_alloc.flags),
                    Field("viommu_id", \iommu_hw_queue_alloc.viommu_id, .input, .identity),
                    Field("type", \iommu_hw_queue_alloc.type, .input, .decimal),
                    Field("nesting_parent_iova", \iommu_hw_queue_alloc.nesting_parent_iova),
                    Field("length", \iommu_hw_queue_alloc.length),
                ])),
    ]
}
