import CKernel
import Devices
import LuaKit

let functionRecord = ResultRecord<PCIFunction>(
    "vfio.function", "A PCI function that a VFIO driver has.",
    [
        ResultField("address", "its PCI address") { "\($0.address)" },
        ResultField("id", "vendor and device, \"8086:1563\"") { $0.id },
        ResultField("driver", "the driver that has it") { $0.driver },
        ResultField("group", "its IOMMU group") { $0.group },
        ResultField("cdev", "its character device's name, \"vfio0\"") { $0.cdev },
    ])

let deviceRecord = ResultRecord<vfio_device_info>(
    "vfio.info", "What VFIO_DEVICE_GET_INFO says of a device.",
    [
        ResultField("flags", "VFIO_DEVICE_FLAGS_*") { $0.flags },
        ResultField("num_regions", "how many regions there are") { $0.num_regions }.was("regions"),
        ResultField("num_irqs", "how many interrupt indices there are") { $0.num_irqs }.was("irqs"),
        ResultField("reset", "whether it can be reset") { $0.flags & UInt32(VFIO_DEVICE_FLAGS_RESET) != 0 },
    ])

let regionRecord = ResultRecord<Region>(
    "vfio.region", "What VFIO_DEVICE_GET_REGION_INFO says of a region.",
    [
        ResultField("index", "its index") { $0.index },
        ResultField("size", .bytes, "its size; 0 where the device has no such region") { $0.size },
        ResultField("offset", .bytes, "where it begins in the device's file") { $0.offset },
        ResultField("flags", "VFIO_REGION_INFO_FLAG_*") { $0.flags },
        ResultField("read", "whether it can be read") { $0.isReadable },
        ResultField("write", "whether it can be written") { $0.isWritable },
        ResultField("mmap", "whether it can be mapped") { $0.isMappable },
    ])

let irqRecord = ResultRecord<vfio_irq_info>(
    "vfio.irq", "What VFIO_DEVICE_GET_IRQ_INFO says of an interrupt index.",
    [
        ResultField("index", "INTx 0, MSI 1, MSI-X 2, error 3, request 4") { $0.index },
        ResultField("flags", "VFIO_IRQ_INFO_*") { $0.flags },
        ResultField("count", "how many vectors it has") { $0.count },
    ])

let dmabufRecord = ResultRecord<DMABuf.Info>(
    "vfio.dmabuf_info", "What the fdinfo of a dma-buf's descriptor says.",
    [
        ResultField("size", .bytes, "its size") { $0.size },
        ResultField("count", "references to its file, less the one that reading takes") { $0.count },
        ResultField("exporter", "the exporting driver") { $0.exporter },
        ResultField("name", "as `set_name` gave it; empty for none") { $0.name },
        ResultField("inode", "its inode's number") { $0.inode },
    ])
