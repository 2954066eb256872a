public import Devices
import Kernel
public import LuaKit

extension Type1Container: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "vfio container" }
}

private enum MapKeys {
    static let memory = Key<Object<MappedMemory>>("memory", "host memory, or a mapped BAR")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64?>("length", .size(0...Int64.max), "bytes; default: to its end")
    static let iova = Key<UInt64>("iova", "I/O virtual address")
    static let read = Key<Bool>("read", default: true, "devices may read; default true")
    static let write = Key<Bool>("write", default: true, "devices may write; default true")
    static let all: [any TableKey] = [memory, offset, length, iova, read, write]
}

let type1Module = Module(
    "type1", "VFIO containers with the type1 IOMMU: the older way to give devices access to memory.",
    functions: [
        Function(
            "open", returns: [.object(Type1Container.self)], effects: [.open],
            errors: [("ENOENT", "no VFIO here"), ("EACCES", "no permission")],
            "Opens an empty container; the first device that joins it chooses the type1 IOMMU.",
            entry: {
                Call($0, $1).run { call in
                    let container = try Type1Container(kernel: try call.kernel())
                    return call.push(object: container, parent: 0, label: "/dev/vfio/vfio")
                }
            })
    ],
    classes: [containerClass])

private let containerClass = ObjectClass(
    Type1Container.luaName, type: "type1.container", short: "container", "A VFIO container.",
    methods: [
        Function(
            "map",
            [Parameter("request", .record(MapKeys.all), .required, "what to map")],
            effects: [.dma], errors: [("EEXIST", "already mapped there"), ("EINVAL", "empty, unaligned or reserved")],
            "Maps memory of this process (VFIO_IOMMU_MAP_DMA).", entry: { Call($0, $1).run(map) }),
        Function(
            "unmap",
            [
                Parameter("iova", .uint64, .required, "I/O virtual address"),
                Parameter("length", .size(0...Int64.max), .required, "bytes"),
            ],
            returns: [.integer(.bytes)], "Unmaps; returns the bytes that were mapped.",
            entry: {
                Call($0, $1).run { call in
                    let container = call[0].object(Type1Container.self)
                    return call.push(try container.pointee.unmap(iova: call[1].uint64, length: call[2].uint64))
                }
            }),
        Function(
            "track_dirty_pages",
            [Parameter("enabled", .boolean, .required, "whether to")],
            errors: [("EACCES", "not type 1v2"), ("EINVAL", "no device has joined")],
            "Starts or stops to note which pages devices may have written (VFIO_IOMMU_DIRTY_PAGES).",
            entry: {
                Call($0, $1).run { call in
                    try call[0].object(Type1Container.self).pointee.trackDirtyPages(call[1].bool)
                    return call.nothing
                }
            }),
        Function(
            "dirty_bitmap",
            [
                Parameter("iova", .uint64, .required, "I/O virtual address of the first page"),
                Parameter("length", .size(0...(1 << 40)), .required, "bytes: whole mappings"),
            ],
            returns: [.string], errors: [("EINVAL", "not tracked, or a mapping is cut")],
            "A bit for each page that devices may have written, the first page's in the lowest bit of the first byte. Where a "
                + "device's IOMMU cannot tell, each that is mapped counts as written.",
            entry: {
                Call($0, $1).run { call in
                    let container = call[0].object(Type1Container.self)
                    let bitmap = try container.pointee.dirtyBitmap(iova: call[1].uint64, length: call[2].uint64)
                    return call.push(value: Bytes(bitmap))
                }
            }),
        Function(
            "fd", returns: [.integer], "Its descriptor, for sys.ioctl.",
            entry: {
                Call($0, $1).run { call in
                    call.push(Int64(call[0].object(Type1Container.self).pointee.descriptor))
                }
            }),
    ],
    close: { closeObject($0, $1, $2, Type1Container.self) },
    destroy: { destroyObject($0, Type1Container.self) })

private func map(_ call: Call) throws -> CInt {
    let request = call[1].table
    let part = request[MapKeys.memory].pointee.part(request[MapKeys.offset], request[MapKeys.length])
    try call[0].object(Type1Container.self).pointee.map(
        address: part.address, length: part.length, iova: request[MapKeys.iova], read: request[MapKeys.read],
        write: request[MapKeys.write])
    return call.nothing
}
