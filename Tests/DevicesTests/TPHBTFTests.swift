import Devices
import Kernel
import Testing

/// Type information with one structure among types of every kind.
private struct BTFText {
    var types: [UInt8] = []
    var strings: [UInt8]
    /// Where this text's strings start: behind those of the kernel proper.
    var base = 0

    init(after base: Int = 0) {
        self.base = base
        strings = base == 0 ? [0] : []
    }

    mutating func word(_ value: Int) { types += withUnsafeBytes(of: UInt32(value)) { Array($0) } }

    mutating func string(_ text: String) -> Int {
        strings += Array(text.utf8) + [0]
        return base + strings.count - text.utf8.count - 1
    }

    mutating func type(_ name: Int, kind: Int, count: Int = 0, size: Int = 0, extra: Int = 0) {
        word(name)
        word(kind << 24 | count)
        word(size)
        types += [UInt8](repeating: 0xee, count: extra)
    }

    /// Kinds 1 to 19 other than a structure, with what follows each.
    mutating func others() {
        let none: [Int] = [2, 7, 8, 9, 10, 11, 12, 16, 18]
        for kind in none { type(0, kind: kind) }
        for kind in [1, 14, 17] { type(0, kind: kind, extra: 4) }
        type(0, kind: 3, extra: 12)
        for kind in [5, 15, 19] { type(0, kind: kind, count: 2, extra: 24) }
        for kind in [6, 13] { type(0, kind: kind, count: 3, extra: 24) }
    }

    mutating func structure(_ name: Int, size: Int, bitFields: Bool = false, _ members: [(name: Int, offset: Int)]) {
        word(name)
        word((bitFields ? 1 << 31 : 0) | 4 << 24 | members.count)
        word(size)
        for member in members {
            word(member.name)
            word(1)
            word((bitFields ? 7 << 24 : 0) | member.offset * 8)
        }
    }

    var bytes: [UInt8] {
        var header = BTFText()
        for value in [0x0001_eb9f, 24, 0, types.count, types.count, strings.count] { header.word(value) }
        return header.types + types + strings
    }
}

@Suite struct TPHBTFTests {
    private static let layoutB = [
        ("dmabuf_fd", 0), ("flags", 4), ("steering_tag_ext", 8), ("steering_tag", 10), ("ph", 11),
    ]
    private static let layoutA = [
        ("dmabuf_fd", 0), ("flags", 4), ("steering_tag", 8), ("ph", 9), ("steering_tag_ext", 10),
    ]

    private func kernel(_ files: [String: [UInt8]]) -> TPHKernel {
        let kernel = TPHKernel(
            [13: .tph(.v9)], symbols: ["vfio_pci_core_feature_dma_buf_tph", "dma_buf_get_pci_tph"])
        kernel.files.merge(files) { $1 }
        return kernel
    }

    private func builtIn(_ members: [(String, Int)], size: Int = 12, bitFields: Bool = false) -> [UInt8] {
        var text = BTFText()
        let other = text.string("vfio_device_feature_dma_buf")
        text.structure(other, size: 16, [])
        text.others()
        let name = text.string("vfio_device_feature_dma_buf_tph")
        text.structure(name, size: size, bitFields: bitFields, members.map { (text.string($0.0), $0.1) })
        return text.bytes
    }

    @Test(arguments: [false, true]) func agrees(_ bitFields: Bool) throws {
        let kernel = kernel(["/sys/kernel/btf/vmlinux": builtIn(Self.layoutB, bitFields: bitFields)])
        #expect(try found(identify(.auto, kernel)).how.contains("; BTF agrees; "))
    }

    @Test func contradicts() throws {
        let layout = kernel(["/sys/kernel/btf/vmlinux": builtIn(Self.layoutA)])
        #expect(
            refusal(identify(.auto, layout)).hasPrefix(
                "the kernel takes 12 bytes, layout B, but its BTF says 12 bytes: dmabuf_fd at 0, flags at 4, "
                    + "steering_tag at 8, ph at 9, steering_tag_ext at 10; if you know"))
        let size = kernel(["/sys/kernel/btf/vmlinux": builtIn(Self.layoutB, size: 16)])
        #expect(refusal(identify(.named(try #require(TPHABI.named("v9"))), size)).contains("its BTF says 16 bytes"))
    }

    /// A module's text uses strings of the kernel proper and adds its own.
    @Test func module() throws {
        var base = BTFText()
        let flags = base.string("flags")
        base.others()
        var module = BTFText(after: base.strings.count)
        module.others()
        let name = module.string("vfio_device_feature_dma_buf_tph")
        module.structure(
            name, size: 12,
            [("dmabuf_fd", 0), ("steering_tag_ext", 8), ("steering_tag", 10), ("ph", 11)].map {
                (module.string($0.0), $0.1)
            } + [(flags, 4)])
        let files = ["/sys/kernel/btf/vmlinux": base.bytes, "/sys/kernel/btf/vfio_pci_core": module.bytes]
        #expect(try found(identify(.auto, kernel(files))).how.contains("; BTF agrees; "))
    }

    /// Text cut anywhere is no evidence, and no crash.
    @Test func cutShort() throws {
        let whole = builtIn(Self.layoutB)
        for count in stride(from: 0, to: whole.count, by: 7) {
            let kernel = kernel(["/sys/kernel/btf/vmlinux": Array(whole[..<count])])
            #expect(try found(identify(.auto, kernel)).how.contains("BTF was not readable"))
        }
        var unknown = BTFText()
        unknown.type(0, kind: 60)
        let newer = kernel(["/sys/kernel/btf/vmlinux": unknown.bytes])
        #expect(try found(identify(.auto, newer)).how.contains("BTF was not readable"))
    }
}
