/// How a command ended, as its output's first byte says. include/linux/mlx5/device.h:MLX5_CMD_STAT_*
enum CommandStatus: UInt8, Error {
    case ok = 0
    case internalError = 0x1
    case badOperation = 0x2
    case badParameter = 0x3
    case badSystemState = 0x4
    case badResource = 0x5
    case resourceBusy = 0x6
    case exceedsLimit = 0x8
    case badResourceState = 0x9
    case badIndex = 0xa
    case noResources = 0xf
    case badQueuePairState = 0x10
    case badInputLength = 0x50
    case badOutputLength = 0x51
}
