/// Memory of the device's own.
extension Command {
    private enum Layout {
        static let alignment = Field("alloc_memic_in.log_memic_addr_alignment", bit: 0x78, width: 8)
        static let rangeStart = Field("alloc_memic_in.range_start_addr", bit: 0x80, width: 64)
        static let rangeSize = Field("alloc_memic_in.range_size", bit: 0xc0, width: 32)
        static let size = Field("alloc_memic_in.memic_size", bit: 0xe0, width: 32)
        static let newStart = Field("alloc_memic_out.memic_start_addr", bit: 0x40, width: 64)
        static let start = Field("dealloc_memic_in.memic_start_addr", bit: 0x80, width: 64)
        static let freedSize = Field("dealloc_memic_in.memic_size", bit: 0xc0, width: 32)
    }

    static let deviceMemory: [Command] = [
        Command(0x205, "ALLOC_MEMIC", in: 32) { (hca, input, output) throws(CommandFailure) in
            let start = Int(min(input[Layout.rangeStart], UInt64(Int32.max)))
            output[Layout.newStart] = UInt64(
                try hca.dataPath.deviceMemory.allocate(
                    input[int: Layout.size], logAlignment: input[int: Layout.alignment],
                    in: start..<start + input[int: Layout.rangeSize]))
        },
        Command(0x206, "DEALLOC_MEMIC", in: 32) { (hca, input, _) throws(CommandFailure) in
            let start = input[Layout.start]
            let size = input[Layout.freedSize]
            guard !hca.isInUse(deviceMemory: start, size) else {
                throw CommandFailure(.badResourceState, "memory keys name this piece")
            }
            try hca.dataPath.deviceMemory.free(Int(min(start, UInt64(Int32.max))), Int(size))
        },
    ]
}
