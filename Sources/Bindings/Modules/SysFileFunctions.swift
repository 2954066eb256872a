import CKernel
import Devices
import Glibc
import Kernel
import LuaKit

private let descriptorParameter = Parameter(
    "fd", .integer(Int64(Int32.min)...Int64(Int32.max)), .required, "a descriptor")

private enum MapKeys {
    static let length = Key<Int>("length", .size(0...Int64.max), "bytes")
    static let offset = Key<UInt64>("offset", default: 0, "where it begins")
    static let protection = Key<Int32>(
        "prot", .integer(0...7), default: PROT_READ | PROT_WRITE, "PROT_READ 1, PROT_WRITE 2; default both"
    ).was("protection")
    static let flags = Key<UInt32>("flags", default: UInt32(MAP_SHARED), "default MAP_SHARED")
    static let all: [any TableKey] = [length, offset, protection, flags]
}

/// Calls on descriptors of any kind. Like `sys.ioctl`, they return the kernel's error instead of raising it, except
/// where the result is an object to be closed.
let sysFileFunctions = [
    Function(
        "read",
        [
            descriptorParameter, Parameter("length", .size(0...(64 << 20)), .required, "bytes"),
            Parameter("offset", .uint64, .absent, "where pread(2) begins; default: read(2), at the file's position"),
        ],
        returns: [.record(answerRecord)], effects: [.raw], "read(2) or pread(2).",
        entry: {
            Call($0, $1).run { call in
                let kernel = try call.kernel()
                let descriptor = try call.descriptor(call[0], "sys.read")
                try call.touch(call[1].int, "sys.read")
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: call[1].int, alignment: 8)
                defer { buffer.deallocate() }
                let result =
                    call[2].isPresent
                    ? kernel.pread(descriptor, buffer, at: call[2].uint64) : kernel.read(descriptor, buffer)
                return answer(call, result, result < 0 ? nil : Array(buffer.prefix(result)))
            }
        }),
    Function(
        "write",
        [
            descriptorParameter, Parameter("bytes", .string, .required, "what to write"),
            Parameter("offset", .uint64, .absent, "where pwrite(2) begins; default: write(2), at the file's position"),
        ],
        returns: [.record(answerRecord)], effects: [.raw], "write(2) or pwrite(2).",
        entry: {
            Call($0, $1).run { call in
                let kernel = try call.kernel()
                let place = call[2].isPresent ? call[2].uint64 : nil
                try call.touch(call[1].bytes.count, "sys.write")
                try call.growMemoryFile(call[0].int32, by: call[1].bytes.count, at: place)
                // Only now: counting memory may have run a finalizer of the script that closed it.
                let descriptor = try call.descriptor(call[0], "sys.write")
                let result =
                    call[2].isPresent
                    ? kernel.pwrite(descriptor, call[1].bytes, at: call[2].uint64)
                    : kernel.write(descriptor, call[1].bytes)
                return answer(call, result, nil)
            }
        }),
    Function(
        "seek",
        [
            descriptorParameter, Parameter("offset", .uint64, .required, "bytes"),
            Parameter("whence", .integer(0...255), .required, "SEEK_SET 0, SEEK_CUR 1, SEEK_END 2"),
        ],
        returns: [.record(answerRecord)], effects: [.raw], "lseek(2).",
        entry: {
            Call($0, $1).run { call in
                answer(
                    call, try call.kernel().lseek(call.descriptor(call[0], "sys.seek"), call[1].int64, call[2].int32),
                    nil)
            }
        }),
    Function(
        "fcntl",
        [
            descriptorParameter,
            Parameter("command", .integer(0...0x7fff_ffff), .required, "F_GETFD 1, F_GETFL 3, ..."),
            Parameter("argument", .uint64, .integer(0), "a number"),
        ],
        returns: [.record(answerRecord)], effects: [.raw], "fcntl(2).",
        entry: {
            Call($0, $1).run { call in
                let descriptor = try call.descriptor(call[0], "sys.fcntl")
                let result = try call.kernel().fcntl(descriptor, call[1].int32, call[2].int)
                if result >= 0, [F_DUPFD, F_DUPFD_CLOEXEC].contains(call[1].int32) {
                    let copy = Int32(truncatingIfNeeded: result)
                    call.host.memoryFiles[copy] = call.host.memoryFiles[descriptor]
                    if call.host.heaps.contains(descriptor) { call.host.heaps.insert(copy) }
                }
                return answer(call, result, nil)
            }
        }),
    Function(
        "poll",
        [
            descriptorParameter,
            Parameter("events", .integer(0...0x7fff), .required, "POLLIN 1, POLLOUT 4, ..."),
        ],
        returns: [.record(answerRecord)], effects: [.raw],
        "poll(2) of one descriptor without waiting; the result is its events.",
        entry: {
            Call($0, $1).run { call in
                let events = Int16(truncatingIfNeeded: call[1].int64)
                return answer(call, try call.kernel().poll(call.descriptor(call[0], "sys.poll"), events), nil)
            }
        }),
    Function(
        "mmap",
        [
            descriptorParameter,
            Parameter("request", .record(MapKeys.all), .required, "the mapping"),
        ],
        returns: [.object(MappedMemory.self)], effects: [.raw], errors: [("EINVAL", "not mappable, or not like this")],
        "mmap(2) at an address of the kernel's choice. What its protection forbids answers EFAULT.",
        entry: {
            Call($0, $1).run { call in
                let request = call[1].table
                let length = request[MapKeys.length]
                let flags = request[MapKeys.flags]
                let refused = flags & ~acceptedMappingFlags
                if refused != 0 {
                    throw ErrorValue(
                        kind: .argument,
                        "sys.mmap: flags 0x\(String(refused, radix: 16)) are not accepted: "
                            + "the kernel chooses the address, and the mapping does not grow")
                }
                // Only anonymous and private mappings are counted here; a file's memory is counted where the file is
                // made.
                let isMemory = flags & UInt32(MAP_ANONYMOUS | MAP_PRIVATE) != 0
                func map() throws -> CInt {
                    let mapping = try MappedMemory(
                        of: call.descriptor(call[0], "sys.mmap"), length: length,
                        protection: request[MapKeys.protection], flags: Int32(truncatingIfNeeded: flags),
                        at: request[MapKeys.offset], kernel: try call.kernel())
                    return call.push(object: mapping, parent: 0, label: "of descriptor \(call[0].int32)")
                }
                return isMemory ? try call.holding(length, "sys.mmap", map) : try map()
            }
        }),
    Function(
        "memfd",
        [
            Parameter("length", .size(0...Int64.max), .required, "bytes"),
            Parameter("flags", .uint32, .integer(2), "MFD_ALLOW_SEALING 2 (default), MFD_HUGETLB 4"),
        ],
        returns: [.object(RawFile.self)], effects: [.raw], errors: [("ENOMEM", "not that much memory")],
        "memfd_create(2) and ftruncate(2): an anonymous file.",
        entry: {
            Call($0, $1).run { call in
                let kernel = try call.kernel()
                return try call.holding(call[0].int, "sys.memfd") {
                    let result = kernel.memfd(flags: call[1].uint32)
                    if let errno = Errno(result: result) { throw Failure("memfd_create", errno, object: "memfd") }
                    let file = RawFile(descriptor: OwnedDescriptor(Int32(truncatingIfNeeded: result), kernel))
                    let sized = kernel.truncate(file.descriptor.raw, call[0].int64)
                    if let errno = Errno(result: sized) { throw Failure("ftruncate", errno, object: "memfd") }
                    call.host.memoryFiles[file.descriptor.raw] = call[0].uint64
                    return call.push(object: file, parent: 0, label: "memfd")
                }
            }
        }),
    Function(
        "eventfd", [Parameter("initval", .uint32, .integer(0), "what it starts with")],
        returns: [.object(RawFile.self)],
        effects: [.raw], "eventfd(2).",
        entry: {
            Call($0, $1).run { call in
                let kernel = try call.kernel()
                let result = kernel.eventfd(call[0].uint32)
                if let errno = Errno(result: result) { throw Failure("eventfd", errno, object: "eventfd") }
                let file = RawFile(descriptor: OwnedDescriptor(Int32(truncatingIfNeeded: result), kernel))
                return call.push(object: file, parent: 0, label: "eventfd")
            }
        }),
    Function(
        "readlink", [Parameter("path", .string(1...4096), .required, "absolute path")], returns: [.string],
        errors: [("ENOENT", "no such file"), ("EINVAL", "no link")], "readlink(2).",
        entry: {
            Call($0, $1).run { call in
                let kernel = try call.kernel()
                try call.host.permissions.permit(path: call[0].string, "sys.readlink")
                do throws(Errno) {
                    return call.push(try kernel.readlink(call[0].string))
                } catch {
                    throw Failure("readlink", error, object: call[0].string)
                }
            }
        }),
]

extension Call {
    /// Counts the growth of a memfd by a write. It counts until the run ends, since duplicates of the descriptor may
    /// keep the memory. The position of write(2) is unknown; the file's end is assumed.
    fileprivate func growMemoryFile(_ descriptor: Int32, by count: Int, at place: UInt64?) throws {
        guard let size = host.memoryFiles[descriptor] else { return }
        let end = (place ?? size).addingReportingOverflow(UInt64(count))
        // On overflow the kernel refuses the write.
        guard !end.overflow, end.partialValue > size else { return }
        try hold(Int(min(end.partialValue - size, UInt64(count))), "sys.write")
        host.memoryFiles[descriptor] = end.partialValue
    }
}
