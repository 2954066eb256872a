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

private let lengthParameter = Parameter("length", .size(Int64.min...Int64.max), .required, "bytes")

/// Keys that every kind of mapping accepts.
private enum AccessKeys {
    static let iova = Key<UInt64?>("iova", "I/O virtual address; default: the kernel's choice")
    static let read = Key<Bool>("read", default: true, "devices may read; default true")
    static let write = Key<Bool>("write", default: true, "devices may write; default true")
    static let all: [any TableKey] = [iova, read, write]
}

extension Table {
    fileprivate var access: IOAS.Access {
        IOAS.Access(read: self[AccessKeys.read], write: self[AccessKeys.write], iova: self[AccessKeys.iova])
    }
}

private enum MapKeys {
    static let memory = Key<Object<MappedMemory>>("memory", "the memory")
    static let offset = Key<UInt64>("offset", .size(0...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64?>("length", .size(Int64.min...Int64.max), "bytes; default: to its end")
    static let all: [any TableKey] = [memory, offset, length] + AccessKeys.all
}

private enum MapFileKeys {
    static let dmabuf = Key<Object<DMABuf>>("dmabuf", "the dma-buf")
    static let offset = Key<UInt64>("offset", .size(Int64.min...Int64.max), default: 0, "start in it")
    static let length = Key<UInt64>("length", .size(Int64.min...Int64.max), "bytes")
    static let all: [any TableKey] = [dmabuf, offset, length] + AccessKeys.all
}

private enum CopyKeys {
    static let source = Key<Object<IOAS>>("src_ioas", "an address space of the same context").was("source")
    static let from = Key<UInt64>("src_iova", "I/O virtual address there").was("from")
    static let length = Key<UInt64>("length", .size(Int64.min...Int64.max), "bytes")
    static let all: [any TableKey] = [source, from, length] + AccessKeys.all
}

private let rangeRecord = ResultRecord<iommu_iova_range>(
    "iommufd.range", "Addresses that can be mapped.",
    [
        ResultField("start", "the first address") { $0.start }.was("first"),
        ResultField("last", "the last one; -1 is 2^64-1, the last of all while no device is attached") { $0.last },
    ])

private let rangesRecord = ResultRecord<(ranges: [iommu_iova_range], alignment: UInt64)>(
    "iommufd.ranges", "What IOMMU_IOAS_IOVA_RANGES says of an address space.",
    [
        ResultField("ranges", list: rangeRecord, "the usable addresses, ascending") { $0.ranges },
        ResultField("iova_alignment", .bytes, "what mappings need") { $0.alignment }.was("alignment"),
    ])

let iommufdModule = Module(
    "iommufd", "iommufd: I/O address spaces, and what devices may reach.",
    functions: [
        Function(
            "open", returns: [.object(IOMMUFD.self)], effects: [.open],
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
            "alloc_ioas", returns: [.object(IOAS.self)], "A new I/O address space.",
            entry: {
                Call($0, $1).run { call in
                    let ioas = try call[0].object(IOMMUFD.self).pointee.allocIOAS()
                    let id = ioas.id
                    return call.push(object: ioas, parent: 1, label: "\(id)")
                }
            }),
        Function(
            "fd", returns: [.integer], "Its descriptor, for sys.ioctl.",
            entry: {
                Call($0, $1).run { call in call.push(Int64(call[0].object(IOMMUFD.self).pointee.descriptor.raw)) }
            }),
    ],
    close: { closeObject($0, $1, $2, IOMMUFD.self) }, destroy: { destroyObject($0, IOMMUFD.self) })

private let ioasClass = ObjectClass(
    IOAS.luaName, type: "iommufd.ioas", short: "ioas", "An I/O address space.",
    methods: [
        Function(
            "id", returns: [.integer], "Its id in the context.",
            entry: { Call($0, $1).run { call in call.push(Int64(call.ioas.pointee.id)) } }),
        Function(
            "map",
            [Parameter("request", .record(MapKeys.all), .required, "what to map")],
            returns: [.integer], effects: [.dma],
            errors: [("EFAULT", "cannot be pinned (a BAR)"), ("EEXIST", "already mapped there")],
            "Maps memory of this process; returns the I/O virtual address.", entry: { Call($0, $1).run(map) }),
        Function(
            "map_file",
            [Parameter("request", .record(MapFileKeys.all), .required, "what to map")],
            returns: [.integer], effects: [.dma],
            errors: [
                ("ENODEV", "the dma-buf is revoked"), ("EOPNOTSUPP", "not VFIO's, or several ranges"),
                ("EINVAL", "outside the dma-buf"),
            ],
            "Maps a dma-buf (IOMMU_IOAS_MAP_FILE); returns the I/O virtual address.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    return call.push(
                        try call.ioas.pointee.map(
                            file: request[MapFileKeys.dmabuf].pointee.descriptor, start: request[MapFileKeys.offset],
                            length: request[MapFileKeys.length], request.access))
                }
            }),
        Function(
            "copy",
            [Parameter("request", .record(CopyKeys.all), .required, "what to map")],
            returns: [.integer], effects: [.dma], errors: [("ENOENT", "not all of it is mapped there")],
            "Maps here what another address space maps; returns the I/O virtual address.",
            entry: {
                Call($0, $1).run { call in
                    let request = call[1].table
                    return call.push(
                        try call.ioas.pointee.copy(
                            source: request[CopyKeys.source].pointee.id, from: request[CopyKeys.from],
                            length: request[CopyKeys.length], request.access))
                }
            }),
        Function(
            "unmap", [Parameter("iova", .uint64, .required, "I/O virtual address"), lengthParameter],
            returns: [.integer(.bytes)], errors: [("ENOENT", "nothing is mapped there, or only in part")],
            "Unmaps; returns the bytes that were mapped.",
            entry: {
                Call($0, $1).run { call in
                    call.push(try call.ioas.pointee.unmap(iova: call[1].uint64, length: call[2].uint64))
                }
            }),
        Function(
            "iova_ranges", returns: [.record(rangesRecord)], "IOMMU_IOAS_IOVA_RANGES. Numbers are unsigned.",
            entry: {
                Call($0, $1).run { call in call.push(try call.ioas.pointee.ranges(), as: rangesRecord) }
            }),
    ],
    close: { closeObject($0, $1, $2, IOAS.self) }, destroy: { destroyObject($0, IOAS.self) })

private func map(_ call: Call) throws -> CInt {
    let request = call[1].table
    let part = request[MapKeys.memory].pointee.part(request[MapKeys.offset], request[MapKeys.length])
    return call.push(try call.ioas.pointee.map(address: part.address, length: part.length, request.access))
}
