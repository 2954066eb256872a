import CKernel
import Glibc
public import Kernel

/// This machine's kernel: every call goes straight to it.
public final class LiveKernel: Kernel {
    private var openFiles: [Int32: String] = [:]
    private var mappings: [UnsafeMutableRawPointer: Int] = [:]
    var openVerbs: [UnsafeMutableRawPointer: String] = [:]
    /// Answers of verbs with ``Verb/isAskedOnce``. They are kept, as memory that they point to lives as long as they
    /// do.
    var askedOnce: [ObjectIdentifier: Any] = [:]

    /// Descriptors that the program had open before this object was made.
    private let openBefore: Set<Int32>
    private let capture: (any TLPCapture)?

    /// Opens nothing yet. `capture` sees the machine's links, where there is one.
    public init(capture: (any TLPCapture)? = nil) {
        self.capture = capture
        openBefore = Set((0..<1024).filter { sys_fcntl($0, F_GETFD, 0) >= 0 })
    }

    /// Empty: a real kernel models everything it answers.
    public var notModelled: [(call: String, count: Int)] { [] }

    /// See ``Kernel/tlps``.
    public var tlps: TLPLog? { get throws(Failure) { try capture?.log() } }

    /// See ``Kernel/clearTLPs()``.
    public func clearTLPs() throws(Failure) -> Bool {
        try capture?.clear()
        return capture != nil
    }

    /// See ``Kernel/open``.
    public var open: [String] {
        openFiles.sorted { $0.key < $1.key }.map { "descriptor \($0.key) (\($0.value))" }
            + mappings.values.sorted().map { "mapping of \($0) bytes" } + openVerbs.values.sorted()
    }

    /// See ``SystemCalls``.
    public func open(_ path: String, flags: Int32) -> Int {
        let result = sys_open(path, flags)
        if result >= 0 { openFiles[Int32(truncatingIfNeeded: result)] = path }
        return result
    }

    /// See ``SystemCalls``.
    public func close(_ descriptor: Int32) -> Int {
        // Closing twice would close another file that has the number by now.
        guard openFiles.removeValue(forKey: descriptor) != nil || isGivenUnseen(descriptor) else { return -Int(EBADF) }
        return sys_close(descriptor)
    }

    /// See ``Kernel/isForeign(_:)``.
    public func isForeign(_ descriptor: Int32) -> Bool {
        guard openFiles[descriptor] == nil, sys_fcntl(descriptor, F_GETFD, 0) >= 0 else { return false }
        return !isGivenUnseen(descriptor)
    }

    /// Whether an unknown request may have returned a descriptor, such as a sync file.
    private func isGivenUnseen(_ descriptor: Int32) -> Bool {
        !openBefore.contains(descriptor) && isKernelObject(descriptor)
    }

    /// Whether a descriptor refers to an object without a path, such as those that requests create.
    private func isKernelObject(_ descriptor: Int32) -> Bool {
        var buffer = [CChar](repeating: 0, count: 128)
        let count = sys_readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
        guard count > 0 else { return false }
        let name = String(decoding: buffer[..<min(count, buffer.count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.hasPrefix("anon_inode:") || name.hasPrefix("/dmabuf:")
    }

    /// See ``SystemCalls``.
    public func ioctl(_ descriptor: Int32, _ request: UInt, _ argument: IoctlArgument) -> Int {
        let given = argument.descriptors(request, .output)
        let free = Request.isKnown(request) ? -1 : lowestFree()
        let result: Int
        switch argument {
        case .none: result = sys_ioctl_value(descriptor, request, 0)
        case .value(let value): result = sys_ioctl_value(descriptor, request, value)
        case .memory(let bytes): result = sys_ioctl_pointer(descriptor, request, bytes.baseAddress)
        }
        if result >= 0, Request.givesDescriptors(request) {
            noteDescriptor(result, from: request, argument)
            // A descriptor that was in the argument before the call is not new.
            for new in argument.descriptors(request, .output) where !given.contains(new) { note(new, "ioctl") }
            if free >= 0, result == free { note(free, "ioctl") }
        }
        return result
    }

    private func note(_ descriptor: Int32, _ name: String) {
        if openFiles[descriptor] == nil, sys_fcntl(descriptor, F_GETFD, 0) >= 0 { openFiles[descriptor] = name }
    }

    /// The number that the next descriptor will get. An unknown request that returns it has created a descriptor.
    private func lowestFree() -> Int32 {
        let result = sys_eventfd(0)
        if result >= 0 { _ = sys_close(Int32(truncatingIfNeeded: result)) }
        return Int32(truncatingIfNeeded: result)
    }

    /// Notes descriptors that a request returned as its result.
    private func noteDescriptor(_ result: Int, from request: UInt, _ argument: IoctlArgument) {
        let descriptor = Int32(truncatingIfNeeded: result)
        switch Int(truncatingIfNeeded: request) {
        case VFIO_GROUP_GET_DEVICE_FD: note(descriptor, "vfio device")
        case VFIO_DEVICE_FEATURE:
            guard case .memory(let bytes) = argument, bytes.count >= 8,
                bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
                    == UInt32(VFIO_DEVICE_FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET)
            else { return }
            note(descriptor, "dma-buf")
        case LiveKernel.createBuffer, LiveKernel.createBuffers: note(descriptor, "dma-buf")
        default: break
        }
    }

    /// include/uapi/linux/udmabuf.h
    private static let createBuffer = 0x4018_7542, createBuffers = 0x4008_7543

    /// See ``SystemCalls``.
    public func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        sys_read(descriptor, buffer.baseAddress, buffer.count)
    }

    /// See ``SystemCalls``.
    public func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        sys_write(descriptor, buffer.baseAddress, buffer.count)
    }

    /// See ``SystemCalls``.
    public func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        sys_pread(descriptor, buffer.baseAddress, buffer.count, offset)
    }

    /// See ``SystemCalls``.
    public func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        sys_pwrite(descriptor, buffer.baseAddress, buffer.count, offset)
    }

    /// See ``SystemCalls``.
    public func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        sys_lseek(descriptor, offset, whence)
    }

    /// See ``SystemCalls``.
    public func memfd(flags: UInt32) -> Int { noted(sys_memfd(flags), "memfd") }

    /// See ``SystemCalls``.
    public func truncate(_ descriptor: Int32, _ length: Int64) -> Int { sys_ftruncate(descriptor, length) }

    /// See ``SystemCalls``.
    public func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        let result = sys_fcntl(descriptor, command, argument)
        let duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC
        return duplicates ? noted(result, openFiles[descriptor] ?? "duplicate") : result
    }

    /// See ``SystemCalls``.
    public func poll(_ descriptor: Int32, _ events: Int16) -> Int { sys_poll(descriptor, events) }

    /// See ``SystemCalls``.
    public func eventfd(_ count: UInt32) -> Int { noted(sys_eventfd(count), "eventfd") }

    private func noted(_ result: Int, _ name: String) -> Int {
        if result >= 0 { openFiles[Int32(truncatingIfNeeded: result)] = name }
        return result
    }

    /// See ``SystemCalls``.
    public func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        var address: UnsafeMutableRawPointer?
        let result = sys_mmap(&address, length, protection, flags, descriptor, offset)
        guard result >= 0, let address else { throw Errno(result: result) ?? Errno(ENOMEM) }
        mappings[address] = length
        return address
    }

    /// See ``SystemCalls``.
    public func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int {
        mappings[address] = nil
        return sys_munmap(address, length)
    }

    /// See ``SystemCalls``.
    public func fsync(_ descriptor: Int32) -> Int { sys_fsync(descriptor) }

    /// See ``SystemCalls``.
    public func mkdir(_ path: String) -> Int { sys_mkdir(path) }

    /// See ``SystemCalls``.
    public func rename(_ path: String, to other: String) -> Int { sys_rename(path, other) }

    /// See ``SystemCalls``.
    public func unlink(_ path: String) -> Int { sys_unlink(path) }

    /// See ``SystemCalls``.
    public func readlink(_ path: String) throws(Errno) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = sys_readlink(path, &buffer, buffer.count)
        if let errno = Errno(result: count) { throw errno }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// See ``SystemCalls``.
    public func list(_ path: String) throws(Errno) -> [String] {
        guard let directory = opendir(path) else { throw Errno(Glibc.errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = Glibc.readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// See ``SystemCalls``.
    public func monotonic() -> UInt64 { sys_monotonic() }

    /// See ``SystemCalls``.
    public func sleep(nanoseconds: UInt64, stop: UnsafePointer<Int32>?) -> Int {
        guard let stop else { return sys_sleep(nanoseconds) }
        // Waits in short steps: a signal wakes only one thread, and may come just before this one sleeps.
        let end = sys_monotonic().addingReportingOverflow(nanoseconds)
        let last = end.overflow ? .max : end.partialValue
        while stop.pointee == 0 {
            let now = sys_monotonic()
            guard now < last else { return 0 }
            let result = sys_sleep(min(last - now, 50_000_000))
            guard result == 0 else { return result }
        }
        return -Int(EINTR)
    }
}

extension IoctlArgument {
    /// Descriptors in these bytes, by the known requests of that number.
    fileprivate func descriptors(_ request: UInt, _ direction: Field.Direction) -> [Int32] {
        guard case .memory(let bytes) = self else { return [] }
        return Request.descriptors(request, in: UnsafeRawBufferPointer(bytes), direction)
    }
}
