/// System calls other than opening, closing and ioctl. See ``SystemCalls``.
extension TracingKernel {
    private func file(_ signature: Signature, _ descriptor: Int32, _ rest: Operation.Value...) -> Operation {
        Operation(signature, [.number(signed(descriptor), .descriptor)] + rest)
    }

    private func decimal(_ value: Int) -> Operation.Value { .number(UInt64(value), .decimal) }

    /// See ``SystemCalls``.
    public func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        if isHidden(descriptor) { return kernel.read(descriptor, buffer) }
        return system(file(.read, descriptor, .bytes([]), decimal(buffer.count))) { value, operation in
            operation.arguments[1] = .bytes(Array(buffer.prefix(value)))
        } _: {
            kernel.read(descriptor, buffer)
        }
    }

    /// See ``SystemCalls``.
    public func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        // Data written to sysfs is text.
        let data =
            isOfText(descriptor)
            ? Operation.Value.text(String(decoding: buffer, as: UTF8.self)) : .bytes(Array(buffer))
        return system(file(.write, descriptor, data, decimal(buffer.count))) { kernel.write(descriptor, buffer) }
    }

    /// See ``SystemCalls``.
    public func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        if isHidden(descriptor) { return kernel.pread(descriptor, buffer, at: offset) }
        let position = Operation.Value.number(offset, .hexadecimal)
        return system(file(.pread, descriptor, .bytes([]), decimal(buffer.count), position)) { value, operation in
            operation.arguments[1] = .bytes(Array(buffer.prefix(value)))
        } _: {
            kernel.pread(descriptor, buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        let position = Operation.Value.number(offset, .hexadecimal)
        return system(file(.pwrite, descriptor, .bytes(Array(buffer)), decimal(buffer.count), position)) {
            kernel.pwrite(descriptor, buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        if isHidden(descriptor) { return kernel.lseek(descriptor, offset, whence) }
        return system(numbers(.lseek, [signed(descriptor), UInt64(bitPattern: offset), signed(whence)])) {
            kernel.lseek(descriptor, offset, whence)
        }
    }

    private func new(_ operation: @autoclosure () -> Operation, _ name: String, _ body: () -> Int) -> Int {
        system(operation()) { value, _ in
            remember(Int32(truncatingIfNeeded: value), name)
        } _: {
            body()
        }
    }

    /// See ``SystemCalls``.
    public func memfd(flags: UInt32) -> Int {
        let operation = Operation(.memfd, [.text("peerlab"), .number(UInt64(flags), .hexadecimal)])
        return new(operation, "memfd") { kernel.memfd(flags: flags) }
    }

    /// See ``SystemCalls``.
    public func eventfd(_ count: UInt32) -> Int {
        new(numbers(.eventfd, [UInt64(count)]), "eventfd") { kernel.eventfd(count) }
    }

    /// See ``SystemCalls``.
    public func truncate(_ descriptor: Int32, _ length: Int64) -> Int {
        system(numbers(.truncate, [signed(descriptor), UInt64(bitPattern: length)])) {
            kernel.truncate(descriptor, length)
        }
    }

    /// See ``SystemCalls``.
    public func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        system(numbers(.fcntl, [signed(descriptor), signed(command), UInt64(bitPattern: Int64(argument))])) {
            kernel.fcntl(descriptor, command, argument)
        }
    }

    /// See ``SystemCalls``.
    public func poll(_ descriptor: Int32, _ events: Int16) -> Int {
        system(numbers(.poll, [signed(descriptor), UInt64(UInt16(bitPattern: events))])) {
            kernel.poll(descriptor, events)
        }
    }

    /// See ``SystemCalls``.
    public func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        let values = [UInt64(bitPattern: Int64(length)), signed(protection), signed(flags), signed(descriptor), offset]
        return try call(numbers(.mmap, values)) { address, operation in
            operation.result = .number(UInt64(UInt(bitPattern: address)), .pointer)
        } _: { () throws(Errno) in
            try kernel.mmap(length: length, protection: protection, flags: flags, descriptor, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int {
        system(numbers(.munmap, [UInt64(UInt(bitPattern: address)), UInt64(bitPattern: Int64(length))])) {
            kernel.munmap(address, length: length)
        }
    }

    /// See ``SystemCalls``.
    public func fsync(_ descriptor: Int32) -> Int {
        system(numbers(.fsync, [signed(descriptor)])) { kernel.fsync(descriptor) }
    }

    /// See ``SystemCalls``.
    public func mkdir(_ path: String) -> Int {
        system(Operation(.mkdir, [.text(path), .number(0o700, .hexadecimal)])) { kernel.mkdir(path) }
    }

    /// See ``SystemCalls``.
    public func rename(_ path: String, to other: String) -> Int {
        system(Operation(.rename, [.text(path), .text(other)])) { kernel.rename(path, to: other) }
    }

    /// See ``SystemCalls``.
    public func unlink(_ path: String) -> Int {
        system(Operation(.unlink, [.text(path)])) { kernel.unlink(path) }
    }

    /// See ``SystemCalls``.
    public func readlink(_ path: String) throws(Errno) -> String {
        if isHidden(path) { return try kernel.readlink(path) }
        return try call(Operation(.readlink, [.text(path)])) { text, operation in
            operation.result = .text(text)
        } _: { () throws(Errno) in
            try kernel.readlink(path)
        }
    }

    /// See ``SystemCalls``.
    public func list(_ path: String) throws(Errno) -> [String] {
        if isHidden(path) { return try kernel.list(path) }
        return try call(Operation(.list, [.text(path)])) { names, operation in
            operation.result = .list(names.map { .text($0) })
        } _: { () throws(Errno) in
            try kernel.list(path)
        }
    }

    /// See ``SystemCalls``.
    public func sleep(nanoseconds: UInt64, stop: UnsafePointer<Int32>?) -> Int {
        system(numbers(.sleep, [nanoseconds])) { kernel.sleep(nanoseconds: nanoseconds, stop: stop) }
    }

    // MARK: Mapped memory

    /// See ``Kernel/accessed(_:)``. No call, so no line of a trace.
    public func accessed(_ access: MemoryAccess) {
        guard let record else { return }
        let address = Operation.Value.number(access.address, .pointer)
        let count = decimal(access.bytes.count)
        var operation =
            switch access.kind {
            case .load:
                Operation(.load, [address, .bytes(access.errno == nil ? Array(access.bytes) : []), count])
            case .store: Operation(.store, [address, .bytes(Array(access.bytes)), count])
            }
        operation.errno = access.errno
        operation.start = kernel.monotonic()
        record(operation)
    }
}
