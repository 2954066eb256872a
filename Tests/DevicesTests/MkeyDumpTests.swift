import Devices
import Kernel
import Testing

/// Dumps of our own making, byte by byte: no ConnectX has shown us one.
@Suite struct MkeyDumpTests {
    /// A segment: its length in double words, its type, and what follows.
    static func segment(_ type: Int, _ payload: [UInt8]) -> [UInt8] {
        let words = (4 + payload.count) / 4
        return [UInt8(words >> 8), UInt8(words & 0xff), UInt8(type >> 8), UInt8(type & 0xff)] + payload
    }

    /// A memory key context of 64 KiB at 0x1000, with a hint: flag, processing hint, index.
    static func context(key: UInt8 = 0x11, hint: [UInt8] = [0x06, 0x42]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes[7] = key
        bytes[22] = 0x10
        bytes[29] = 0x01
        bytes[60] = hint[0]
        bytes[61] = hint[1]
        return bytes
    }

    /// What comes before the context in its segment: called, indices; status and syndrome.
    static let before = [UInt8](repeating: 0xaa, count: 16) + [UInt8](repeating: 0, count: 16)
    static let information = segment(0xfffe, [UInt8](repeating: 0, count: 12))
    static let end = segment(0xfffb, [UInt8](repeating: 0, count: 4))

    @Test func theContextIsFoundBetweenOtherSegments() throws {
        let dump = Self.information + Self.segment(0x1014, Self.before + Self.context()) + Self.end
        let context = try #require(MkeyDump.context(in: dump, key: 0x0012_3411, length: 0x10000))
        #expect(context == Self.context())
        let hint = try #require(MkeyTPH(context))
        #expect(hint.enabled && hint.ph == 2 && hint.index == 0x42)
    }

    /// The type is a device's own; which one was called, the command tells. A device may leave what was called out of the answer.
    @Test func theContextIsTheCalledSegments() throws {
        let command = Self.segment(0xfffd, [0x20, 0x01] + [UInt8](repeating: 0, count: 14))
        let answer = [UInt8](repeating: 0xaa, count: 12) + [UInt8](repeating: 0, count: 16)
        let other = Self.segment(0x2002, answer + Self.context(hint: [0x07, 0x13]))
        let dump = Self.information + command + other + Self.segment(0x2001, answer + Self.context()) + Self.end
        let context = try #require(MkeyDump.context(in: dump, key: 0x0012_3411, length: 0x10000))
        #expect(MkeyTPH(context)?.index == 0x42)
        #expect(MkeyDump.context(in: command + other, key: 0x0012_3411, length: 0x10000) == nil)
    }

    @Test func whatDoesNotFitIsRefused() {
        let whole = Self.segment(0x1014, Self.before + Self.context())
        #expect(MkeyDump.context(in: whole, key: 0x0012_3412, length: 0x10000) == nil)
        #expect(MkeyDump.context(in: whole, key: 0x0012_3411, length: 0x20000) == nil)
        #expect(MkeyDump.context(in: Self.information + Self.end, key: 0x11, length: 0x10000) == nil)
        #expect(MkeyDump.context(in: [], key: 0x11, length: 0x10000) == nil)
        #expect(MkeyDump.context(in: [0, 0, 0, 0], key: 0x11, length: 0x10000) == nil)
        for count in 0..<whole.count {
            #expect(MkeyDump.context(in: Array(whole.prefix(count)), key: 0x11, length: 0x10000) == nil)
        }
        let disguised = Self.segment(0xfffd, Self.before + Self.context())
        #expect(MkeyDump.context(in: disguised, key: 0x11, length: 0x10000) == nil)
    }
}
