/// Passes every call on to another kernel and writes a line about it, as strace would: name, decoded arguments, result,
/// duration in seconds. Reading sysfs and proc is left out: it changes nothing and would bury the rest.
public final class TracingKernel: Kernel {
    private let kernel: any Kernel
    private let emit: (String) -> Void
    /// How requests are decoded; the TPH feature is added to it once its ABI is known.
    public var decoder = Decoder()
    private var files: [Int32: (kind: FileKind, name: String)] = [:]
    private var hidden: Set<Int32> = []

    /// Traces `kernel`; `emit` gets each line, without a newline.
    public init(_ kernel: any Kernel, emit: @escaping (String) -> Void) {
        self.kernel = kernel
        self.emit = emit
    }

    /// See ``Kernel/notModelled``.
    public var notModelled: [(call: String, count: Int)] { kernel.notModelled }
    /// See ``Kernel/open``.
    public var open: [String] { kernel.open }

    private func label(_ descriptor: Int32) -> String {
        files[descriptor].map { "\(descriptor)<\($0.name)>" } ?? String(descriptor)
    }

    private func seconds(since start: UInt64) -> String {
        let elapsed = (kernel.monotonic() &- start) / 1000
        let micros = String(elapsed % 1_000_000)
        return "<\(elapsed / 1_000_000)." + String(repeating: "0", count: 6 - micros.count) + micros + ">"
    }

    private func line(_ call: String, _ result: String, since start: UInt64) {
        emit("\(call) = \(result) \(seconds(since: start))")
    }

    private func result(_ value: Int, hexadecimal: Bool = false) -> String {
        guard let errno = Errno(result: value) else { return hexadecimal ? hex(value) : String(value) }
        return "-1 \(errno.name) (\(errno.message))"
    }

    private func traced(_ call: @autoclosure () -> String, _ body: () -> Int) -> Int {
        let start = kernel.monotonic()
        let value = body()
        line(call(), result(value), since: start)
        return value
    }

    private func kind(of path: String) -> FileKind {
        if path == "/dev/vfio/vfio" { return .container }
        if path.hasPrefix("/dev/vfio/devices/") { return .device }
        if path.hasPrefix("/dev/vfio/") { return .group }
        return path == "/dev/iommu" ? .iommufd : .other
    }

    private func isHidden(_ path: String) -> Bool { path.hasPrefix("/sys/") || path.hasPrefix("/proc/") }

    /// Writes a comment, such as the name of the case that begins.
    public func note(_ text: String) { emit("# " + text) }

    // MARK: System calls

    /// See ``SystemCalls``.
    public func open(_ path: String, flags: Int32) -> Int {
        if isHidden(path) {
            let value = kernel.open(path, flags: flags)
            if value >= 0 { hidden.insert(Int32(value)) }
            return value
        }
        let text = Request.openFlags.text(UInt64(UInt32(bitPattern: flags)))
        let value = traced("open(\"\(path)\", \(text))") { kernel.open(path, flags: flags) }
        if value >= 0 { files[Int32(value)] = (kind(of: path), path) }
        return value
    }

    /// See ``SystemCalls``.
    public func close(_ descriptor: Int32) -> Int {
        if hidden.remove(descriptor) != nil { return kernel.close(descriptor) }
        let name = label(descriptor)
        files[descriptor] = nil
        return traced("close(\(name))") { kernel.close(descriptor) }
    }

    /// See ``SystemCalls``.
    public func ioctl(_ descriptor: Int32, _ number: UInt, _ argument: IoctlArgument) -> Int {
        let request = Request.find(number, on: files[descriptor]?.kind ?? .other)
        let input = request.map { decoder.input($0, argument) } ?? Decoder.raw(argument)
        let start = kernel.monotonic()
        let value = kernel.ioctl(descriptor, number, argument)
        var text = input
        if value >= 0, let output = request.flatMap({ decoder.output($0, argument) }) { text += " => \(output)" }
        line("ioctl(\(label(descriptor)), \(request?.name ?? hex(number)), \(text))", result(value), since: start)
        if value >= 0 { remember(value, of: request, argument) }
        return value
    }

    /// A descriptor that an ioctl returned is named by what it was asked for.
    private func remember(_ value: Int, of request: Request?, _ argument: IoctlArgument) {
        switch request?.result {
        case .descriptor(let kind): files[Int32(value)] = (kind, kind.rawValue)
        case .feature:
            guard case .memory(let bytes) = argument,
                decoder.featureName(UnsafeRawBufferPointer(bytes)) == "DMA_BUF GET"
            else { return }
            files[Int32(value)] = (.dmabuf, FileKind.dmabuf.rawValue)
        default: break
        }
    }

    /// See ``SystemCalls``.
    public func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        if hidden.contains(descriptor) { return kernel.read(descriptor, buffer) }
        return traced("read(\(label(descriptor)), \(buffer.count))") { kernel.read(descriptor, buffer) }
    }

    /// See ``SystemCalls``.
    public func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        traced("write(\(label(descriptor)), \(Decoder.hexBytes(buffer)), \(buffer.count))") {
            kernel.write(descriptor, buffer)
        }
    }

    /// See ``SystemCalls``.
    public func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        let start = kernel.monotonic()
        let value = kernel.pread(descriptor, buffer, at: offset)
        let data = value > 0 ? Decoder.hexBytes(buffer.prefix(value)) : "<>"
        line("pread(\(label(descriptor)), \(data), \(buffer.count), \(hex(offset)))", result(value), since: start)
        return value
    }

    /// See ``SystemCalls``.
    public func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        traced("pwrite(\(label(descriptor)), \(Decoder.hexBytes(buffer)), \(buffer.count), \(hex(offset)))") {
            kernel.pwrite(descriptor, buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        traced("lseek(\(label(descriptor)), \(offset), \(whence))") { kernel.lseek(descriptor, offset, whence) }
    }

    /// See ``SystemCalls``.
    public func memfd(flags: UInt32) -> Int {
        new("memfd", "memfd_create(\"peerlab\", \(hex(flags)))") { kernel.memfd(flags: flags) }
    }

    /// See ``SystemCalls``.
    public func truncate(_ descriptor: Int32, _ length: Int64) -> Int {
        traced("ftruncate(\(label(descriptor)), \(hex(length)))") { kernel.truncate(descriptor, length) }
    }

    /// See ``SystemCalls``.
    public func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        traced("fcntl(\(label(descriptor)), \(command), \(hex(argument)))") {
            kernel.fcntl(descriptor, command, argument)
        }
    }

    /// See ``SystemCalls``.
    public func poll(_ descriptor: Int32, _ events: Int16) -> Int {
        traced("poll(\(label(descriptor)), \(hex(events)))") { kernel.poll(descriptor, events) }
    }

    /// See ``SystemCalls``.
    public func eventfd(_ count: UInt32) -> Int { new("eventfd", "eventfd(\(count))") { kernel.eventfd(count) } }

    private func new(_ name: String, _ call: String, _ body: () -> Int) -> Int {
        let value = traced(call, body)
        if value >= 0 { files[Int32(value)] = (.other, name) }
        return value
    }

    /// See ``SystemCalls``.
    public func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        let call = "mmap(NULL, \(hex(length)), \(hex(protection)), \(hex(flags)), \(label(descriptor)), \(hex(offset)))"
        let start = kernel.monotonic()
        do throws(Errno) {
            let address = try kernel.mmap(
                length: length, protection: protection, flags: flags, descriptor, at: offset)
            line(call, hex(UInt(bitPattern: address)), since: start)
            return address
        } catch {
            line(call, result(error.result), since: start)
            throw error
        }
    }

    /// See ``SystemCalls``.
    public func munmap(_ address: UnsafeMutableRawPointer, length: Int) -> Int {
        traced("munmap(\(hex(UInt(bitPattern: address))), \(hex(length)))") { kernel.munmap(address, length: length) }
    }

    /// See ``SystemCalls``.
    public func readlink(_ path: String) throws(Errno) -> String {
        try looked("readlink", path, { $0 }) { () throws(Errno) in try kernel.readlink(path) }
    }

    /// See ``SystemCalls``.
    public func list(_ path: String) throws(Errno) -> [String] {
        try looked("getdents", path, { "\($0.count) entries" }) { () throws(Errno) in try kernel.list(path) }
    }

    private func looked<Value>(
        _ name: String, _ path: String, _ text: (Value) -> String, _ body: () throws(Errno) -> Value
    ) throws(Errno) -> Value {
        if isHidden(path) { return try body() }
        let start = kernel.monotonic()
        do throws(Errno) {
            let value = try body()
            line("\(name)(\"\(path)\")", text(value), since: start)
            return value
        } catch {
            line("\(name)(\"\(path)\")", result(error.result), since: start)
            throw error
        }
    }

    /// See ``SystemCalls``; not traced.
    public func monotonic() -> UInt64 { kernel.monotonic() }

    /// See ``SystemCalls``.
    public func sleep(nanoseconds: UInt64) -> Int {
        traced("nanosleep(\(nanoseconds))") { kernel.sleep(nanoseconds: nanoseconds) }
    }

    // MARK: Verbs

    func verb<Value>(
        _ verb: Verb, _ arguments: [UInt64], _ text: (Value) -> String, _ body: (any Kernel) throws(Errno) -> Value
    ) throws(Errno) -> Value {
        let list = zip(verb.parameters, arguments).map { "\($0.name)=\($0.format.text($1))" }
        let call = "\(verb.name)(\(list.joined(separator: ", ")))"
        let start = kernel.monotonic()
        do throws(Errno) {
            let value = try body(kernel)
            line(call, text(value), since: start)
            return value
        } catch {
            line(call, result(error.result), since: start)
            throw error
        }
    }
}
