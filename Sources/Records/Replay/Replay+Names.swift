import CKernel
import Kernel

/// Names to numbers. A record is a stranger's: what it names must be what it is taken for.
extension Replay {
    func resolved(_ operation: Operation) throws(Impossible) -> [Operation.Value] {
        try checkPath(operation)
        zeroes = 0
        let members = members(of: operation)
        var values: [Operation.Value] = []
        for (parameter, value) in zip(operation.signature.parameters, operation.arguments) {
            try check(parameter.name, value, parameter.format)
            if !parameter.isOutput { try check(parameter.name, value, parameter.type) }
            if parameter.name == "milliseconds", case .number(let time, let format) = value {
                // A recorded wait is no reason to stand still: what is to come, comes.
                values.append(.number(min(time, 60_000), format))
            } else {
                values.append(parameter.isOutput ? value : try resolved(value, members))
            }
        }
        return values
    }

    /// `known` are the members of structures, by their names.
    private func resolved(
        _ value: Operation.Value, _ known: [String: Signature.Member]
    ) throws(Impossible) -> Operation.Value {
        switch value {
        case .symbol(let name, let offset):
            if let bytes = symbols.bytes(of: name) { return .bytes(bytes) }
            guard let number = symbols.value(of: name) else {
                throw Impossible(message: "\(name) is not there: what made it failed, or is not in the record")
            }
            let (place, isTooFar) = number.addingReportingOverflow(offset)
            guard !isTooFar else { throw Impossible(message: "so far behind \(name) there is nothing") }
            return .number(place, .hexadecimal)
        case .digest(_, let count):
            guard count <= (1 << 26) - zeroes else {
                throw Impossible(message: "it has more data than a record may stand for")
            }
            zeroes += count
            return .bytes([UInt8](repeating: 0, count: count))
        case .structure(let members):
            var result: [Operation.Member] = []
            for member in members {
                if case .number(_, let format) = member.value {
                    try check(member.name, member.value, format)
                } else if let format = known[member.name]?.format {
                    try check(member.name, member.value, format)
                }
                try check(member.name, member.value, known[member.name]?.type)
                result.append(.init(member.name, try resolved(member.value, known)))
            }
            return .structure(result)
        case .list(let values):
            var result: [Operation.Value] = []
            for value in values { result.append(try resolved(value, known)) }
            return .list(result)
        case .pointer(let bytes, _): return .number(address(of: bytes), .pointer)
        default: return value
        }
    }

    /// A stranger's record must not write this machine's files.
    private func checkPath(_ operation: Operation) throws(Impossible) {
        guard isReal, case .text(let recorded)? = operation.arguments.first,
            operation.signature.parameters.first?.name == "path"
        else { return }
        let path = path(recorded)
        guard let opened = operation.opened, DevicePath.mayOpen(path, flags: opened.flags) else {
            throw Impossible(message: "a replay opens devices alone, not \(path)")
        }
    }

    /// Addresses must not be this program's own, objects must be what they are taken for, and descriptors the replay's.
    private func check(_ name: String, _ value: Operation.Value, _ format: Format) throws(Impossible) {
        switch (format, value) {
        case (.handle(let kind), .symbol(let symbol, let offset)):
            let made = kind == "device" ? "ibdev" : kind
            guard offset == 0, Symbols.kind(of: symbol) == made else {
                throw Impossible(message: "\(symbol) is no \(kind)")
            }
        case (.handle, .number(0, _)): return
        case (.handle(let kind), _):
            throw Impossible(message: "\(name) is no \(kind) that the record made")
        case (.pointer, .number(let address, _)):
            guard Replay.addresses.contains(name), address >= 0x1000 else { return }
            // Unmapped then and now: the kernel answers EFAULT both times, so the address may be reused as it is.
            if name == "address" || sys_mapped(address & ~0xfff, 1) == 0 {
                throw Impossible(message: "\(name) is an address of the program that was recorded")
            }
        case (.pointer, .symbol(let symbol, let offset)):
            guard Replay.addresses.contains(name) else { return }
            guard Symbols.kind(of: symbol) == "map" else { throw Impossible(message: "\(symbol) is no memory") }
            if name == "address" { try checkExtent(symbol, value) }
            // Behind the mapping may lie this program's own memory.
            if let base = symbols.value(of: symbol), offset > mapped[base] ?? 0,
                sys_mapped((base &+ offset) & ~0xfff, 1) == 0
            {
                throw Impossible(message: "\(symbol)+0x\(String(offset, radix: 16)) lies outside of \(symbol)")
            }
        case (.descriptor, .number(let number, _)):
            let descriptor = Int32(truncatingIfNeeded: number)
            if isReal, descriptor >= 0, underneath.fcntl(descriptor, 1, 0) >= 0 {
                throw Impossible(message: "descriptor \(descriptor) is this program's own")
            }
        case (.descriptor, .symbol(let symbol, let offset)):
            guard offset == 0, Symbols.descriptors.contains(Symbols.kind(of: symbol)) else {
                throw Impossible(message: "\(symbol) is no descriptor")
            }
        case (.descriptor, _): throw Impossible(message: "\(name) is no descriptor that the record made")
        default: return
        }
    }

    /// A number that its type does not hold would be cut, and another call be made than is recorded. Numbers of a record are
    /// looked at where it is read, with their signs; what its names stand for, and offsets from there, only here.
    private func check(_ name: String, _ value: Operation.Value, _ type: IntegerType?) throws(Impossible) {
        let number: UInt64? =
            switch value {
            case .number(let number, _): number
            case .symbol(let symbol, let offset): symbols.value(of: symbol).map { $0 &+ offset }
            default: nil
            }
        guard let type, let number, !type.holds(number) else { return }
        throw Impossible(message: type.misfit(name, Format.hexadecimal.text(number)))
    }

    private static let addresses: Set<String> = [
        "user_va", "vaddr", "data_uptr", "allowed_iovas", "token_uuid_ptr", "bitmap_data", "addr",
        "address",
    ]

    /// Bytes at an address that the kernel may use; what lies behind them cannot be read.
    func address(of bytes: [UInt8]) -> UInt64 {
        guard !bytes.isEmpty, let copy = sys_guarded_alloc(bytes.count) else { return 0 }
        copy.copyMemory(from: bytes, byteCount: bytes.count)
        buffers.append((copy, bytes.count))
        held += (bytes.count + 4095) & ~4095 + 4096
        return UInt64(UInt(bitPattern: copy))
    }

    /// What this program touches itself must be mapped.
    func checkExtent(_ symbol: String, _ value: Operation.Value) throws(Impossible) {
        guard let base = symbols.value(of: symbol), case .symbol(_, let offset) = value,
            let length = mapped[base], offset < length
        else { throw Impossible(message: "\(symbol) is not mapped there") }
    }

    /// The members of the operation's structures, by name.
    private func members(of operation: Operation) -> [String: Signature.Member] {
        guard let argument = operation.arguments.last, let layout = layout(of: operation.request, argument) else {
            return operation.signature.members
        }
        let fields = layout.fields + layout.trailing.flatMap(\.fields)
        return Dictionary(fields.map { ($0.name, .init($0)) }, uniquingKeysWith: { first, _ in first })
    }

    /// The layout of an ioctl's argument; nil of what is no structure.
    func layout(of request: Request?, _ argument: Operation.Value) -> Layout? {
        guard case .structure(let members) = argument else { return nil }
        switch request?.argument {
        case .structure(let layout): return layout
        case .feature:
            var feature = UInt32.max
            if case .number(let number, _)? = members.first(where: { $0.name == "feature" })?.value {
                feature = UInt32(truncatingIfNeeded: number)
            }
            return decoder.layout(ofFeature: feature, .max)
        default: return nil
        }
    }

    /// Providers look into window and region without asking whether they are there.
    func checkBindings(_ arguments: ReplayArguments) throws(Impossible) {
        guard arguments.values.count > 1, case .list(let requests) = arguments.values[1] else { return }
        for case .structure(let members) in requests {
            func number(_ name: String) -> UInt64 {
                guard case .number(let number, _)? = members.first(where: { $0.name == name })?.value else { return 0 }
                return number
            }
            guard number("opcode") != UInt64(IBV_WR_BIND_MW.rawValue) || number("mw") != 0 && number("mr") != 0 else {
                throw Impossible(message: "a memory window is bound to a region, and one of them is missing")
            }
        }
    }

    /// A work request has the address of a datagram where one of another kind has a number of the record's.
    func checkDatagrams(_ arguments: ReplayArguments) throws(Impossible) {
        guard let qp: UnsafeMutablePointer<ibv_qp> = arguments.object(0), qp.pointee.qp_type == IBV_QPT_UD,
            arguments.values.count > 1, case .list(let requests) = arguments.values[1]
        else { return }
        for case .structure(let members) in requests {
            guard case .number(let opcode, _)? = members.first(where: { $0.name == "opcode" })?.value,
                [IBV_WR_SEND, IBV_WR_SEND_WITH_IMM].contains(where: { UInt64($0.rawValue) == opcode })
            else { throw Impossible(message: "a datagram is sent, and nothing else done with it") }
        }
    }
}
