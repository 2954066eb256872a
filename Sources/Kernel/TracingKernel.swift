/// Passes every call on to another kernel and writes a line about it, as strace would: name, decoded arguments, result,
/// duration in seconds; and refuses those that a plan names. Reading sysfs and proc is left out of both: it changes
/// nothing and would bury the rest.
public final class TracingKernel: Kernel {
    private let kernel: any Kernel
    private let emit: ((String) -> Void)?
    /// Which calls are refused instead of being made; nil for none.
    public var faults: FaultPlan?
    /// How many calls a plan has refused so far.
    public private(set) var callsRefused = 0
    /// How requests are decoded; the TPH feature is added to it once its ABI is known.
    public var decoder = Decoder()
    private var files: [Int32: (kind: FileKind, name: String)] = [:]
    private var hidden: Set<Int32> = []

    /// Traces `kernel`; `emit` gets each line, without a newline. Without it nothing is written, and only a plan matters.
    public init(_ kernel: any Kernel, emit: ((String) -> Void)? = nil) {
        self.kernel = kernel
        self.emit = emit
    }

    /// See ``Kernel/notModelled``.
    public var notModelled: [(call: String, count: Int)] { kernel.notModelled }
    /// See ``Kernel/open``.
    public var open: [String] { kernel.open }
    /// See ``Kernel/tlps``.
    public var tlps: TLPLog? { kernel.tlps }
    /// See ``Kernel/clearTLPs()``.
    public func clearTLPs() { kernel.clearTLPs() }
    /// See ``Kernel/whenIdle(_:)``.
    public func whenIdle(_ action: (() -> Void)?) { kernel.whenIdle(action) }

    private func label(_ descriptor: Int32) -> String {
        files[descriptor].map { "\(descriptor)<\($0.name)>" } ?? String(descriptor)
    }

    private func seconds(since start: UInt64) -> String {
        let elapsed = (kernel.monotonic() &- start) / 1000
        let micros = String(elapsed % 1_000_000)
        return "<\(elapsed / 1_000_000)." + String(repeating: "0", count: 6 - micros.count) + micros + ">"
    }

    /// When a call began; not asked for where nothing is written.
    private func start() -> UInt64 { emit == nil ? 0 : kernel.monotonic() }

    private func line(_ call: @autoclosure () -> String, _ result: @autoclosure () -> String, since start: UInt64) {
        emit?("\(call()) = \(result()) \(seconds(since: start))")
    }

    /// The answer that the plan has for a call; its line is written here.
    private func refusal(of operation: String, _ call: @autoclosure () -> String) -> Errno? {
        guard let errno = faults?.refusal(of: operation) else { return nil }
        callsRefused += 1
        emit?("\(call()) = \(result(errno.result)) (injected)")
        return errno
    }

    private func result(_ value: Int, hexadecimal: Bool = false) -> String {
        guard let errno = Errno(result: value) else { return hexadecimal ? hex(value) : String(value) }
        return "-1 \(errno.name) (\(errno.message))"
    }

    private func traced(_ operation: String, _ call: @autoclosure () -> String, _ body: () -> Int) -> Int {
        if let refusal = refusal(of: operation, call()) { return refusal.result }
        return timed(call(), body)
    }

    private func timed(_ call: @autoclosure () -> String, _ body: () -> Int) -> Int {
        let start = start()
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
    /// O_ACCMODE
    private func isForReading(_ flags: Int32) -> Bool { flags & 3 == 0 }

    /// Writes a comment, such as the name of the case that begins.
    public func note(_ text: String) { emit?("# " + text) }

    // MARK: System calls

    /// See ``SystemCalls``.
    public func open(_ path: String, flags: Int32) -> Int {
        if isHidden(path), isForReading(flags) {
            let value = kernel.open(path, flags: flags)
            if value >= 0 { hidden.insert(Int32(value)) }
            return value
        }
        let text = emit == nil ? "" : Request.openFlags.text(UInt64(UInt32(bitPattern: flags)))
        let value = traced("open", "open(\"\(path)\", \(text))") { kernel.open(path, flags: flags) }
        if value >= 0 { files[Int32(value)] = (kind(of: path), path) }
        return value
    }

    /// See ``SystemCalls``. One that the plan refuses is made all the same: the descriptor is gone whatever the result.
    public func close(_ descriptor: Int32) -> Int {
        if hidden.remove(descriptor) != nil { return kernel.close(descriptor) }
        let name = label(descriptor)
        files[descriptor] = nil
        if let refusal = refusal(of: "close", "close(\(name))") {
            let value = kernel.close(descriptor)
            return value < 0 ? value : refusal.result
        }
        return timed("close(\(name))") { kernel.close(descriptor) }
    }

    /// See ``SystemCalls``.
    public func ioctl(_ descriptor: Int32, _ number: UInt, _ argument: IoctlArgument) -> Int {
        let request = Request.find(number, on: files[descriptor]?.kind ?? .other)
        let input = emit == nil ? "" : request.map { decoder.input($0, argument) } ?? Decoder.raw(argument)
        let call = { (text: String) in
            "ioctl(\(self.label(descriptor)), \(request?.name ?? hex(number)), \(text))"
        }
        if faults != nil, let request,
            let refusal = refusal(of: decoder.operation(request, argument), call(input))
        {
            return refusal.result
        }
        let start = start()
        let value = kernel.ioctl(descriptor, number, argument)
        if emit != nil {
            var text = input
            if value >= 0, let output = request.flatMap({ decoder.output($0, argument) }) { text += " => \(output)" }
            line(call(text), result(value), since: start)
        }
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
        return traced("read", "read(\(label(descriptor)), \(buffer.count))") { kernel.read(descriptor, buffer) }
    }

    /// See ``SystemCalls``.
    public func write(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
        // What sysfs takes is text.
        func data() -> String {
            files[descriptor].map { isHidden($0.name) } == true ? Decoder.quoted(buffer) : Decoder.hexBytes(buffer)
        }
        return traced("write", "write(\(label(descriptor)), \(data()), \(buffer.count))") {
            kernel.write(descriptor, buffer)
        }
    }

    /// See ``SystemCalls``.
    public func pread(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        let call = { (data: String) in "pread(\(self.label(descriptor)), \(data), \(buffer.count), \(hex(offset)))" }
        if let refusal = refusal(of: "pread", call("<>")) { return refusal.result }
        let start = start()
        let value = kernel.pread(descriptor, buffer, at: offset)
        line(call(value > 0 ? Decoder.hexBytes(buffer.prefix(value)) : "<>"), result(value), since: start)
        return value
    }

    /// See ``SystemCalls``.
    public func pwrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        traced("pwrite", "pwrite(\(label(descriptor)), \(Decoder.hexBytes(buffer)), \(buffer.count), \(hex(offset)))") {
            kernel.pwrite(descriptor, buffer, at: offset)
        }
    }

    /// See ``SystemCalls``.
    public func lseek(_ descriptor: Int32, _ offset: Int64, _ whence: Int32) -> Int {
        traced("lseek", "lseek(\(label(descriptor)), \(offset), \(whence))") {
            kernel.lseek(descriptor, offset, whence)
        }
    }

    /// See ``SystemCalls``.
    public func memfd(flags: UInt32) -> Int {
        new("memfd", "memfd_create", "memfd_create(\"peerlab\", \(hex(flags)))") { kernel.memfd(flags: flags) }
    }

    /// See ``SystemCalls``.
    public func truncate(_ descriptor: Int32, _ length: Int64) -> Int {
        traced("ftruncate", "ftruncate(\(label(descriptor)), \(hex(length)))") { kernel.truncate(descriptor, length) }
    }

    /// See ``SystemCalls``.
    public func fcntl(_ descriptor: Int32, _ command: Int32, _ argument: Int) -> Int {
        traced("fcntl", "fcntl(\(label(descriptor)), \(command), \(hex(argument)))") {
            kernel.fcntl(descriptor, command, argument)
        }
    }

    /// See ``SystemCalls``.
    public func poll(_ descriptor: Int32, _ events: Int16) -> Int {
        traced("poll", "poll(\(label(descriptor)), \(hex(events)))") { kernel.poll(descriptor, events) }
    }

    /// See ``SystemCalls``.
    public func eventfd(_ count: UInt32) -> Int {
        new("eventfd", "eventfd", "eventfd(\(count))") { kernel.eventfd(count) }
    }

    private func new(_ name: String, _ operation: String, _ call: String, _ body: () -> Int) -> Int {
        let value = traced(operation, call, body)
        if value >= 0 { files[Int32(value)] = (.other, name) }
        return value
    }

    /// See ``SystemCalls``.
    public func mmap(length: Int, protection: Int32, flags: Int32, _ descriptor: Int32, at offset: UInt64)
        throws(Errno) -> UnsafeMutableRawPointer
    {
        let call = "mmap(NULL, \(hex(length)), \(hex(protection)), \(hex(flags)), \(label(descriptor)), \(hex(offset)))"
        if let refusal = refusal(of: "mmap", call) { throw refusal }
        let start = start()
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
        traced("munmap", "munmap(\(hex(UInt(bitPattern: address))), \(hex(length)))") {
            kernel.munmap(address, length: length)
        }
    }

    /// See ``SystemCalls``.
    public func fsync(_ descriptor: Int32) -> Int {
        traced("fsync", "fsync(\(label(descriptor)))") { kernel.fsync(descriptor) }
    }

    /// See ``SystemCalls``.
    public func mkdir(_ path: String) -> Int {
        traced("mkdir", "mkdir(\"\(path)\", 0700)") { kernel.mkdir(path) }
    }

    /// See ``SystemCalls``.
    public func rename(_ path: String, to other: String) -> Int {
        traced("rename", "rename(\"\(path)\", \"\(other)\")") { kernel.rename(path, to: other) }
    }

    /// See ``SystemCalls``.
    public func unlink(_ path: String) -> Int {
        traced("unlink", "unlink(\"\(path)\")") { kernel.unlink(path) }
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
        if let refusal = refusal(of: name, "\(name)(\"\(path)\")") { throw refusal }
        let start = start()
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
        traced("nanosleep", "nanosleep(\(nanoseconds))") { kernel.sleep(nanoseconds: nanoseconds) }
    }

    // MARK: Verbs

    func verb<Value>(
        _ verb: Verb, _ arguments: [UInt64], _ text: (Value) -> String, _ body: (any Kernel) throws(Errno) -> Value
    ) throws(Errno) -> Value {
        let call = {
            let list = zip(verb.parameters, arguments).map { "\($0.name)=\($0.format.text($1))" }
            return "\(verb.name)(\(list.joined(separator: ", ")))"
        }
        if let refusal = refusal(of: verb.name, call()) { throw refusal }
        let start = start()
        do throws(Errno) {
            let value = try body(kernel)
            line(call(), text(value), since: start)
            return value
        } catch {
            line(call(), result(error.result), since: start)
            throw error
        }
    }
}
