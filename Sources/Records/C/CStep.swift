import Kernel

/// One operation in C: a block that makes the call, keeps what it gave, and compares its answer.
struct CStep {
    let operation: Operation
    /// Of the record's calls, from 1.
    let number: Int
    let names: CNames
    /// Where the answer shows a bug.
    let decision: Record.Decision?
    /// With one tab before each.
    private(set) var lines: [String] = []
    /// Whether the program makes the whole call, and compares all that it answered.
    private(set) var isWhole = true
    /// Of an ioctl: whether its argument is one structure alone.
    var isPlain = false

    init(_ operation: Operation, number: Int, names: CNames, decision: Record.Decision?) {
        self.operation = operation
        self.number = number
        self.names = names
        self.decision = decision
    }

    /// A step of the same operation without lines.
    var empty: CStep { CStep(operation, number: number, names: names, decision: decision) }

    var name: String { operation.name }

    mutating func write(_ file: inout CExport, _ decoder: Decoder) {
        let missing = inputs.filter { !file.hasMade($0) }
        guard missing.isEmpty else {
            let names = CText.comment(missing.joined(separator: ", "))
            lines = ["\t/* call \(number): \(CText.comment(name)) needs \(names), which nothing gave */"]
            isWhole = false
            return
        }
        lines.append("\t/* \(number). \(names.comment(operation)) */")
        // The call may not be made when the program runs: what an earlier one gave must not stand for its result.
        if case .symbol(let made, _) = operation.result, let reset = file.reset(made) { put(reset) }
        let start = lines.count
        defer { guardDescriptors(operation.inputs(decoder), from: start) }
        switch operation.signature.name {
        case "ioctl": ioctl(&file, decoder)
        case "load", "store": access(&file)
        case _ where system(&file): break
        case _ where verb(&file): break
        default: leaveOut("not in C: it is no call of libibverbs")
        }
    }

    /// A comment in place of what the program does not do.
    private mutating func leaveOut(_ reason: String) {
        put("/* \(reason) */")
        isWhole = false
    }

    /// A number that stands for a descriptor is one that the record did not open: the program's own must not get the call.
    private mutating func guardDescriptors(_ inputs: [OperationInput], from start: Int) {
        var numbers: [Int32] = []
        for case .number(let number, .descriptor) in inputs.map(\.value) {
            let descriptor = Int32(truncatingIfNeeded: number)
            if descriptor >= 0, !numbers.contains(descriptor) { numbers.append(descriptor) }
        }
        guard !numbers.isEmpty else { return }
        let call = lines[start...].map { $0.isEmpty ? "" : "\t" + $0 }
        lines.removeSubrange(start...)
        put("if (\(numbers.map { "fcntl(\($0), F_GETFD) < 0" }.joined(separator: " && "))) {")
        lines += call
        put("} else {")
        let names = numbers.map(String.init).joined(separator: ", ")
        put("\tprintf(\"call \(number): not done, as descriptor \(names) is not the record's\\n\");")
        put("\tdifferences++;")
        put("}")
    }

    /// Names of the record that go in.
    private var inputs: [String] {
        zip(operation.signature.parameters, operation.arguments).flatMap { $0.isOutput ? [] : CStep.symbols($1) }
    }

    static func symbols(_ value: Operation.Value) -> [String] {
        switch value {
        case .symbol(let name, _): [name]
        case .structure(let members): members.flatMap { symbols($0.value) }
        case .list(let values): values.flatMap(symbols)
        default: []
        }
    }

    // MARK: Text

    mutating func put(_ text: String) { lines.append(text.isEmpty ? "" : "\t" + text) }

    /// Lines that have their tabs.
    mutating func append(_ more: [String]) { lines += more }

    /// A value as an expression.
    func text(_ value: Operation.Value) -> String {
        switch value {
        case .number(let number, .descriptor): return String(Int64(bitPattern: number))
        case .number(let number, .decimal) where number <= Int32.max: return String(number)
        case .number(let number, let format):
            let digits = CText.number(number)
            switch format {
            case .names, .flags:
                let name = format.text(number)
                // Flags of open(2), by the names that each C library has.
                let names = name.split(separator: "|")
                if names.allSatisfy({ $0.hasPrefix("O_") }) { return names.joined(separator: " | ") }
                return name == digits || name == "0" ? digits : "\(digits) /* \(CText.comment(name)) */"
            default: return digits
            }
        case .symbol(let name, let offset):
            let variable = names[name]
            if name.hasPrefix("map") {
                return "(uintptr_t)\(variable)" + (offset > 0 ? " + \(CText.number(offset))" : "")
            }
            return offset > 0 ? "\(variable) + \(CText.number(offset))" : variable
        default: return "0"
        }
    }

    func argument(_ index: Int) -> String {
        operation.arguments.indices.contains(index) ? text(operation.arguments[index]) : "0"
    }

    func bytes(_ index: Int) -> [UInt8]? {
        guard operation.arguments.indices.contains(index) else { return nil }
        if case .bytes(let bytes) = operation.arguments[index] { return bytes }
        return nil
    }

    // MARK: Answers

    /// A recorded answer, below 0 for an errno; nil of a success whose number means nothing, such as a descriptor's.
    private var wanted: String? {
        if let errno = operation.errno { return "-" + errno.name }
        if case .number(let wanted, _) = operation.result { return CText.number(wanted) }
        return nil
    }

    /// Statements that compare an answer, an expression below 0 for an errno. `wanted` is the recorded one; nil of a success that
    /// later calls need. Where the answer shows a bug they need the variable `got`.
    func compared(_ name: String, _ value: String, _ wanted: String?) -> [String] {
        let name = CText.quoted(name)
        if let decision, decision.wrong.isOfCall {
            return [
                "decide(\(number), \(name), error_text(\(value)), \(decision.wrong.test(value)), \(decision.isRight(value)));"
            ]
        }
        guard let wanted else { return ["given(\(number), \(name), \(value));"] }
        return ["answer(\(number), \(name), \(value), \(wanted));"]
    }

    /// Statements that compare the answer of this call, and keep a descriptor that it gives. `value` is the call.
    mutating func answered(_ value: String, _ file: inout CExport, inBlock: Bool) {
        var lines: [String] = []
        var made: String?
        if case .symbol(let symbol, _) = operation.result { made = file.declare(symbol, "int") }
        if decision?.wrong.isOfCall ?? false {
            if value != "got" { lines += ["long got = \(value);", ""] }
            lines += compared(name, "got", nil)
            if let made { lines += ["if (got < 0)", "\tlongjmp(end, 1);", "\(made) = (int)got;"] }
            if !inBlock, value != "got" { return put(["{"] + lines.map { $0.isEmpty ? "" : "\t" + $0 } + ["}"]) }
        } else if let made {
            lines.append("\(made) = (int)given(\(number), \(CText.quoted(name)), \(value));")
        } else {
            lines += compared(name, value, wanted)
        }
        put(lines.map { inBlock && !$0.isEmpty ? "\t" + $0 : $0 })
    }

    /// The same of a value that a variable of the block has.
    mutating func answered(_ value: String, _ file: inout CExport) { answered(value, &file, inBlock: true) }

    private mutating func put(_ lines: [String]) { for line in lines { put(line) } }

    // MARK: System calls

    /// A call whose result is a number or a descriptor.
    private mutating func call(_ text: String, _ file: inout CExport) {
        answered("result(\(text))", &file, inBlock: false)
    }

    /// The statement by which the program ends where a name of the record stands for nothing.
    func stop(_ symbol: String) -> String { "stop(\(number), \(CText.quoted(names[symbol])))" }

    private mutating func system(_ file: inout CExport) -> Bool {
        switch operation.signature.name {
        case "open":
            guard case .text(let path)? = operation.arguments.first else { return false }
            let place = "paths[\(file.index(ofPath: path))]"
            guard case .symbol(let made, _) = operation.result, decision == nil else {
                call("open(\(place), \(argument(1)))", &file)
                break
            }
            let variable = file.declare(made, "int")
            put(
                file.decides
                    ? "\(variable) = (int)given(\(number), \(place), result(open(\(place), \(argument(1)))));"
                    : "\(variable) = opened(\(number), \(place), \(argument(1)));")
        case "close": call("close(\(argument(0)))", &file)
        case "lseek": call("lseek(\(argument(0)), (off_t)\(argument(1)), \(argument(2)))", &file)
        case "memfd_create": call("memfd_create(\"record\", \(argument(1)))", &file)
        case "ftruncate": call("ftruncate(\(argument(0)), (off_t)\(argument(1)))", &file)
        case "fcntl": call("fcntl(\(argument(0)), (int)\(argument(1)), \(argument(2)))", &file)
        case "eventfd": call("eventfd(\(argument(0)), EFD_CLOEXEC)", &file)
        case "nanosleep": wait()
        case "poll": pollDescriptor(&file)
        case "mmap": map(&file)
        case "munmap":
            call("munmap((void *)(\(argument(0))), \(argument(1)))", &file)
            if operation.errno == nil, case .symbol(let mapping, _)? = operation.arguments.first {
                file.noteMapping(mapping, nil)
            }
        case "read": look("read(\(argument(0)), data, sizeof(data))", &file)
        case "pread": look("pread(\(argument(0)), data, sizeof(data), (off_t)\(argument(3)))", &file)
        case "write": send("write(\(argument(0)), data, sizeof(data))", &file)
        case "pwrite": send("pwrite(\(argument(0)), data, sizeof(data), (off_t)\(argument(3)))", &file)
        case "readlink", "getdents": leaveOut("reads a folder of this machine")
        default: return false
        }
        return true
    }

    /// A minute at most: the record is untrusted. usleep(3) takes less than a second.
    private mutating func wait() {
        var microseconds: UInt64 = 0
        if case .number(let nanoseconds, _)? = operation.arguments.first {
            microseconds = min(nanoseconds / 1000, 60_000_000)
        }
        let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        if seconds > 0 { put("sleep(\(seconds));") }
        if rest > 0 || seconds == 0 { put("usleep(\(rest));") }
    }

    private mutating func pollDescriptor(_ file: inout CExport) {
        put("{")
        put("\tstruct pollfd what = { .fd = \(argument(0)), .events = (short)\(argument(1)) };")
        put("\tlong got = result(poll(&what, 1, 0));")
        put("")
        put("\tif (got >= 0)")
        put("\t\tgot = what.revents;")
        answered("got", &file)
        put("}")
    }

    private mutating func map(_ file: inout CExport) {
        put("{")
        put(
            "\tvoid *got = mmap(NULL, \(argument(0)), (int)\(argument(1)), (int)\(argument(2)), \(argument(3)), "
                + "(off_t)\(argument(4)));")
        put("")
        put(compared("mmap", "got == MAP_FAILED ? -errno : 0", wanted).map { "\t" + $0 })
        if case .symbol(let made, _) = operation.result {
            put("\t\(file.declare(made, "void *")) = got == MAP_FAILED ? NULL : got;")
            if case .number(let length, _)? = operation.arguments.first { file.noteMapping(made, length) }
        }
        put("}")
    }

    /// A plain access, of which a record may have thousands, as one statement; nil of others.
    private func plainAccess(_ data: [UInt8]) -> String? {
        guard case .symbol(let mapping, let offset)? = operation.arguments.first, operation.errno == nil,
            decision == nil, operation.times <= 1, data.count == count, count > 0
        else { return nil }
        let isLoad = operation.signature.name == "load"
        let text = CText.string(data)
        // An array leaves out zeros at its end.
        guard isLoad ? count <= CPiece.longestLoad : text.utf8.count <= CText.bytes(data).utf8.count else { return nil }
        let area = "\(CText.quoted(names[mapping])), \(names[mapping]), \(CText.number(offset))"
        return "\(isLoad ? "loaded" : "stored")(\(number), \(area), \(text), \(count));"
    }

    private var count: Int {
        if operation.arguments.count > 2, case .number(let count, _) = operation.arguments[2] {
            return Int(min(count, 1 << 26))
        }
        return 0
    }

    /// A read. Where the recorded script polled (`times` > 1), repeats it for up to 5 s until it gives the recorded bytes.
    private mutating func look(_ text: String, _ file: inout CExport) {
        let wanted = operation.errno == nil ? bytes(1).flatMap { $0.count <= max(count, 1) ? $0 : nil } : nil
        put("{")
        put("\tstatic uint8_t data[\(max(count, 1))];")
        if let wanted, !wanted.isEmpty {
            put("\tstatic const uint8_t wanted[\(wanted.count)] = \(CText.bytes(wanted));")
        }
        put("\tlong got = result(\(text));")
        put("")
        if operation.times > 1, let wanted, !wanted.isEmpty {
            put("\tfor (int i = 0; i < 5000 && got > 0 && memcmp(data, wanted, sizeof(wanted)); i++) {")
            put("\t\tusleep(1000);")
            put("\t\tgot = result(\(text));")
            put("\t}")
        }
        answered("got", &file)
        if let wanted, !wanted.isEmpty {
            put("\tsame_bytes(\(number), \(CText.quoted(name)), data, wanted, sizeof(wanted));")
        } else if operation.errno == nil, count > 0 {
            put("\t/* too long to keep: its bytes are not compared */")
            isWhole = false
        }
        put("}")
    }

    private mutating func send(_ text: String, _ file: inout CExport) {
        var data = bytes(1)
        // sysfs takes text.
        if case .text(let text) = operation.arguments[1] { data = Array(text.utf8) }
        guard let data else {
            return leaveOut("what it wrote is too long to keep")
        }
        put("{")
        put("\tstatic const uint8_t data[\(max(data.count, 1))] = \(CText.bytes(data));")
        put("\tlong got = result(\(data.isEmpty ? text.replacingSize : text));")
        put("")
        answered("got", &file)
        put("}")
    }

    private mutating func access(_ file: inout CExport) {
        let isLoad = operation.signature.name == "load"
        guard case .symbol(let mapping, _)? = operation.arguments.first else { return }
        guard let data = bytes(1), !isLoad || operation.errno != nil || !data.isEmpty else {
            return leaveOut("too long to keep")
        }
        if let line = plainAccess(data) { return put(line) }
        // Where mmap(2) fails there is nothing at its address.
        put("if (!\(names[mapping]))")
        put("\t\(stop(mapping));")
        put("{")
        put(
            "\tstatic\(isLoad ? "" : " const") uint8_t data[\(max(count, 1))]\(isLoad ? "" : " = \(CText.bytes(data))");"
        )
        if isLoad, operation.errno == nil {
            put("\tstatic const uint8_t wanted[\(data.count)] = \(CText.bytes(data));")
        }
        let pointer = "(void *)(\(argument(0)))"
        put("\tlong got = \(isLoad ? "copy(data, \(pointer), sizeof(data))" : "copy(\(pointer), data, sizeof(data))");")
        put("")
        if isLoad, operation.times > 1, operation.errno == nil {
            put("\tfor (int i = 0; i < 5000 && !got && memcmp(data, wanted, sizeof(wanted)); i++) {")
            put("\t\tusleep(1000);")
            put("\t\tgot = copy(data, \(pointer), sizeof(data));")
            put("\t}")
        }
        put(compared(name, "got", operation.errno.map { "-" + $0.name } ?? "0").map { "\t" + $0 })
        if isLoad, operation.errno == nil {
            put("\tsame_bytes(\(number), \(CText.quoted(name)), data, wanted, sizeof(wanted));")
        }
        put("}")
    }
}

extension String {
    /// Nothing is written.
    fileprivate var replacingSize: String { split(separator: "sizeof(data)").joined(separator: "0") }
}

extension Record.Decision {
    /// Whether an expression, below 0 for an errno, is the right answer: C.
    func isRight(_ value: String) -> String { knowsRight ? right.test(value) : "0" }
}

extension Record.Decision.Answer {
    /// Whether it is an answer to the call itself.
    var isOfCall: Bool { if case .status = self { false } else { true } }

    /// Whether an expression, below 0 for an errno, is this answer: C.
    func test(_ value: String) -> String {
        let value = value.contains(" ") ? "(\(value))" : value
        switch self {
        case .success: return "\(value) >= 0"
        case .refusal(let errno): return "\(value) == -\(errno.name)"
        case .status(let status): return "\(value) == \(status)"
        }
    }
}
