import CKernel

private typealias DeviceInfo = vfio_device_info
private typealias RegionInfo = vfio_region_info
private typealias IRQInfo = vfio_irq_info
private typealias IRQSet = vfio_irq_set
private typealias Dependent = vfio_pci_dependent_device
private typealias HotResetInfo = vfio_pci_hot_reset_info
private typealias HotReset = vfio_pci_hot_reset
private typealias EventWrite = vfio_device_ioeventfd
private typealias Bind = vfio_device_bind_iommufd
private typealias Attach = vfio_device_attach_iommufd_pt
private typealias Detach = vfio_device_detach_iommufd_pt

/// Requests on a VFIO device.
extension Request {
    static let vfioDevice: [Request] = [
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
        Request(
            "VFIO_DEVICE_SET_IRQS", VFIO_DEVICE_SET_IRQS, on: .device,
            structure(
                IRQSet.self,
                [
                    Field("argsz", \IRQSet.argsz, .input, .decimal),
                    Field(
                        "flags", \IRQSet.flags, .input,
                        .flags([
                            .init(VFIO_IRQ_SET_DATA_NONE, "DATA_NONE"), .init(VFIO_IRQ_SET_DATA_BOOL, "DATA_BOOL"),
                            .init(VFIO_IRQ_SET_DATA_EVENTFD, "DATA_EVENTFD"),
                            .init(VFIO_IRQ_SET_ACTION_MASK, "MASK"), .init(VFIO_IRQ_SET_ACTION_UNMASK, "UNMASK"),
                            .init(VFIO_IRQ_SET_ACTION_TRIGGER, "TRIGGER"),
                        ])),
                    Field("index", \IRQSet.index, .input, .decimal), Field("start", \IRQSet.start, .input, .decimal),
                    Field("count", \IRQSet.count, .input, .decimal),
                ],
                trailing: [
                    Layout.Trailing(
                        name: "data", countField: "count", elementSize: 1,
                        fields: [Field("raised", offset: 0, size: 1, .input, .decimal)],
                        onlyWith: ("flags", VFIO_IRQ_SET_DATA_BOOL)),
                    Layout.Trailing(
                        name: "data", countField: "count", elementSize: 4,
                        fields: [Field("fd", offset: 0, size: 4, signed: true, .input, .descriptor)],
                        onlyWith: ("flags", VFIO_IRQ_SET_DATA_EVENTFD)),
                ])),
        Request("VFIO_DEVICE_RESET", VFIO_DEVICE_RESET, on: .device),
        Request(
            "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, on: .device,
            structure(
                HotResetInfo.self,
                [
                    Field("argsz", \HotResetInfo.argsz, .input, .decimal),
                    Field(
                        "flags", \HotResetInfo.flags, .output,
                        .flags([
                            .init(VFIO_PCI_HOT_RESET_FLAG_DEV_ID, "DEV_ID"),
                            .init(VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, "DEV_ID_OWNED"),
                        ])),
                    Field("count", \HotResetInfo.count, .output, .decimal),
                ],
                trailing: [
                    Layout.Trailing(
                        name: "devices", countField: "count", elementSize: MemoryLayout<Dependent>.size,
                        fields: [
                            Field("group_id", \Dependent.group_id, .output, .decimal),
                            Field("segment", \Dependent.segment, .output), Field("bus", \Dependent.bus, .output),
                            Field("devfn", \Dependent.devfn, .output),
                        ])
                ])),
        Request(
            "VFIO_DEVICE_PCI_HOT_RESET", VFIO_DEVICE_PCI_HOT_RESET, on: .device,
            structure(
                HotReset.self,
                [
                    Field("argsz", \HotReset.argsz, .input, .decimal), Field("flags", \HotReset.flags),
                    Field("count", \HotReset.count, .input, .decimal),
                ],
                trailing: [
                    Layout.Trailing(
                        name: "group_fds", countField: "count", elementSize: 4,
                        fields: [Field("group_fd", offset: 0, size: 4, signed: true, .input, .descriptor)])
                ])),
        Request(
            "VFIO_DEVICE_IOEVENTFD", VFIO_DEVICE_IOEVENTFD, on: .device,
            structure(
                EventWrite.self,
                [
                    Field("argsz", \EventWrite.argsz, .input, .decimal),
                    Field(
                        "flags", \EventWrite.flags, .input,
                        .flags([
                            .init(VFIO_DEVICE_IOEVENTFD_8, "IOEVENTFD_8"),
                            .init(VFIO_DEVICE_IOEVENTFD_16, "IOEVENTFD_16"),
                            .init(VFIO_DEVICE_IOEVENTFD_32, "IOEVENTFD_32"),
                            .init(VFIO_DEVICE_IOEVENTFD_64, "IOEVENTFD_64"),
                        ])),
                    Field("offset", \EventWrite.offset), Field("data", \EventWrite.data),
                    Field("fd", \EventWrite.fd, .input, .descriptor),
                ])),
        Request("VFIO_DEVICE_FEATURE", VFIO_DEVICE_FEATURE, on: .device, .feature, result: .feature),
        Request(
            "VFIO_DEVICE_BIND_IOMMUFD", VFIO_DEVICE_BIND_IOMMUFD, on: .device,
            structure(
                Bind.self,
                [
                    Field("argsz", \Bind.argsz, .input, .decimal), Field("flags", \Bind.flags),
                    Field("iommufd", \Bind.iommufd, .input, .descriptor),
                    Field("out_devid", \Bind.out_devid, .output, .identity),
                    Field("token_uuid_ptr", \Bind.token_uuid_ptr, .input, .pointer),
                ], pointed: [.init(field: "token_uuid_ptr", elementSize: 16)])),
        Request(
            "VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFIO_DEVICE_ATTACH_IOMMUFD_PT, on: .device,
            structure(
                Attach.self,
                [
                    Field("argsz", \Attach.argsz, .input, .decimal), Field("flags", \Attach.flags),
                    Field("pt_id", \Attach.pt_id, .both, .identity),
                ])),
        Request(
            "VFIO_DEVICE_DETACH_IOMMUFD_PT", VFIO_DEVICE_DETACH_IOMMUFD_PT, on: .device,
            structure(
                Detach.self, [Field("argsz", \Detach.argsz, .input, .decimal), Field("flags", \Detach.flags)])),
    ]
}
