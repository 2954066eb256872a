/// RESOURCE_DUMP: what the device knows of an object, as segments that a memory key of the driver's takes.
extension HCA {
    private enum Request {
        static let more = Field("resource_dump.more_dump", bit: 0x0, width: 1)
        static let isInline = Field("resource_dump.inline_dump", bit: 0x1, width: 1)
        static let sequence = Field("resource_dump.seq_num", bit: 0xc, width: 4)
        static let kind = Field("resource_dump.segment_type", bit: 0x10, width: 16)
        static let index1 = Field("resource_dump.index1", bit: 0x40, width: 32)
        static let index2 = Field("resource_dump.index2", bit: 0x60, width: 32)
        static let count1 = Field("resource_dump.num_of_obj1", bit: 0x80, width: 16)
        static let count2 = Field("resource_dump.num_of_obj2", bit: 0x90, width: 16)
        static let key = Field("resource_dump.mkey", bit: 0x100, width: 32)
        static let size = Field("resource_dump.size", bit: 0x120, width: 32)
        static let address = Field("resource_dump.address", bit: 0x140, width: 64)
    }

    /// Types of segments. Those of objects are this device's own; a driver finds them by their names in the menu.
    private enum Segment: UInt64 {
        case queryKey = 0x2001
        case terminator = 0xfffb
        case command = 0xfffd
        case info = 0xfffe
        case menu = 0xffff
    }

    /// A segment: its length in dwords and its type, and what follows.
    private static func segment(_ type: Segment, _ body: [UInt8]) -> [UInt8] {
        var header: [UInt8] = [0, 0, 0, 0]
        header[SegmentLayout.length] = UInt64(body.count / 4 + 1)
        header[SegmentLayout.type] = type.rawValue
        return header + body
    }

    private enum SegmentLayout {
        static let length = Field("resource_dump_segment_header.length_dw", bit: 0x0, width: 16)
        static let type = Field("resource_dump_segment_header.segment_type", bit: 0x10, width: 16)
        /// A menu's record, from its first byte.
        static let supportsIndex = Field("resource_dump_menu_record.support_index1", bit: 0xf, width: 1)
        static let needsIndex = Field("resource_dump_menu_record.must_have_index1", bit: 0xe, width: 1)
        static let recordType = Field("resource_dump_menu_record.segment_type", bit: 0x10, width: 16)
        static let recordSize = 52
        static let recordName = 4
    }

    private static func words(_ words: UInt64...) -> [UInt8] {
        words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt64(24 - $0 * 8)) } }
    }

    private static var menu: [UInt8] {
        var record = [UInt8](repeating: 0, count: SegmentLayout.recordSize)
        record[SegmentLayout.supportsIndex] = 1
        record[SegmentLayout.needsIndex] = 1
        record[SegmentLayout.recordType] = Segment.queryKey.rawValue
        let name = Array("PRM_QUERY_MKEY".utf8)
        record.replaceSubrange(SegmentLayout.recordName..<SegmentLayout.recordName + name.count, with: name)
        return words(1) + record
    }

    /// Answers a request: its size becomes the bytes written, and it says whether there is more.
    func dumpResource(_ request: UnsafeMutableRawBufferPointer) throws(CommandFailure) {
        guard !request[flag: Request.isInline] else { throw CommandFailure(.badParameter, "no inline dumps") }
        guard let kind = Segment(rawValue: request[Request.kind]), kind == .menu || kind == .queryKey else {
            throw CommandFailure(.badParameter, "no dump of this kind")
        }
        let index = request[Request.index1]
        var dump = Self.segment(
            .info, Self.words(1, InitializationSegment.hardwareID, InitializationSegment.firmware))
        dump += Self.segment(
            .command,
            Self.words(
                kind.rawValue << 16, index, request[Request.index2],
                request[Request.count1] << 16 | request[Request.count2]))
        if kind == .menu {
            dump += Self.segment(.menu, Self.menu)
        } else {
            // A reserved word and the two indices, then the output of QUERY_MKEY as far as the context.
            let key = dataPath.keys[UInt32(truncatingIfNeeded: index)]
            let answer = key.map { [UInt8](repeating: 0, count: CommandHeader.size) + $0.context } ?? []
            dump += Self.segment(.queryKey, Self.words(0, index, 0) + answer)
        }
        dump += Self.segment(.terminator, [])
        let room = request[int: Request.size]
        try write(Array(dump.prefix(room)), by: request[word: Request.key], at: request[Request.address])
        request[Request.size] = UInt64(min(dump.count, room))
        request[Request.more] = 0
        request[Request.sequence] += 1
    }

    /// Writes bytes by a memory key of the driver's own, whatever its domain.
    private func write(_ bytes: [UInt8], by number: UInt32, at address: UInt64) throws(CommandFailure) {
        guard let key = dataPath.keys[number >> 8] else { throw CommandFailure(.badParameter, "no such memory key") }
        let reference = MemoryReference(
            key: number, access: .localWrite, domain: key.domain, queuePair: key.queuePair)
        var bytes = bytes
        var budget = Int.max
        let failed = bytes.withUnsafeMutableBytes { bytes in
            do throws(AccessFailure) {
                try dataPath.move(bytes, bytes.count, reference, at: address, of: bytes.count, &budget)
                return false
            } catch { return true }
        }
        guard !failed else { throw CommandFailure(.badParameter, "the memory key gives no such memory") }
    }
}
