import CKernel

/// Forwards every call to another kernel. For each it emits a line of a trace in the style of strace, and an
/// ``Operation`` for a record; calls that a fault plan names are refused. Reads of sysfs and procfs are excluded from
/// all three: they change nothing, and there are many.
public final class TracingKernel: Kernel {
    let kernel: any Kernel
    private let trace: ((String) -> Void)?
    /// Called with each operation once it has ended; nil where nothing is recorded. Set it before the first call.
    public var record: ((Operation) -> Void)? {
        didSet {
            dataPath?.end()
            dataPath = record == nil ? nil : DataPathRecord(self)
        }
    }
    /// Reserves a position in the record for an operation whose effects are visible before it returns (posting work).
    public var recordBegins: (() -> Int)?
    /// Called when the number and layout of a feature become known.
    public var recordFeature: ((Feature) -> Void)?
    /// Calls to refuse; nil for none.
    public var faults: FaultPlan?
    /// While true, the fault plan is ignored: peerlab itself tests the bench's abilities.
    public var isProbing = false
    /// Number of calls that a plan has refused.
    public private(set) var callsRefused = 0
    /// How requests are decoded; see ``know(_:)``.
    private var decoder = Decoder()
    private var files = DescriptorNames()
    private var hidden: Set<Int32> = []
    /// Set while recording: records posts and polls of data loops, which do not go through this object.
    private(set) var dataPath: DataPathRecord?

    /// Traces `kernel`; `emit` gets each line, without a line end. Without `emit` there is no trace.
    public init(_ kernel: any Kernel, emit: ((String) -> Void)? = nil) {
        self.kernel = kernel
        trace = emit
    }

    deinit { dataPath?.end() }

    /// See ``Kernel/refusal``.
    public var refusal: Errno? { kernel.refusal }
    /// See ``Kernel/notModelled``.
    public var notModelled: [(call: String, count: Int)] { kernel.notModelled }
    /// See ``Kernel/open``.
    public var open: [String] { kernel.open }
    /// See ``Kernel/isForeign(_:)``.
    public func isForeign(_ descriptor: Int32) -> Bool { kernel.isForeign(descriptor) }
    /// See ``Kernel/tlps``.
    public var tlps: TLPLog? { get throws(Failure) { try kernel.tlps } }
    /// See ``Kernel/clearTLPs()``.
    public func clearTLPs() throws(Failure) -> Bool { try kernel.clearTLPs() }
    /// See ``Kernel/inject(_:)``.
    public func inject(_ fault: CompletionFault) -> Bool { kernel.inject(fault) }
    /// See ``Kernel/clearCompletionFaults()``.
    public func clearCompletionFaults() -> [String] { kernel.clearCompletionFaults() }
    /// See ``Kernel/whenIdle(_:)``.
    public func whenIdle(_ action: (() -> Void)?) { kernel.whenIdle(action) }
    /// See ``SystemCalls``; not traced.
    public func monotonic() -> UInt64 { kernel.monotonic() }

    /// Writes a comment, such as the name of the case that begins.
    public func note(_ text: String) { trace?("# " + PrintableText.line(text)) }

    /// Decodes a feature from now on.
    public func know(_ feature: Feature) {
        decoder.add(feature)
        recordFeature?(feature)
    }

    // MARK: Tracing and injection

    /// Whether calls are traced or recorded.
    var watches: Bool { trace != nil || record != nil }

    /// Traces and records a call that has ended.
    func emit(_ operation: Operation) {
        if let trace {
            let elapsed = " <\(secondsText(nanoseconds: operation.duration))>"
            trace(operation.text(files) + (operation.isInjected ? "" : elapsed))
        }
        record?(operation)
    }

    /// Operations whose latest call the fault plan refused, with the errno.
    private var injected: [String: Errno] = [:]

    /// Whether the fault plan caused the latest error of that operation, so that no other cause need be looked for.
    public func wasInjected(_ operation: String, _ code: Int32) -> Bool { injected[operation]?.code == code }

    /// The errno that the fault plan injects for a call, after tracing and recording it; nil where the call is to be
    /// made.
    private func refusal(of operation: inout Operation) -> Errno? {
        guard !isProbing, let errno = faults?.refusal(of: operation.name) else {
            injected[operation.name] = nil
            return nil
        }
        callsRefused += 1
        injected[operation.name] = errno
        operation.errno = errno
        operation.isInjected = true
        operation.start = watches ? kernel.monotonic() : 0
        if watches { emit(operation) }
        return errno
    }

    /// Makes a call, traces and records it.
    /// - Parameters:
    ///   - answer: adds the results of a success to the operation.
    ///   - refused: adds outputs that the call has despite an error.
    func call<Value>(
        _ operation: @autoclosure () -> Operation, _ answer: (Value, inout Operation) -> Void = { _, _ in },
        refused: (inout Operation) -> Void = { _ in }, _ body: () throws(Errno) -> Value
    ) throws(Errno) -> Value {
        guard watches || faults != nil else { return try body() }
        var operation = operation()
        if let refusal = refusal(of: &operation) { throw refusal }
        guard watches else { return try body() }
        operation.start = kernel.monotonic()
        if operation.signature.isPost { operation.ticket = recordBegins?() }
        do throws(Errno) {
            let value = try body()
            operation.duration = kernel.monotonic() &- operation.start
            answer(value, &operation)
            emit(operation)
            return value
        } catch {
            operation.duration = kernel.monotonic() &- operation.start
            operation.errno = error
            refused(&operation)
            emit(operation)
            throw error
        }
    }

    /// The same for a system call, whose result is a number or a negated errno.
    func system(
        _ operation: @autoclosure () -> Operation, _ answer: (Int, inout Operation) -> Void = { _, _ in },
        refused: (inout Operation) -> Void = { _ in }, _ body: () -> Int
    ) -> Int {
        guard watches || faults != nil else { return body() }
        let answered = { (value: Int, operation: inout Operation) in
            operation.result = .number(UInt64(value), operation.signature.result)
            answer(value, &operation)
        }
        do throws(Errno) {
            return try call(operation(), answered, refused: refused) { () throws(Errno) in
                let value = body()
                if let errno = Errno(result: value) {
                    let refusal = kernel.refusal
                    throw refusal == errno ? refusal ?? errno : errno
                }
                return value
            }
        } catch {
            return error.result
        }
    }

    /// An operation whose arguments are numbers.
    func numbers(_ signature: Signature, _ values: [UInt64]) -> Operation {
        Operation(signature, zip(signature.parameters, values).map { .number($1, $0.format) })
    }

    func isHidden(_ descriptor: Int32) -> Bool { hidden.contains(descriptor) }
    /// Whether a descriptor is a file of sysfs.
    func isOfText(_ descriptor: Int32) -> Bool { files.path(descriptor).map(isHidden) ?? false }
    func remember(_ descriptor: Int32, _ name: String) { files.set(descriptor, .other, name) }
    func isHidden(_ path: String) -> Bool { path.hasPrefix("/sys/") || path.hasPrefix("/proc/") }

    // MARK: System calls

    /// See ``SystemCalls``.
    public func open(_ path: String, flags: Int32) -> Int {
        if isHidden(path), flags & 3 == 0 {
            let value = kernel.open(path, flags: flags)
            if value >= 0 { hidden.insert(Int32(value)) }
            return value
        }
        let arguments = [Operation.Value.text(path), .number(UInt64(UInt32(bitPattern: flags)), Request.openFlags)]
        return system(Operation(.open, arguments)) { value, _ in
            files.set(Int32(value), FileKind(opening: path), path)
        } _: {
            kernel.open(path, flags: flags)
        }
    }

    /// See ``SystemCalls``. One that the plan refuses is made all the same: the descriptor is gone whatever the result.
    public func close(_ descriptor: Int32) -> Int {
        if hidden.remove(descriptor) != nil { return kernel.close(descriptor) }
        defer { files.forget(descriptor) }
        var wasMade = false
        let value = system(numbers(.close, [signed(descriptor)])) {
            wasMade = true
            return kernel.close(descriptor)
        }
        guard !wasMade else { return value }
        let made = kernel.close(descriptor)
        return made < 0 ? made : value
    }

    /// See ``SystemCalls``.
    public func ioctl(_ descriptor: Int32, _ number: UInt, _ argument: IoctlArgument) -> Int {
        guard watches || faults != nil else { return kernel.ioctl(descriptor, number, argument) }
        let request = Request.find(number, on: files.kind(descriptor))
        let before: [UInt8] = if case .memory(let bytes) = argument, watches { Array(bytes) } else { [] }
        let value = system(operation(descriptor, number, request, argument)) { value, operation in
            if let request { operation.result = .number(UInt64(value), result(of: request, argument)) }
            remember(value, of: request, argument)
            operation.outputs += outputs(request, before, argument, changedOnly: false)
        } refused: { operation in
            if !operation.isInjected { operation.outputs = outputs(request, before, argument, changedOnly: true) }
        } _: {
            kernel.ioctl(descriptor, number, argument)
        }
        return value
    }

    private func operation(
        _ descriptor: Int32, _ number: UInt, _ request: Request?, _ argument: IoctlArgument
    ) -> Operation {
        let name = request.map { Format.names([.init(Int($0.number), $0.name)]) } ?? .hexadecimal
        var operation = Operation(
            .ioctl,
            [
                .number(signed(descriptor), .descriptor), .number(UInt64(number), name),
                watches ? decoder.argument(request, argument, reading: record != nil) : .number(0, .decimal),
            ])
        operation.request = request
        // Fault plans name known requests; others have their number as name.
        operation.name = request.map { decoder.operation($0, argument) } ?? hex(number)
        return operation
    }

    private func outputs(
        _ request: Request?, _ before: [UInt8], _ argument: IoctlArgument, changedOnly: Bool
    ) -> [Operation.Member] {
        guard let request, case .memory(let bytes) = argument else { return [] }
        return decoder.outputs(
            request, before: before, UnsafeRawBufferPointer(bytes), changedOnly: changedOnly,
            reading: record != nil)
    }

    private func result(of request: Request, _ argument: IoctlArgument) -> Format {
        switch request.result {
        case .zero, .value: .decimal
        case .descriptor: .descriptor
        case .feature: isExport(argument) ? .descriptor : .decimal
        }
    }

    private func isExport(_ argument: IoctlArgument) -> Bool {
        guard case .memory(let bytes) = argument else { return false }
        return decoder.featureName(UnsafeRawBufferPointer(bytes)) == "DMA_BUF GET"
    }

    /// Names a descriptor that an ioctl returned, by its request.
    private func remember(_ value: Int, of request: Request?, _ argument: IoctlArgument) {
        switch request?.result {
        case .descriptor(let kind): files.set(Int32(value), kind, kind.rawValue)
        case .feature where isExport(argument): files.set(Int32(value), .dmabuf, FileKind.dmabuf.rawValue)
        default: break
        }
    }
}

/// Names of descriptors in traces: the opened path.
struct DescriptorNames: OperationNames {
    private var files: [Int32: (kind: FileKind, name: String)] = [:]
    var limits: (bytes: Int, elements: Int) { (64, 8) }

    mutating func set(_ descriptor: Int32, _ kind: FileKind, _ name: String) { files[descriptor] = (kind, name) }
    mutating func forget(_ descriptor: Int32) { files[descriptor] = nil }
    func path(_ descriptor: Int32) -> String? { files[descriptor]?.name }
    func kind(_ descriptor: Int32) -> FileKind { files[descriptor]?.kind ?? .other }

    func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String? {
        guard !isResult, case .descriptor = format, let file = files[Int32(truncatingIfNeeded: value)] else {
            return nil
        }
        return "\(Int64(bitPattern: value))<\(file.name)>"
    }
}

func signed(_ value: Int32) -> UInt64 { UInt64(bitPattern: Int64(value)) }

func address<Pointee>(_ pointer: UnsafeMutablePointer<Pointee>?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }
func address(_ pointer: UnsafeMutableRawPointer?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }
