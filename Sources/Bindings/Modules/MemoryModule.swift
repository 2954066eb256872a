import CLuaShims
public import Devices
import Kernel
public import LuaKit

extension MappedMemory: LuaObject {
    /// See `LuaObject`.
    public static var luaName: String { "memory mapping" }
}

extension MappedMemory {
    /// The address range for an offset and an optional length; without a length, it reaches to the mapping's end.
    func part(_ offset: UInt64, _ length: UInt64?) -> (address: UInt64, length: UInt64) {
        let whole = UInt64(self.length)
        return (address &+ offset, length ?? whole &- min(offset, whole))
    }
}

extension Call {
    fileprivate var mapping: UnsafeMutablePointer<MappedMemory> { self[0].object(MappedMemory.self) }
}

private let offset = Parameter("offset", .size(0...Int64.max), .required, "byte offset")

let memoryModule = Module(
    "memory", "Host memory for DMA and registration.",
    functions: [
        Function(
            "alloc",
            [
                Parameter("length", .size(1...(1 << 40)), .required, "bytes; rounded up to pages by the kernel"),
                Parameter(
                    "page_size", .choice([("4K", 0x1000), ("2M", 0x20_0000), ("1G", 0x4000_0000)]), .integer(0x1000),
                    "of its pages; of huge ones the length becomes a multiple"),
            ],
            returns: [.object(MappedMemory.self)],
            errors: [("ENOMEM", "not that much memory, or not so many huge pages set aside")],
            "Zeroed memory of this process.",
            entry: {
                Call($0, $1).run { call in
                    let pages = MappedMemory.PageSize(rawValue: call[1].int64) ?? .ordinary
                    let unit = Int(pages.rawValue)
                    let kernel = try call.kernel()
                    return try call.holding((call[0].int + unit - 1) / unit * unit, "memory.alloc") {
                        let memory = try MappedMemory(hostMemory: call[0].int, pages: pages, kernel: kernel)
                        let length = memory.length
                        return call.push(object: memory, parent: 0, label: "of \(length) bytes")
                    }
                }
            })
    ],
    classes: [mappingClass])

private let mappingClass = ObjectClass(
    MappedMemory.luaName, type: "memory.mapping", short: "memory",
    "Memory mapped into this process: host memory, or a device's region.",
    methods: [
        Function(
            "read", [offset, Parameter("length", .size(0...(64 << 20)), .required, "bytes")], returns: [.string],
            errors: [("EINVAL", "outside the mapping"), ("EIO", "the device does not answer")], "Copies bytes out.",
            entry: {
                Call($0, $1).run { call in
                    let offset = call[1].uint64
                    try call.mapping.pointee.check("load", offset, call[2].int)
                    try call.touch(call[2].int, "memory:read")
                    var bytes = [UInt8](repeating: 0, count: call[2].int)
                    try reading(&bytes) { buffer throws(Failure) in
                        try call.mapping.pointee.read(at: offset, into: buffer)
                    }
                    return call.push(value: Bytes(bytes))
                }
            }),
        Function(
            "write", [offset, Parameter("bytes", .string, .required, "what to write")],
            errors: [("EINVAL", "outside the mapping"), ("EIO", "the device does not answer")], "Copies bytes in.",
            entry: {
                Call($0, $1).run { call in
                    try call.touch(call[2].count, "memory:write")
                    try call.mapping.pointee.write(at: call[1].uint64, from: call[2].bytes)
                    return call.nothing
                }
            }),
        Function(
            "fill",
            [
                offset, Parameter("length", .size(0...(1 << 30)), .required, "bytes"),
                Parameter("byte", .integer(0...255), .required, "the value"),
            ],
            errors: [("EINVAL", "outside the mapping")], "Sets bytes to a value.",
            entry: {
                Call($0, $1).run { call in
                    try call.touch(call[2].int, "memory:fill")
                    let byte = UInt8(truncatingIfNeeded: call[3].int64)
                    try call.mapping.pointee.fill(
                        at: call[1].uint64, count: call[2].int, with: byte,
                        stop: UnsafePointer(lk_interruption(call.state)))
                    return call.nothing
                }
            }),
        Function(
            "addr", returns: [.integer], "The virtual address of its first byte.",
            entry: { Call($0, $1).run { call in call.push(call.mapping.pointee.address) } }
        ).was("address"),
        Function(
            "length", returns: [.integer(.bytes)], "Bytes.",
            entry: { Call($0, $1).run { call in call.push(Int64(call.mapping.pointee.length)) } }),
    ],
    close: { closeObject($0, $1, $2, MappedMemory.self) }, destroy: { destroyObject($0, MappedMemory.self) })
