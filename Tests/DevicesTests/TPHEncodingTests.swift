import Devices
import Glibc
import Kernel
import Testing

@Suite struct TPHEncodingTests {
    struct Golden: Sendable, CustomTestStringConvertible {
        var abis: [String]
        var hint: TPHHint?
        var hex: String
        var testDescription: String { abis.joined(separator: ",") + (hint == nil ? " clear" : "") }
    }

    private static let st = SteeringTag(rawValue: 0xa5)
    private static let stExt = ExtendedSteeringTag(rawValue: 0xbeef)

    /// Header and data of a SET of feature 13 (0xd) for descriptor 40 (0x28).
    static let golden: [Golden] = [
        Golden(
            abis: ["v2"], hint: TPHHint(st: st, ph: .targetPriority),
            hex: "10000000 0d000200"  // argsz 16, flags SET|13
                + "28000000 a500 03 00"),  // dmabuf_fd, steering_tag, ph, reserved
        Golden(
            abis: ["v3"], hint: TPHHint(st: st, stExt: stExt, ph: .target),
            hex: "18000000 0d000200"  // argsz 24, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "a500 efbe 02 000000"),  // steering_tag, steering_tag_ext, ph, reserved
        Golden(
            abis: ["v4", "v5"], hint: TPHHint(st: st, stExt: stExt, ph: .requester),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "a5 01 efbe"),  // steering_tag, ph, steering_tag_ext
        Golden(
            abis: ["v4", "v5"], hint: TPHHint(stExt: stExt, ph: .target),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 02000000"  // dmabuf_fd, flags ST_EXT
                + "00 02 efbe"),  // steering_tag, ph, steering_tag_ext
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: TPHHint(st: st, stExt: stExt, ph: .requester),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 03000000"  // dmabuf_fd, flags ST|ST_EXT
                + "efbe a5 01"),  // steering_tag_ext, steering_tag, ph
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: TPHHint(st: st, ph: .bidirectional),
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 01000000"  // dmabuf_fd, flags ST
                + "0000 a5 00"),  // steering_tag_ext, steering_tag, ph
        Golden(
            abis: ["v6", "v7", "v8", "v9", "v10", "v11"], hint: nil,
            hex: "14000000 0d000200"  // argsz 20, flags SET|13
                + "28000000 00000000"  // dmabuf_fd, no flags: clear
                + "0000 00 00"),  // steering_tag_ext, steering_tag, ph
    ]

    @Test(arguments: golden) func goldenBytes(_ golden: Golden) throws {
        let digits = Array(golden.hex.filter { $0 != " " })
        let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0..<$0 + 2]), radix: 16)
        }
        for name in golden.abis {
            let abi = try #require(TPHABI.named(name))
            let kernel = TPHKernel([13: .foreignSet])
            try setTPH(
                golden.hint, dmabuf: 40, device: TPHKernel.device, feature: TPHFeature(abi: abi, number: 13, how: ""),
                object: "test", kernel: kernel)
            #expect(kernel.requests == [bytes], "\(name)")
            #expect(try abi.encode(descriptor: 40, hint: golden.hint) == Array(bytes[8...]), "\(name)")
        }
    }

    @Test func everyRevisionIsCovered() {
        #expect(Set(Self.golden.flatMap(\.abis)) == Set(TPHABI.all.map(\.name)))
    }

    @Test func negativeDescriptor() throws {
        for abi in TPHABI.all {
            let bytes = try abi.encode(descriptor: -1, hint: TPHHint(st: Self.st, ph: .requester))
            #expect(Array(bytes[..<4]) == [0xff, 0xff, 0xff, 0xff])
            #expect(bytes.count == abi.size)
        }
    }

    // MARK: Refusals

    @Test func extendedTagOnV2() throws {
        let abi = try #require(TPHABI.named("v2"))
        for hint in [TPHHint(stExt: Self.stExt, ph: .target), TPHHint(st: Self.st, stExt: Self.stExt, ph: .target)] {
            let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: hint) }
            #expect(error == .extendedTag(abi))
            #expect(
                error?.message == "TPH ABI v2 has one tag and no namespaces: it carries st, not st_ext (a 16-bit tag)")
        }
    }

    @Test(arguments: TPHABI.all) func noTag(_ abi: TPHABI) {
        let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: TPHHint(ph: .target)) }
        #expect(error == .noTag(abi))
        #expect(error?.message.hasPrefix("TPH ABI \(abi.name) needs st (8-bit tag)") == true)
        #expect(error?.message.contains("st_ext") == (abi.name != "v2"))
    }

    @Test(arguments: ["v2", "v3", "v4", "v5"]) func cannotClear(_ name: String) throws {
        let abi = try #require(TPHABI.named(name))
        let error = #expect(throws: TPHABIError.self) { try abi.encode(descriptor: 3, hint: nil) }
        #expect(error == .cannotClear(abi))
        #expect(
            error?.message == "TPH ABI \(name) cannot clear a hint; close the dma-buf and export it again")
    }

    // MARK: The table

    @Test func table() {
        func names(_ test: (TPHABI) -> Bool) -> [String] { TPHABI.all.filter(test).map(\.name) }
        #expect(TPHABI.all.map(\.size) == [8, 16, 12, 12, 12, 12, 12, 12, 12, 12])
        #expect(names { !$0.carriesExtendedTag } == ["v2"])
        #expect(names { !$0.kernelChecksHint } == ["v2"])
        #expect(names { !$0.zeroFlagsClear } == ["v2", "v3", "v4", "v5"])
        #expect(names(\.writeOnce) == ["v4"])
        #expect(names { ($0.stFlag, $0.stExtFlag) == (1, 2) } == names { $0.name != "v2" })
        #expect(names { ($0.stFlag, $0.stExtFlag) == (0, 0) } == ["v2"])
        #expect(names { $0.hardwareCheck == .none } == ["v2", "v3", "v4", "v5"])
        #expect(names { $0.hardwareCheck == .requesterFirst } == ["v6"])
        #expect(names { $0.hardwareCheck == .completerAfterValues } == ["v7"])
        #expect(names { $0.hardwareCheck == .unknown } == ["v8"])
        #expect(names { $0.hardwareCheck == .completerFirst } == ["v9", "v10", "v11"])
    }

    @Test func hintNames() {
        #expect(
            ProcessingHint.allCases.map(\.name) == ["bidirectional", "requester", "target", "target-priority"])
        #expect(ProcessingHint.allCases.map(\.rawValue) == [0, 1, 2, 3])
        #expect(ProcessingHint(name: "target-priority") == .targetPriority)
        #expect(ProcessingHint(name: "targetPriority") == nil)
    }
}
