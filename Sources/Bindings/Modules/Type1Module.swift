public import Devices
import Kernel
public import LuaKit

extension Type1Container: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "vfio container" }
}

let type1Module = Module(
    "type1", "VFIO containers with the type1 IOMMU: the older way to give devices access to memory.",
    functions: [
        Function(
            "open", returns: "type1.container", effects: [.open],
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
            [
                Parameter(
                    "request",
                    .record([
                        Parameter("memory", .object(MappedMemory.self), .required, "host memory, or a mapped BAR"),
                        Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
                        Parameter("length", .size(0...Int64.max), .absent, "bytes; default: to its end"),
                        Parameter("iova", .uint64, .required, "I/O virtual address"),
                        Parameter("read", .boolean, .integer(1), "devices may read; default true"),
                        Parameter("write", .boolean, .integer(1), "devices may write; default true"),
                    ]), .required, "what to map")
            ],
            effects: [.dma], errors: [("EEXIST", "already mapped there"), ("EINVAL", "empty, unaligned or reserved")],
            "Maps memory of this process (VFIO_IOMMU_MAP_DMA).", entry: { Call($0, $1).run(map) }),
        Function(
            "unmap",
            [
                Parameter("iova", .uint64, .required, "I/O virtual address"),
                Parameter("length", .size(0...Int64.max), .required, "bytes"),
            ],
            returns: "integer", "Unmaps; returns the bytes that were mapped.",
            entry: {
                Call($0, $1).run { call in
                    let container = call[0].object(Type1Container.self)
                    return call.push(try container.pointee.unmap(iova: call[1].uint64, length: call[2].uint64))
                }
            }),
        Function(
            "fd", returns: "integer", "Its descriptor, for sys.ioctl.",
            entry: {
                Call($0, $1).run { call in
                    call.push(Int64(call[0].object(Type1Container.self).pointee.descriptor))
                }
            }),
    ],
    close: { closeObject($0, $1, $2, Type1Container.self) },
    destroy: { destroyObject($0, Type1Container.self) })

private func map(_ call: Call) throws -> CInt {
    let request = call[1]
    let part = request[0].object(MappedMemory.self).pointee.part(request[1], request[2])
    try call[0].object(Type1Container.self).pointee.map(
        address: part.address, length: part.length, iova: request[3].uint64, read: request[4].bool,
        write: request[5].bool)
    return call.nothing
}
