import CKernel
import CLuaShims
import Glibc
import Kernel
import LuaKit

/// A file that a script opened by path.
struct RawFile: ~Copyable, LuaObject {
    static var luaName: String { "file" }
    var descriptor: OwnedDescriptor
    var isOpen: Bool { descriptor.isOpen }

    mutating func close() throws {
        let raw = descriptor.raw
        if let errno = Errno(result: descriptor.close()) { throw Failure("close", errno, object: "descriptor \(raw)") }
    }
}

let sysModule = Module(
    "sys", "The system calls themselves, for requests that no typed function makes.",
    functions: [
        Function(
            "ioctl",
            [
                Parameter("fd", .integer(Int64(Int32.min)...Int64(Int32.max)), .required, "a descriptor"),
                Parameter("request", .any, .required, "the number, or the name of a known request"),
                Parameter("argument", .any, .absent, "bytes whose address is passed, or an integer; default: 0"),
            ],
            returns: [.record(answerRecord)], effects: [.raw],
            "ioctl(2) with bytes of your own, which end at an unreadable page. Never raises for the kernel's answer.",
            entry: { Call($0, $1).run(ioctl) }),
        Function(
            "request", [Parameter("name", .string(1...64), .required, "\"VFIO_DEVICE_RESET\"")], returns: [.integer],
            "The number of a known request.",
            entry: { Call($0, $1).run { call in call.push(UInt64(try number(of: call[0].string))) } }),
        Function(
            "open",
            [
                Parameter("path", .string(1...4096), .required, "absolute path"),
                Parameter("flags", .uint32, .integer(Int64(O_RDWR | O_CLOEXEC)), "default O_RDWR|O_CLOEXEC"),
            ],
            returns: [.object(RawFile.self)], effects: [.raw], errors: [("ENOENT", "no such file")], "open(2).",
            entry: {
                Call($0, $1).run { call in
                    let kernel = try call.kernel()
                    let path = call[0].string
                    guard !path.utf8.contains(0) else {
                        throw ErrorValue(kind: .argument, "sys.open: 'path' has a zero byte, where it would end")
                    }
                    try call.host.permissions.permit(path: path, "sys.open")
                    let result = kernel.open(path, flags: call[1].int32)
                    if let errno = Errno(result: result) { throw Failure("open", errno, object: path) }
                    let file = RawFile(descriptor: OwnedDescriptor(Int32(truncatingIfNeeded: result), kernel))
                    call.host.noteOpened(file.descriptor.raw, path)
                    return call.push(object: file, parent: 0, label: path)
                }
            }),
        Function(
            "adopt",
            [Parameter("fd", .integer(3...Int64(Int32.max)), .required, "a descriptor that sys.ioctl returned")],
            returns: [.object(RawFile.self)], effects: [.raw], "Takes over a descriptor, so that it is closed.",
            entry: {
                Call($0, $1).run { call in
                    let descriptor = try call.descriptor(call[0], "sys.adopt")
                    let file = RawFile(descriptor: OwnedDescriptor(descriptor, try call.kernel()))
                    return call.push(object: file, parent: 0, label: "descriptor \(call[0].int32)")
                }
            }),
        Function(
            "now", returns: [.integer(.nanoseconds)],
            "The monotonic clock in nanoseconds; virtual on the simulated bench.",
            entry: { Call($0, $1).run { call in call.push(try call.kernel().monotonic()) } }),
        Function(
            "sleep", [Parameter("duration_ms", .time(0...3_600_000), .required, "how long")],
            "Sleeps; on the simulated bench its clock jumps.",
            entry: {
                Call($0, $1).run { call in
                    _ = try call.kernel().sleep(
                        nanoseconds: call[0].uint64 * 1_000_000, stop: UnsafePointer(lk_interruption(call.state)))
                    return call.nothing
                }
            }),
    ] + sysFileFunctions,
    classes: [
        ObjectClass(
            RawFile.luaName, type: "sys.file", short: "file", "A file opened by path.",
            methods: [
                Function(
                    "fd", returns: [.integer], "Its descriptor.",
                    entry: {
                        Call($0, $1).run { call in call.push(Int64(call[0].object(RawFile.self).pointee.descriptor.raw))
                        }
                    })
            ],
            close: { closeObject($0, $1, $2, RawFile.self) }, destroy: { destroyObject($0, RawFile.self) })
    ])

private func number(of name: String) throws -> UInt {
    if let request = Request.find(named: name) { return request.number }
    let near = nearest(to: name, in: Request.all.map(\.name)).map { "; did you mean '\($0)'?" } ?? ""
    throw ErrorValue(kind: .argument, "sys: no known request is named '\(name)'\(near)")
}

private func ioctl(_ call: Call) throws -> CInt {
    let request: UInt
    switch call.value(of: call[1]) {
    case .integer(let value): request = UInt(bitPattern: Int(value))
    case .string(let name): request = try number(of: name)
    case let other:
        throw ErrorValue(
            kind: .argument, "sys.ioctl: 'request' must be a number or a name, not a \(other.typeName)")
    }
    let kernel = try call.kernel()
    // The typed functions for these requests need the same permission.
    if [VFIO_DEVICE_RESET, VFIO_DEVICE_PCI_HOT_RESET].contains(Int(truncatingIfNeeded: request)) {
        _ = try call.host.permissions.permit(.reset, "sys.ioctl")
    }
    var descriptor = try call.descriptor(call[0], "sys.ioctl")
    guard call[2].isPresent else { return answer(call, kernel.ioctl(descriptor, request, .none), nil) }
    if let bytes = call.bytes(of: call[2]) {
        guard let memory = sys_guarded_alloc(bytes.count) else {
            throw Failure("mmap", Errno(ENOMEM), object: "sys.ioctl")
        }
        defer { sys_guarded_free(memory, bytes.count) }
        let buffer = UnsafeMutableRawBufferPointer(start: memory, count: bytes.count)
        buffer.copyBytes(from: bytes)
        // A dma-buf heap allocates a buffer at once. It counts until the run ends, since nobody knows earlier when it
        // is freed.
        let size = call.host.heapBuffer(descriptor, request, UnsafeRawBufferPointer(buffer))
        try call.hold(size, "sys.ioctl")
        do {
            // Checked after `hold`, which may have run a finalizer of the script that closed one of them.
            descriptor = try call.descriptor(call[0], "sys.ioctl")
            for named in Request.descriptors(request, in: UnsafeRawBufferPointer(buffer), .input) where named > 2 {
                try call.check(descriptor: named, "sys.ioctl")
            }
        } catch {
            call.release(size)
            throw error
        }
        let result = kernel.ioctl(descriptor, request, .memory(buffer))
        if result < 0 { call.release(size) }
        return answer(call, result, Array(buffer))
    }
    guard case .integer(let value) = call.value(of: call[2]) else {
        throw ErrorValue(kind: .argument, "sys.ioctl: 'argument' must be a string of bytes or an integer")
    }
    return answer(call, kernel.ioctl(descriptor, request, .value(UInt(bitPattern: Int(value)))), nil)
}

/// Result of a system call.
struct Answer {
    let result: Int
    let bytes: [UInt8]?
    var errno: Errno? { Errno(result: result) }
}

let answerRecord = ResultRecord<Answer>(
    "sys.result", "What a system call answered.",
    [
        ResultField("result", "what it returned; -1 where it failed") { $0.errno == nil ? $0.result : -1 },
        ResultField("errno", "why it failed; 0 where it did not") { $0.errno?.code ?? 0 },
        ResultField("name", "the errno's name: \"EINVAL\"") { $0.errno?.name },
        ResultField("bytes", "what it read, or the request's bytes afterwards") { $0.bytes.map(Bytes.init) },
    ])

/// Pushes the result of a system call.
func answer(_ call: Call, _ result: Int, _ bytes: [UInt8]?) -> CInt {
    call.push(Answer(result: result, bytes: bytes), as: answerRecord)
}
