/// The status of a command, MLX5_CMD_STAT_* of include/linux/mlx5/device.h.
public enum CommandStatus: UInt8, Sendable {
    case ok = 0
    case internalError = 1
    case badOperation = 2
    case badParameter = 3
    case badSystemState = 4
    case badResource = 5
    case resourceBusy = 6
    case notReady = 7
    case limitExceeded = 8
    case badResourceState = 9
    case badIndex = 0xa
    case noResources = 0xf
    case badQueuePairState = 0x10
    case badPacket = 0x30
    case badSizeOfOutstandingCompletions = 0x40
    case badInputLength = 0x50
    case badOutputLength = 0x51
}

/// A command that is refused.
public struct CommandFailure: Error, Sendable {
    /// The status, from which the driver makes an errno.
    public let status: CommandStatus
    /// The reason, for people.
    public let reason: StaticString

    /// A refusal, and the reason in words.
    public init(_ status: CommandStatus, _ reason: StaticString) {
        self.status = status
        self.reason = reason
    }

    /// The syndrome that the driver prints beside the status: the lower 24 bits of the FNV-1a hash of ``reason``, so
    /// that each reason has a number of its own.
    public var syndrome: UInt32 {
        reason.withUTF8Buffer { text in
            text.reduce(0x811c_9dc5) { ($0 ^ UInt32($1)) &* 0x0100_0193 } & 0xff_ffff
        }
    }
}
