import CKernel

/// Other exporters and importers of dma-bufs. Their structures are small and not declared in CKernel, so offsets are
/// given here.
extension Request {
    static let buffers: [Request] = [
        // include/uapi/linux/udmabuf.h
        Request(
            "UDMABUF_CREATE", UDMABUF_CREATE, on: .udmabuf,
            .structure(
                Layout(
                    "udmabuf_create", size: 24,
                    [
                        Field("memfd", offset: 0, size: 4, signed: true, .input, .descriptor),
                        Field("flags", offset: 4, size: 4, .input, udmabufFlags), Field("offset", offset: 8, size: 8),
                        Field("size", offset: 16, size: 8),
                    ])), result: .descriptor(.dmabuf)),
        Request(
            "UDMABUF_CREATE_LIST", UDMABUF_CREATE_LIST, on: .udmabuf,
            .structure(
                Layout(
                    "udmabuf_create_list", size: 8,
                    [
                        Field("flags", offset: 0, size: 4, .input, udmabufFlags),
                        Field("count", offset: 4, size: 4, .input, .decimal),
                    ],
                    trailing: [
                        Layout.Trailing(
                            name: "list", countField: "count", elementSize: 24,
                            fields: [
                                Field("memfd", offset: 0, size: 4, signed: true, .input, .descriptor),
                                Field("offset", offset: 8, size: 8), Field("size", offset: 16, size: 8),
                            ])
                    ])), result: .descriptor(.dmabuf)),
        // include/uapi/linux/dma-heap.h
        Request(
            "DMA_HEAP_IOCTL_ALLOC", Int(DMA_HEAP_IOCTL_ALLOC), on: .heap,
            .structure(
                Layout(
                    "dma_heap_allocation_data", size: 24,
                    [
                        Field("len", offset: 0, size: 8), Field("fd", offset: 8, size: 4, .output, .descriptor),
                        Field("fd_flags", offset: 12, size: 4, .input, openFlags),
                        Field("heap_flags", offset: 16, size: 8),
                    ]))),
    ]

    private static let udmabufFlags = Format.flags([.init(1, "CLOEXEC")])

    /// scripts/lab/edu-importer/edu_importer.h
    static let importer: [Request] = [
        Request(
            "EDU_ATTACH", 0x4008_ed00, on: .importer,
            .structure(
                Layout(
                    "edu_attach", size: 8,
                    [
                        Field("fd", offset: 0, size: 4, signed: true, .input, .descriptor),
                        Field(
                            "flags", offset: 4, size: 4, .input,
                            .flags([.init(1, "PEER2PEER"), .init(2, "INVALIDATE")])
                        ),
                    ]))),
        Request(
            "EDU_MAP", 0x8208_ed01, on: .importer,
            .structure(
                Layout(
                    "edu_map", size: 8, [Field("count", offset: 0, size: 4, .output, .decimal)],
                    trailing: [
                        Layout.Trailing(
                            name: "entry", countField: "count", elementSize: 16,
                            fields: [
                                Field("address", offset: 0, size: 8, .output, .busAddress),
                                Field("length", offset: 8, size: 8, .output),
                            ])
                    ]))),
        Request(
            "EDU_COPY", 0x4018_ed02, on: .importer,
            .structure(
                Layout(
                    "edu_copy", size: 24,
                    [
                        Field("from", offset: 0, size: 8), Field("to", offset: 8, size: 8),
                        Field("length", offset: 16, size: 8),
                    ]))),
        Request("EDU_UNMAP", 0xed03, on: .importer), Request("EDU_DETACH", 0xed04, on: .importer),
        Request(
            "EDU_STATE", 0x8008_ed05, on: .importer,
            .structure(
                Layout(
                    "edu_state", size: 8,
                    [
                        Field("invalidations", offset: 0, size: 4, .output, .decimal),
                        Field("mapped", offset: 4, size: 4, .output, .decimal),
                    ]))),
        Request(
            "EDU_HINT", 0xc008_ed06, on: .importer,
            .structure(
                Layout(
                    "edu_hint", size: 8,
                    [
                        Field("extended", offset: 0, size: 4, .input, .decimal),
                        Field("st", offset: 4, size: 2, .output),
                        Field("ph", offset: 6, size: 1, .output, .decimal),
                    ]))),
    ]
}
