/// The description of a command: name, lengths, when it is allowed, and what it does.
struct Command: Sendable {
    /// The state that the function must have reached before the command is allowed.
    enum Requirement: Int, Sendable, Comparable {
        case nothing, enabled, initialized

        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// MLX5_CMD_OP_* of mlx5_ifc.h.
    let opcode: UInt16
    /// Its name in that header, without MLX5_CMD_OP_.
    let name: StaticString
    let requirement: Requirement
    /// Bytes of its input and output without what may follow them: mlx5_ifc_*_in_bits and _out_bits.
    let input, output: Int
    /// Performs it. The input has at least `input` bytes. The output has at least `output` bytes, all 0.
    let run: @Sendable (HCA, UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Void

    init(
        _ opcode: UInt16, _ name: StaticString, after requirement: Requirement = .initialized, in input: Int = 16,
        out output: Int = 16,
        _ run:
            @escaping @Sendable (
                HCA, UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer
            ) throws(CommandFailure) -> Void
    ) {
        self.opcode = opcode
        self.name = name
        self.requirement = requirement
        self.input = input
        self.output = output
        self.run = run
    }

    /// All commands that the function implements, by opcode.
    static let all: [UInt16: Command] = {
        let families = [
            device, pages, objects, eventQueues, port, registers, memoryKeys, completionQueues, queuePairs,
            receiveQueues, deviceMemory,
        ]
        return Dictionary(uniqueKeysWithValues: families.joined().map { ($0.opcode, $0) })
    }()
}

/// Fields at the start of every command's input and output.
enum CommandHeader {
    static let opcode = Field("query_hca_cap_in.opcode", bit: 0x0, width: 16)
    static let modifier = Field("query_hca_cap_in.op_mod", bit: 0x30, width: 16)
    static let status = Field("query_hca_cap_out.status", bit: 0x0, width: 8)
    static let syndrome = Field("query_hca_cap_out.syndrome", bit: 0x20, width: 32)
    static let number = Field("destroy_qp_in.qpn", bit: 0x48, width: 24)
    /// Bytes of an output that every command has; ENABLE_HCA's and DISABLE_HCA's are even less.
    static let size = 16
}

extension HCA {
    /// Does a command.
    /// - Parameter output: is 0 but for what a refusal leaves: status and syndrome.
    func perform(_ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) {
        let opcode = UInt16(truncatingIfNeeded: input[CommandHeader.opcode])
        do throws(CommandFailure) {
            guard let command = Command.all[opcode] else {
                throw CommandFailure(.badOperation, "no such command")
            }
            guard command.requirement <= state else {
                throw CommandFailure(.badSystemState, "comes before ENABLE_HCA or INIT_HCA")
            }
            guard input.count >= command.input else { throw CommandFailure(.badInputLength, "input is too short") }
            guard output.count >= command.output else { throw CommandFailure(.badOutputLength, "output is too short") }
            try command.run(self, input, output)
            log?(.command(command.name, number: input[word: CommandHeader.number], nil))
        } catch {
            output.initializeMemory(as: UInt8.self, repeating: 0)
            output[CommandHeader.status] = UInt64(error.status.rawValue)
            output[CommandHeader.syndrome] = UInt64(error.syndrome)
            log?(.command(Command.all[opcode]?.name ?? "?", number: input[word: CommandHeader.number], error))
        }
    }
}
