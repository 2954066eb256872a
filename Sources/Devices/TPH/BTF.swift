import Glibc
import Kernel

/// The type information of the running kernel: what its compiler made of a structure. Source:
/// include/uapi/linux/btf.h. Text that is cut short or malformed reads as "not there".
struct BTF {
    /// A structure's size and where its members start, in bytes.
    struct Structure {
        let size: Int
        let offsets: [String: Int]
    }

    /// The structure of that name in vfio_pci_core, be it a module or built in; nil where nothing says.
    static func structure(_ name: String, _ kernel: any Kernel) -> Structure? {
        guard let base = read("/sys/kernel/btf/vmlinux", kernel).flatMap({ BTF($0, base: nil) }) else { return nil }
        let module = read("/sys/kernel/btf/vfio_pci_core", kernel).flatMap { BTF($0, base: base) }
        return module?.structure(name) ?? base.structure(name)
    }

    private static func read(_ path: String, _ kernel: any Kernel) -> [UInt8]? {
        var bytes: [UInt8] = []
        do throws(Errno) {
            try readChunks(of: path, size: 1 << 20, kernel) { bytes += $0 }
        } catch {
            return nil
        }
        return bytes
    }

    private let bytes: [UInt8]
    private let types: Range<Int>
    private let strings: Range<Int>
    /// A module's strings continue those of the kernel proper, which its types also use.
    private let base: [UInt8]

    private init?(_ bytes: [UInt8], base: BTF?) {
        self.bytes = bytes
        self.base = base.map { Array($0.bytes[$0.strings]) } ?? []
        guard word(bytes, 0).map({ $0 & 0xffff }) == 0xeb9f, let header = word(bytes, 4),
            let typeStart = word(bytes, 8), let typeSize = word(bytes, 12),
            let stringStart = word(bytes, 16), let stringSize = word(bytes, 20),
            header + typeStart + typeSize <= bytes.count, header + stringStart + stringSize <= bytes.count
        else { return nil }
        types = (header + typeStart)..<(header + typeStart + typeSize)
        strings = (header + stringStart)..<(header + stringStart + stringSize)
    }

    private func structure(_ name: String) -> Structure? {
        let wanted = Array(name.utf8)
        var offset = types.lowerBound
        while offset + 12 <= types.upperBound {
            guard let nameOffset = word(bytes, offset), let info = word(bytes, offset + 4),
                let size = word(bytes, offset + 8)
            else { return nil }
            // The kind had 5 bits and the count 16, until 7.x took the unused ones between and above.
            let (kind, count) = (info >> 24 & 0x7f, info & 0xff_ffff)
            if kind == 4, isText(at: nameOffset, wanted) { return members(offset + 12, count, size, info) }
            guard let extra = Self.extra(kind, count) else { return nil }
            offset += 12 + extra
        }
        return nil
    }

    /// Bytes that follow the three words of a type; nil for a kind newer than this.
    private static func extra(_ kind: Int, _ count: Int) -> Int? {
        switch kind {
        case 2, 7, 8, 9, 10, 11, 12, 16, 18: 0  // PTR FWD TYPEDEF VOLATILE CONST RESTRICT FUNC FLOAT TYPE_TAG
        case 1, 14, 17: 4  // INT VAR DECL_TAG
        case 3: 12  // ARRAY
        case 4, 5, 15, 19: 12 * count  // STRUCT UNION DATASEC ENUM64
        case 6, 13: 8 * count  // ENUM FUNC_PROTO
        default: nil
        }
    }

    private func members(_ start: Int, _ count: Int, _ size: Int, _ info: Int) -> Structure? {
        var offsets: [String: Int] = [:]
        for index in 0..<count {
            let offset = start + 12 * index
            guard let name = word(bytes, offset).flatMap(text), let bits = word(bytes, offset + 8) else { return nil }
            // With the top bit of info the high byte is a bit field's width.
            offsets[name] = (info >> 31 == 1 ? bits & 0xff_ffff : bits) / 8
        }
        return Structure(size: size, offsets: offsets)
    }

    private func isText(at offset: Int, _ wanted: [UInt8]) -> Bool { characters(offset).starts(with: wanted + [0]) }

    private func text(_ offset: Int) -> String {
        String(decoding: characters(offset).prefix { $0 != 0 }, as: UTF8.self)
    }

    private func characters(_ offset: Int) -> ArraySlice<UInt8> {
        if offset < base.count { return base[offset...] }
        let offset = strings.lowerBound + offset - base.count
        return offset < strings.upperBound ? bytes[offset..<strings.upperBound] : []
    }
}

/// The 32-bit word at `offset`; nil past the end.
private func word(_ bytes: [UInt8], _ offset: Int) -> Int? {
    guard offset >= 0, offset + 4 <= bytes.count else { return nil }
    return bytes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
}
