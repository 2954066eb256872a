/// A call of the seam with its answer, for traces and records.
public struct Operation: Sendable {
    /// An input or output value.
    public indirect enum Value: Sendable {
        /// A number, sign-extended where it is signed.
        case number(UInt64, Format)
        /// A name from the record (see `Symbols`) and a byte offset from it.
        case symbol(String, UInt64)
        /// A path or a name.
        case text(String)
        /// Bytes of memory.
        case bytes([UInt8])
        /// Bytes that were too many to store: their 64-bit FNV-1a and their number.
        case digest(UInt64, Int)
        /// The bytes that an address in this process points to, and the address, which is meaningless elsewhere.
        case pointer([UInt8], UInt64)
        /// A structure's members in order.
        case structure([Member])
        /// Elements in order.
        case list([Value])
    }

    /// A named value.
    public struct Member: Sendable {
        /// The C name.
        public var name: String
        /// Its value.
        public var value: Value

        /// From its parts.
        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    /// The function.
    public let signature: Signature
    /// The ioctl's row in ``Request/all``; nil for other calls and for unknown numbers.
    public var request: Request?
    /// Its name in fault plans; for an ioctl, its request.
    public var name: String
    /// One for each parameter.
    public var arguments: [Value]
    /// The result of a success.
    public var result = Value.number(0, .decimal)
    /// Further outputs, by name.
    public var outputs: [Member] = []
    /// The errno; nil for a success.
    public var errno: Errno?
    /// Whether a fault plan injected the errno.
    public var isInjected = false
    /// When it began, by ``SystemCalls/monotonic()``.
    public var start: UInt64 = 0
    /// Its duration, nanoseconds.
    public var duration: UInt64 = 0
    /// Its reserved position in the record, for an operation whose effects are visible before it returns; see
    /// ``TracingKernel/recordBegins``.
    public var ticket: Int?
    /// How often it was repeated, with pauses, until it gave this answer.
    public var times = 1

    /// A call that has not been made.
    public init(_ signature: Signature, _ arguments: [Value]) {
        self.signature = signature
        self.arguments = arguments
        name = signature.name
    }
}

/// Defines how values become text.
public protocol OperationNames {
    /// The name written in place of a number; nil for digits. `isResult`: the value is an output.
    func name(of value: UInt64, _ format: Format, in operation: Operation, isResult: Bool) -> String?
    /// Most bytes and elements that are written.
    var limits: (bytes: Int, elements: Int) { get }
}

extension Operation {
    /// "ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, {size=12, flags=0} => {out_ioas_id=1}) = 0", in the style of strace.
    public func text(_ names: some OperationNames) -> String {
        var parts: [String] = []
        for (parameter, value) in zip(signature.parameters, arguments) {
            let text = self.text(value, names)
            parts.append(signature.namesParameters ? "\(parameter.name)=\(text)" : text)
        }
        var after = ""
        if !outputs.isEmpty {
            let text = self.text(.structure(outputs), names, isResult: true)
            if signature.name == Signature.ioctl.name {
                parts.append("\(parts.removeLast()) => \(text)")
            } else {
                after = " " + text
            }
        }
        return "\(signature.name)(\(parts.joined(separator: ", "))) = \(answer(names))\(after)"
    }

    private func answer(_ names: some OperationNames) -> String {
        guard let errno else { return text(result, names, isResult: true) }
        return "-1 \(errno.name) (\(errno.message))" + (isInjected ? " (injected)" : "")
    }

    /// A value in the operation's text.
    public func text(_ value: Value, _ names: some OperationNames, isResult: Bool = false) -> String {
        switch value {
        case .number(let number, let format):
            names.name(of: number, format, in: self, isResult: isResult) ?? format.text(number)
        case .symbol(let name, let offset): offset == 0 ? name : "\(name)+\(hex(offset))"
        case .text(let text): Operation.quoted(text)
        case .bytes(let bytes): Operation.text(bytes, names.limits.bytes)
        case .digest(let hash, let count): "<#" + String(hash, radix: 16) + "*\(count)>"
        case .pointer(let bytes, _): "&" + Operation.text(bytes, names.limits.bytes)
        case .structure(let members):
            "{" + members.map { "\($0.name)=\(text($0.value, names, isResult: isResult))" }.joined(separator: ", ")
                + "}"
        case .list(let values):
            "["
                + (values.prefix(names.limits.elements).map { text($0, names, isResult: isResult) }
                + (values.count > names.limits.elements ? ["..."] : [])).joined(separator: ", ") + "]"
        }
    }

    /// Bytes as hex pairs, at most `limit` of them; four or more alike in a row as "00*16".
    static func text(_ bytes: some Collection<UInt8>, _ limit: Int) -> String {
        var parts: [String] = []
        var rest = bytes.prefix(limit)[...]
        while let byte = rest.first {
            let run = rest.prefix { $0 == byte }.count
            rest = rest.dropFirst(run)
            let pair = hexDigits(byte, width: 2)
            if run >= 4 { parts.append("\(pair)*\(run)") } else { parts += Array(repeating: pair, count: run) }
        }
        if bytes.count > limit { parts.append("...") }
        return "<" + parts.joined(separator: " ") + ">"
    }

    /// Quoted; bytes outside printable ASCII become \xNN.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): result += "\\" + String(UnicodeScalar(byte))
            case 10: result += "\\n"
            case 0x20..<0x7f: result += String(UnicodeScalar(byte))
            default: result += "\\x" + hexDigits(byte, width: 2)
            }
        }
        return result + "\""
    }
}
