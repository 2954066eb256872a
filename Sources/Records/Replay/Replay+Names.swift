import CKernel
import Glibc
import Kernel

/// Names to numbers. Records are untrusted: objects, descriptors and addresses are checked for their kind before use.
extension Replay {
    func resolved(_ operation: Operation) throws(Impossible) -> [Operation.Value] {
        try checkPath(operation)
        let inputs = operation.inputs(decoder)
        if let reason = operation.misuse(decoder, inputs, isReal: isReal) { throw Impossible(message: reason) }
        for input in inputs { try check(input) }
        zeroes = 0
        var values: [Operation.Value] = []
        for (parameter, value) in zip(operation.signature.parameters, operation.arguments) {
            if parameter.name == "milliseconds", case .number(let time, let format) = value {
                // At most 60 s: the record is untrusted.
                values.append(.number(min(time, 60_000), format))
            } else {
                values.append(parameter.isOutput ? value : try resolved(value))
            }
        }
        return values
    }

    private func resolved(_ value: Operation.Value) throws(Impossible) -> Operation.Value {
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
            for member in members { result.append(.init(member.name, try resolved(member.value))) }
            return .structure(result)
        case .list(let values):
            var result: [Operation.Value] = []
            for value in values { result.append(try resolved(value)) }
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

    /// Checks what depends on what is open and mapped now: a descriptor must be one that the replay opened, an address must not
    /// be this program's own memory, and a number must fit its type.
    private func check(_ input: OperationInput) throws(Impossible) {
        try checkType(input)
        switch (input.format, input.value) {
        case (.descriptor, .number(let number, _)):
            let descriptor = Int32(truncatingIfNeeded: number)
            if isReal, isOpen(descriptor) {
                throw Impossible(message: "descriptor \(descriptor) is this program's own")
            }
        case (.descriptor, .symbol(let symbol, _)):
            let descriptor = symbols.value(of: symbol).map { Int32(truncatingIfNeeded: $0) } ?? -1
            if isReal, !opened.contains(descriptor), isOpen(descriptor) {
                throw Impossible(message: "\(symbol) was closed, and its number is another descriptor's")
            }
        case _ where input.isAddress: try checkAddress(input)
        default: return
        }
    }

    private func isOpen(_ descriptor: Int32) -> Bool {
        descriptor >= 0 && underneath.fcntl(descriptor, F_GETFD, 0) >= 0
    }

    private func number(of value: Operation.Value) -> UInt64? {
        switch value {
        case .number(let number, _): number
        case .symbol(let symbol, let offset): symbols.value(of: symbol).map { $0 &+ offset }
        default: nil
        }
    }

    /// A kernel that pins or copies memory begins at its start, and stops at the first page that is not mapped: what lies behind
    /// a mapping is this program's only where the next page is there.
    private func checkAddress(_ input: OperationInput) throws(Impossible) {
        let extent = input.extent(number)
        guard case .symbol(let symbol, let offset) = input.value else {
            guard case .number(let address, _) = input.value else {
                if input.isUnchecked, extent > 0 {
                    throw Impossible(message: "\(input.name) is no memory that the record mapped")
                }
                return
            }
            if input.isUnchecked ? extent > 0 : address >= 0x1000 && sys_mapped(address & ~0xfff, 1) == 0 {
                throw Impossible(message: "\(input.name) is an address of the program that was recorded")
            }
            return
        }
        guard let base = symbols.value(of: symbol) else { return }
        if input.isAccess {
            guard let length = mapped[base], offset < length else {
                throw Impossible(message: "\(symbol) is not mapped there")
            }
            return
        }
        // Kernels refuse a range that goes around the end of the address space. A simulated one looks at a whole range before it
        // takes it, and none is mapped beyond user space.
        let start = base.addingReportingOverflow(offset).partialValue
        let (end, isOver) = start.addingReportingOverflow(extent)
        let isRefused = !input.isUnchecked && (isOver || !isReal && end > 1 << 47)
        let room = Replay.wholePages(mapped[base] ?? 0)
        guard offset > room || extent > room - offset && !isRefused else { return }
        let behind = base &+ max(offset, room)
        if input.isUnchecked || sys_mapped(behind & ~0xfff, 1) == 0 {
            throw Impossible(
                message: "\(input.name)=\(symbol)+0x\(String(offset, radix: 16)) reaches outside of \(symbol)")
        }
    }

    static func wholePages(_ length: UInt64) -> UInt64 { length > .max - 4095 ? length : (length + 4095) & ~4095 }

    /// A number that its type does not hold would be cut, and another call be made than is recorded. Numbers of a record are
    /// looked at where it is read, with their signs; what its names stand for, and offsets from there, only here.
    private func checkType(_ input: OperationInput) throws(Impossible) {
        guard let type = input.type, let number = number(of: input.value), !type.holds(number) else { return }
        throw Impossible(message: type.misfit(input.name, Format.hexadecimal.text(number)))
    }

    /// Copies bytes to memory that ends at an inaccessible page, so that a kernel which reads too far answers EFAULT. It is freed
    /// with the replay.
    func address(of bytes: [UInt8]) -> UInt64 {
        guard !bytes.isEmpty, let copy = sys_guarded_alloc(bytes.count) else { return 0 }
        copy.copyMemory(from: bytes, byteCount: bytes.count)
        buffers.append((copy, bytes.count))
        held += (bytes.count + 4095) & ~4095 + 4096
        return UInt64(UInt(bitPattern: copy))
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

    /// struct ibv_send_wr is a union: of an RDMA or atomic request on a UD queue pair, libibverbs would take the record's
    /// remote_addr for the pointer wr.ud.ah.
    func checkDatagrams(_ recorded: Operation, _ arguments: ReplayArguments) throws(Impossible) {
        guard let qp: UnsafeMutablePointer<ibv_qp> = arguments.object(0), qp.pointee.qp_type == IBV_QPT_UD else {
            return
        }
        guard recorded.sendsDatagrams else {
            throw Impossible(message: "a datagram is sent to an address handle, and nothing else done with it")
        }
    }
}
