import CKernel
import Glibc
import Kernel

/// Records are untrusted: what no replay, and no C made of a record, does for one. A record may use the objects, descriptors
/// and memory that its own calls gave.
extension Operation {
    /// Why the call must not be made; nil where it may, as far as the record tells. `isReal` of this machine's kernel, whose
    /// descriptors may be the program's own; a simulated one has none but the record's.
    func misuse(_ decoder: Decoder, _ inputs: [OperationInput], isReal: Bool) -> String? {
        if let reason = inputs.lazy.compactMap(\.misuse).first ?? misuseOfName { return reason }
        switch signature.name {
        case "load": return bytes.map { UInt64($0) > number(2) ?? 0 } ?? false ? misuseOfCount : nil
        case "store": return bytes.map { UInt64($0) != number(2) } ?? false ? misuseOfCount : nil
        case "mmap": return misuseOfMapping
        case "munmap":
            if case .symbol(_, 0)? = arguments.first { return nil }
            return "it unmaps what the record did not map"
        case "fcntl": return misuseOfFcntl
        case "ioctl": return misuseOfNumber ?? misuseOfBytes(decoder, isReal)
        default: return nil
        }
    }

    private func number(_ index: Int) -> UInt64? {
        if arguments.indices.contains(index), case .number(let number, _) = arguments[index] { number } else { nil }
    }

    /// How many bytes were read or written; nil of data that is not kept.
    private var bytes: Int? { if case .bytes(let bytes) = arguments[1] { bytes.count } else { nil } }

    private var misuseOfCount: String {
        "a \(name) of \(bytes ?? 0) bytes does not have the count \(number(2).map(String.init) ?? "of no number")"
    }

    /// Flags that are not accepted. Code is mapped of a device's region alone, whose kernel is asked for it.
    private var misuseOfMapping: String? {
        guard let protection = number(1), let flags = number(2) else { return "mmap with flags that are no number" }
        let unknown = UInt32(truncatingIfNeeded: flags) & ~acceptedMappingFlags
        guard unknown == 0 else { return "mmap with flags 0x\(String(unknown, radix: 16))" }
        var allowed = UInt64(PROT_READ | PROT_WRITE)
        if case .symbol(let symbol, _) = arguments[3], Symbols.kind(of: symbol) == "device",
            flags & UInt64(MAP_ANONYMOUS) == 0
        {
            allowed |= UInt64(PROT_EXEC)
        }
        let other = UInt64(UInt32(truncatingIfNeeded: protection)) & ~allowed
        return other == 0 ? nil : "mmap with protection 0x\(String(other, radix: 16))"
    }

    /// Commands that have the kernel send signals, to a process that the record names, or watch folders.
    private var misuseOfFcntl: String? {
        // F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY (asm-generic/fcntl.h, linux/fcntl.h)
        let signalling: Set<UInt64> = [8, 10, 15, 1024, 1026]
        // Locks, F_GETOWN_EX, F_GETOWNER_UIDS, locks of open files, hints: their argument is an address.
        let pointing: Set<UInt64> = [5, 6, 7, 12, 13, 14, 16, 17, 36, 37, 38, 1029, 1035, 1036, 1037, 1038]
        guard let number = number(1) else { return "its command is no number" }
        // fcntl(2) takes an int.
        let command = UInt64(UInt32(truncatingIfNeeded: number))
        if signalling.contains(command) { return "command \(command) sends signals" }
        return pointing.contains(command) ? "command \(command) takes an address" : nil
    }

    /// A descriptor that is called what it is not: requests are checked by the kind of file they are made on.
    private var misuseOfName: String? {
        guard case .symbol(let name, _) = result, Symbols.isDescriptor(name) else { return nil }
        let prefix = Symbols.prefix(of: self)
        return Symbols.kind(of: name) == prefix ? nil : "\(name) is called so, but is a \(prefix)"
    }

    /// A number that is another request on that kind of file, which the kernel would read the argument for.
    private var misuseOfNumber: String? {
        guard let request, case .symbol(let name, _)? = arguments.first else { return nil }
        guard let meant = Request.find(request.number, on: Symbols.file(of: name)), meant.name != request.name
        else { return nil }
        return "\(request.name) is \(meant.name) on \(name)"
    }

    /// Bytes of a structure that are given as bytes, where they would be an address, a descriptor or a length that no check sees.
    private func misuseOfBytes(_ decoder: Decoder, _ isReal: Bool) -> String? {
        guard let argument = arguments.last else { return nil }
        guard let request else {
            // ioctl(2) takes 32 bits of the number.
            guard argument.isData, let number = number(1),
                let known = Request.all.first(where: {
                    UInt32(truncatingIfNeeded: $0.number) == UInt32(truncatingIfNeeded: number) && $0.namesObjects
                })
            else { return nil }
            return "0x\(String(number, radix: 16)) stands for \(known.name), which is written by its members"
        }
        switch (request.argument, argument) {
        // Less than its header has no members.
        case (.feature, .bytes(let bytes)): return bytes.count < 8 ? nil : "its argument is a structure"
        case (.structure, _) where argument.isData, (.feature, _) where argument.isData:
            return "its argument is a structure"
        case (_, .structure(let members)): return misuse(of: members, decoder, isReal)
        default: return nil
        }
    }

    private func misuse(of members: [Member], _ decoder: Decoder, _ isReal: Bool) -> String? {
        func value(_ name: String) -> UInt64? {
            if case .number(let number, _)? = members.first(where: { $0.name == name })?.value { number } else { nil }
        }
        let end = value("bytes").map { Int(clamping: $0) } ?? .max
        guard let layout = layout(decoder, count: end) else { return nil }
        let hasAddress = layout.fields.contains { OperationInput.isAddress($0.name, $0.format) }
        for member in members {
            guard member.name.hasPrefix("at"), let start = Int(member.name.dropFirst(2)),
                (0...1 << 30).contains(start),
                case .bytes(let bytes) = member.value
            else { continue }
            let range = start..<(start + bytes.count)
            for field in layout.fields where field.direction != .output && field.offset + field.size <= end {
                if hasAddress || isReal && field.isDescriptor,
                    range.overlaps(field.offset..<(field.offset + field.size))
                {
                    return "\(member.name) is where \(field.name) is"
                }
            }
            for trailing in layout.trailing where isReal && trailing.fields.contains(where: { $0.isDescriptor }) {
                if let (field, bit) = trailing.onlyWith, let flags = value(field), flags & UInt64(bit) == 0 { continue }
                let count = Int(clamping: value(trailing.countField) ?? .max)
                let (size, isOver) = count.multipliedReportingOverflow(by: trailing.elementSize)
                if !range.isEmpty, range.upperBound > layout.size, isOver || range.lowerBound - layout.size < size {
                    return "\(member.name) is where \(trailing.name) is"
                }
            }
        }
        return nil
    }
}

extension Operation {
    /// Whether all its work requests are such as a UD queue pair takes: sends to an address handle.
    var sendsDatagrams: Bool {
        guard arguments.count > 1, case .list(let requests) = arguments[1] else { return true }
        return requests.allSatisfy { request in
            guard case .structure(let members) = request else { return false }
            func value(_ name: String) -> Value? { members.first { $0.name == name }?.value }
            guard case .number(let opcode, _)? = value("opcode"), case .symbol? = value("ah") else { return false }
            return [IBV_WR_SEND, IBV_WR_SEND_WITH_IMM].contains { UInt64($0.rawValue) == opcode }
        }
    }
}

extension Field {
    fileprivate var isDescriptor: Bool { if case .descriptor = format { true } else { false } }
}

extension Request {
    /// Whether its argument has descriptors or addresses.
    fileprivate var namesObjects: Bool {
        switch argument {
        case .feature: true
        case .structure(let layout):
            (layout.fields + layout.trailing.flatMap(\.fields)).contains { field in
                switch field.format {
                case .descriptor, .pointer: field.direction != .output
                default: false
                }
            }
        default: false
        }
    }
}

extension Operation.Value {
    /// Bytes, also behind a pointer or known by their digest alone.
    fileprivate var isData: Bool {
        switch self {
        case .bytes, .pointer, .digest: true
        default: false
        }
    }
}
