import CKernel
public import Devices
import Kernel
public import LuaKit

extension IOMMUFD: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "iommufd" }
}

extension IOAS: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "ioas" }
}

extension Call {
    fileprivate var ioas: UnsafeMutablePointer<IOAS> { self[0].object(IOAS.self) }
}

let iovaParameter = Parameter("iova", .uint64, .absent, "I/O virtual address; default: the kernel's choice")
private let lengthParameter = Parameter("length", .size(Int64.min...Int64.max), .required, "bytes")

/// Keys that every kind of mapping takes; they follow the first `count` keys of a record.
private let accessParameters = [
    iovaParameter, Parameter("read", .boolean, .integer(1), "devices may read; default true"),
    Parameter("write", .boolean, .integer(1), "devices may write; default true"),
]

private func access(_ record: Argument, after count: Int) -> IOAS.Access {
    IOAS.Access(
        read: record[count + 1].bool, write: record[count + 2].bool,
        iova: record[count].isPresent ? record[count].uint64 : nil)
}

let iommufdModule = Module(
    "iommufd", "iommufd: I/O address spaces, and what devices may reach.",
    functions: [
        Function(
            "open", returns: "iommufd.context", effects: [.open],
            errors: [("ENOENT", "no iommufd here"), ("EACCES", "no permission")],
            "Opens a new context.",
            entry: {
                Call($0, $1).run { call in
                    call.push(object: try IOMMUFD(kernel: try call.kernel()), parent: 0, label: "/dev/iommu")
                }
            })
    ],
    classes: [iommufdClass, ioasClass])

private let iommufdClass = ObjectClass(
    IOMMUFD.luaName, type: "iommufd.context", short: "iommufd", "An iommufd context.",
    methods: [
        Function(
            "alloc_ioas", returns: "iommufd.ioas", "A new I/O address space.",
            entry: {
                Call($0, $1).run { call in
                    let ioas = try call[0].object(IOMMUFD.self).pointee.allocIOAS()
                    let id = ioas.id
                    return call.push(object: ioas, parent: 1, label: "\(id)")
                }
            }),
        Function(
            "fd", returns: "integer", "Its descriptor, for sys.ioctl.",
            entry: {
                Call($0, $1).run { call in call.push(Int64(call[0].object(IOMMUFD.self).pointee.descriptor.raw)) }
            }),
    ],
    close: { closeObject($0, $1, $2, IOMMUFD.self) }, destroy: { destroyObject($0, IOMMUFD.self) })

private let ioasClass = ObjectClass(
    IOAS.luaName, type: "iommufd.ioas", short: "ioas", "An I/O address space.",
    methods: [
        Function(
            "id", returns: "integer", "Its id in the context.",
            entry: { Call($0, $1).run { call in call.push(Int64(call.ioas.pointee.id)) } }),
        Function(
            "map",
            [
                Parameter(
                    "request",
                    .record(
                        [
                            Parameter("memory", .object(MappedMemory.self), .required, "the memory"),
                            Parameter("offset", .size(0...Int64.max), .integer(0), "start in it"),
                            Parameter("length", .size(Int64.min...Int64.max), .absent, "bytes; default: to its end"),
                        ] + accessParameters), .required, "what to map")
            ],
            returns: "integer", effects: [.dma],
            errors: [("EFAULT", "cannot be pinned (a BAR)"), ("EEXIST", "already mapped there")],
            "Maps memory of this process; returns the I/O virtual address.", entry: { Call($0, $1).run(map) }),
        Function(
            "map_file",
            [
                Parameter(
                    "request",
                    .record(
                        [
                            Parameter("dmabuf", .object(DMABuf.self), .required, "the dma-buf"),
                            Parameter("offset", .size(Int64.min...Int64.max), .integer(0), "start in it"),
                            lengthParameter,
                        ] + accessParameters), .required, "what to map")
            ],
            returns: "integer", effects: [.dma],
            errors: [
                ("ENODEV", "the dma-buf is revoked"), ("EOPNOTSUPP", "not VFIO's, or several ranges"),
                ("EINVAL", "outside the dma-buf"),
            ],
            "Maps a dma-buf (IOMMU_IOAS_MAP_FILE); returns the I/O virtual address.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    let file = request[0].object(DMABuf.self).pointee.descriptor
                    return call.push(
                        try call.ioas.pointee.map(
                            file: file, start: request[1].uint64, length: request[2].uint64,
                            access(request, after: 3)))
                }
            }),
        Function(
            "copy",
            [
                Parameter(
                    "request",
                    .record(
                        [
                            Parameter("source", .object(IOAS.self), .required, "an address space of the same context"),
                            Parameter("from", .uint64, .required, "I/O virtual address there"), lengthParameter,
                        ] + accessParameters), .required, "what to map")
            ],
            returns: "integer", effects: [.dma], errors: [("ENOENT", "not all of it is mapped there")],
            "Maps here what another address space maps; returns the I/O virtual address.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1]
                    return call.push(
                        try call.ioas.pointee.copy(
                            source: request[0].object(IOAS.self).pointee.id, from: request[1].uint64,
                            length: request[2].uint64, access(request, after: 3)))
                }
            }),
        Function(
            "unmap", [Parameter("iova", .uint64, .required, "I/O virtual address"), lengthParameter],
            returns: "integer", errors: [("ENOENT", "nothing is mapped there, or only in part")],
            "Unmaps; returns the bytes that were mapped.",
            entry: {
                Call($0, $1).run { call in
                    call.push(try call.ioas.pointee.unmap(iova: call[1].uint64, length: call[2].uint64))
                }
            }),
        Function(
            "iova_ranges", returns: "iommufd.ranges",
            "A table: `ranges`, the usable addresses, a list of {first, last}, and `alignment`, which mappings need. Numbers are "
                + "unsigned: -1 is 2^64-1, the last of all while no device is attached.",
            entry: { Call($0, $1).run(ranges) }),
    ],
    close: { closeObject($0, $1, $2, IOAS.self) }, destroy: { destroyObject($0, IOAS.self) })

private func map(_ call: Call) throws -> CInt {
    let request = call[1]
    let part = request[0].object(MappedMemory.self).pointee.part(request[1], request[2])
    return call.push(
        try call.ioas.pointee.map(address: part.address, length: part.length, access(request, after: 3)))
}

private func ranges(_ call: Call) throws -> CInt {
    let (ranges, alignment) = try call.ioas.pointee.ranges()
    let list = ranges.map { range in
        LuaValue.table([
            "first": .integer(Int64(bitPattern: range.start)), "last": .integer(Int64(bitPattern: range.last)),
        ])
    }
    return call.push(.table(["ranges": .list(list), "alignment": .integer(Int64(bitPattern: alignment))]))
}
