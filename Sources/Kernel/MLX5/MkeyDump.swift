/// The mlx5 driver's raw dump of a memory region. It consists of segments, one of which holds the answer of QUERY_MKEY.
/// Source: drivers/infiniband/hw/mlx5/restrack.c:fill_res_mr_entry_raw, include/linux/mlx5/mlx5_ifc.h
/// (resource_dump_*_segment, query_mkey_out). Not compared with a dump of a real ConnectX; other layouts are refused.
public enum MkeyDump {
    /// Bytes of a segment's header: length in double words (2 bytes) and type (2 bytes), most significant byte first.
    private static let header = 4
    /// Possible numbers of bytes between a resource segment's header and the answer: two indices, and one or two further
    /// words.
    private static let preambles = [16, 12]
    /// Bytes of status and syndrome, before the memory key context.
    private static let answer = 16
    private static let context = 64
    /// Types from here on are about the dump itself: notice, command, end, error, reference, information, menu.
    private static let firstOwnType = 0xfff0
    /// The command segment, which has the type that was dumped. The driver knows that type by its name (PRM_QUERY_MKEY)
    /// in the menu.
    private static let command = 0xfffd

    /// The memory key context of the region with this key and length; nil where the dump has none that matches.
    public static func context(in dump: [UInt8], key: UInt32, length: UInt64) -> [UInt8]? {
        var offset = 0, called: Int?
        while offset + header <= dump.count {
            let words = number(dump, offset), type = number(dump, offset + 2), end = offset + 4 * words
            guard words > 0, end <= dump.count else { return nil }
            if type == command, offset + header + 2 <= end { called = number(dump, offset + header) }
            if type < firstOwnType, called == nil || type == called {
                for preamble in preambles {
                    let start = offset + header + preamble + answer
                    guard start + context <= end else { continue }
                    let found = Array(dump[start..<(start + context)])
                    if fits(found, key, length) { return found }
                }
            }
            offset = end
        }
        return nil
    }

    private static func number(_ dump: [UInt8], _ offset: Int) -> Int { Int(dump[offset]) << 8 | Int(dump[offset + 1]) }

    /// Whether the context's key variant (byte 7) and length (bytes 24 to 31) are the region's.
    private static func fits(_ context: [UInt8], _ key: UInt32, _ length: UInt64) -> Bool {
        context[7] == UInt8(truncatingIfNeeded: key)
            && context[24..<32].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } == length
    }
}
