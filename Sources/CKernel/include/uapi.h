/* The uAPI structures and numbers of VFIO, iommufd, dma-buf and PCI, in our own words: distributions' headers are too old
 * to have them (the DMA_BUF feature is newer than Debian 12). Names, offsets and numbers are the kernel's, so they are
 * facts; layout.c asserts them and scripts/check-uapi compares them with the newest linux-libc-dev.
 *
 * VFIO_DEVICE_FEATURE_DMA_BUF_TPH is absent on purpose: it is in no released kernel, so its number and layout are data
 * (Devices/TPH). Arrays that follow a structure (dma_ranges, capability chains) are not declared: Swift drops
 * flexible members, so whoever needs them lays them out behind the structure. */
#pragma once
#include <stdint.h>

/* One enum for each constant: in a common enum, a constant that does not fit int would change the type of all. */
#define NUMBER(name, value) enum { name = value };
#include "uapi_numbers.def"
#include "uapi_pci.def"
#undef NUMBER

struct vfio_group_status { uint32_t argsz, flags; };
struct vfio_device_info { uint32_t argsz, flags, num_regions, num_irqs, cap_offset, pad; };
struct vfio_region_info { uint32_t argsz, flags, index, cap_offset; uint64_t size, offset; };
/* Capabilities follow the structures of GET_INFO and GET_REGION_INFO, each led by this. */
struct vfio_info_cap_header { uint16_t id, version; uint32_t next; };
struct vfio_irq_info { uint32_t argsz, flags, index, count; };
/* count bytes or descriptors follow, as flags say. */
struct vfio_irq_set { uint32_t argsz, flags, index, start, count; };
/* Of a device opened by its character device, group_id is the id in its iommufd. */
struct vfio_pci_dependent_device { uint32_t group_id; uint16_t segment; uint8_t bus, devfn; };
/* count devices follow. */
struct vfio_pci_hot_reset_info { uint32_t argsz, flags, count; };
/* count descriptors of groups follow. */
struct vfio_pci_hot_reset { uint32_t argsz, flags, count; };
struct vfio_device_ioeventfd { uint32_t argsz, flags; uint64_t offset, data; int32_t fd; uint32_t reserved; };

/* flags: bits 15:0 feature number, 16 GET, 17 SET, 18 PROBE; the feature's data follows. */
struct vfio_device_feature { uint32_t argsz, flags; };
/* GET returns the dma-buf's descriptor; nr_ranges elements of vfio_region_dma_range follow. */
struct vfio_device_feature_dma_buf { uint32_t region_index, open_flags, flags, nr_ranges; };
struct vfio_region_dma_range { uint64_t offset, length; };
/* DMA_LOGGING_START: ranges is the address of num_ranges pairs of 64-bit iova and length. */
struct vfio_device_feature_dma_logging_control { uint64_t page_size; uint32_t num_ranges, __reserved; uint64_t ranges; };
/* DMA_LOGGING_REPORT: the kernel sets bits at the address bitmap, one for each page_size bytes. */
struct vfio_device_feature_dma_logging_report { uint64_t iova, length, page_size, bitmap; };

struct vfio_device_bind_iommufd { uint32_t argsz, flags; int32_t iommufd; uint32_t out_devid; uint64_t token_uuid_ptr; };
struct vfio_device_attach_iommufd_pt { uint32_t argsz, flags, pt_id, pasid; };
struct vfio_device_detach_iommufd_pt { uint32_t argsz, flags, pasid; };

struct vfio_iommu_type1_info { uint32_t argsz, flags; uint64_t iova_pgsizes; uint32_t cap_offset, pad; };
struct vfio_iommu_type1_dma_map { uint32_t argsz, flags; uint64_t vaddr, iova, size; };
struct vfio_iommu_type1_dma_unmap { uint32_t argsz, flags; uint64_t iova, size; };
/* A bit for each pgsize bytes; data is the address of size bytes. */
struct vfio_bitmap { uint64_t pgsize, size, data; };
/* With GET_BITMAP a vfio_iommu_type1_dirty_bitmap_get follows. */
struct vfio_iommu_type1_dirty_bitmap { uint32_t argsz, flags; };
struct vfio_iommu_type1_dirty_bitmap_get { uint64_t iova, size; struct vfio_bitmap bitmap; };

struct iommu_destroy { uint32_t size, id; };
struct iommu_ioas_alloc { uint32_t size, flags, out_ioas_id; };
struct iommu_ioas_copy { uint32_t size, flags, dst_ioas_id, src_ioas_id; uint64_t length, dst_iova, src_iova; };
struct iommu_iova_range { uint64_t start, last; };
struct iommu_ioas_iova_ranges {
    uint32_t size, ioas_id, num_iovas, reserved;
    uint64_t allowed_iovas, out_iova_alignment;
};
struct iommu_ioas_allow_iovas { uint32_t size, ioas_id, num_iovas, reserved; uint64_t allowed_iovas; };
struct iommu_ioas_map { uint32_t size, flags, ioas_id, reserved; uint64_t user_va, length, iova; };
struct iommu_ioas_map_file { uint32_t size, flags, ioas_id; int32_t fd; uint64_t start, length, iova; };
struct iommu_ioas_unmap { uint32_t size, ioas_id; uint64_t iova, length; };
struct iommu_ioas_change_process { uint32_t size, reserved; };
struct iommu_ioas_noiommu_get_pa { uint32_t size, flags, ioas_id, reserved; uint64_t iova, length, out_phys; };
struct iommu_option { uint32_t size, option_id; uint16_t op, reserved; uint32_t object_id; uint64_t val64; };
struct iommu_vfio_ioas { uint32_t size, ioas_id; uint16_t op, reserved; };

struct iommu_hwpt_alloc {
    uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
    uint64_t data_uptr;
    uint32_t fault_id, reserved2;
};
struct iommu_hw_info_vtd { uint32_t flags, reserved; uint64_t cap_reg, ecap_reg; };
struct iommu_hw_info {
    uint32_t size, flags, dev_id, data_len;
    uint64_t data_uptr;
    uint32_t out_data_type; /* in_data_type on the way in */
    uint8_t out_max_pasid_log2, reserved[3];
    uint64_t out_capabilities;
};
struct iommu_hwpt_set_dirty_tracking { uint32_t size, flags, hwpt_id, reserved; };
struct iommu_hwpt_get_dirty_bitmap {
    uint32_t size, hwpt_id, flags, reserved;
    uint64_t iova, length, page_size, data;
};
struct iommu_hwpt_invalidate {
    uint32_t size, hwpt_id;
    uint64_t data_uptr;
    uint32_t data_type, entry_len, entry_num, reserved;
};
struct iommu_fault_alloc { uint32_t size, flags, out_fault_id, out_fault_fd; };
struct iommu_viommu_alloc {
    uint32_t size, flags, type, dev_id, hwpt_id, out_viommu_id, data_len, reserved;
    uint64_t data_uptr;
};
struct iommu_vdevice_alloc { uint32_t size, viommu_id, dev_id, out_vdevice_id; uint64_t virt_id; };
struct iommu_veventq_alloc {
    uint32_t size, flags, viommu_id, type, veventq_depth, out_veventq_id, out_veventq_fd, reserved;
};
struct iommu_hw_queue_alloc {
    uint32_t size, flags, viommu_id, type, index, out_hw_queue_id;
    uint64_t nesting_parent_iova, length;
};

struct dma_buf_sync { uint64_t flags; };
struct dma_buf_export_sync_file { uint32_t flags; int32_t fd; };
struct dma_buf_import_sync_file { uint32_t flags; int32_t fd; };
struct udmabuf_create { uint32_t memfd, flags; uint64_t offset, size; };
/* count items follow. */
struct udmabuf_create_list { uint32_t flags, count; };
struct udmabuf_create_item { uint32_t memfd, pad; uint64_t offset, size; };
struct dma_heap_allocation_data { uint64_t len; uint32_t fd, fd_flags; uint64_t heap_flags; };

/* Bytes of a structure up to and including a field, as include/linux/stddef.h:offsetofend counts them: the least argsz that
 * a request takes. offsetofend_vfio_device_info_num_irqs is 16. */
enum {
#define STRUCT(name, size)
#define FIELD(name, field, offset) offsetofend_##name##_##field = offset + sizeof(((struct name *)0)->field),
#include "uapi_layout.def"
#undef STRUCT
#undef FIELD
};
